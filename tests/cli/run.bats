#!/usr/bin/env bats
# run: training over ranks that are threads; what it reports, writes, refuses, and resumes.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
    # Two pipeline ranks under DualPipe, two replicas, experts on both: quick.
    small=(scenarios/tiny_train_cpu.json --set workload.sequence_length=64
        --set workload.global_batch_sequences=8 --set plan.data_parallel=2
        --set plan.expert_parallel=2 --set 'routing={"source":"balanced"}'
        --set workload.steps=6 --set workload.learning_rate.warmup_steps=1
        --set workload.held_out_fraction=0.005)
    # Eight ranks with experts on four nodes of two, of which a token reaches two.
    wide=(scenarios/tiny_train_cpu.json --set workload.sequence_length=64
        --set workload.global_batch_sequences=8 --set plan.pipeline_parallel=1
        --set plan.schedule=1f1b --set workload.steps=2 --set workload.held_out_fraction=0)
}

@test "run: what does not fit into the machine's memory is infeasible, and nothing is loaded" {
    run -4 --separate-stderr "$R1SIM" run scenarios/train_v3_slice_h200.json \
        --set model.n_routed_experts=4096
    [[ $stderr == *"the memory plan of 1 rank: weights "*" GB, gradients "*" GB left"* ]]
}

@test "run: the graph that simulate replays, an interval for each op, and losses that fall" {
    run -0 --separate-stderr "$R1SIM" run "${small[@]}" --json \
        --timeline "$BATS_TEST_TMPDIR/timeline.json" --trace "$BATS_TEST_TMPDIR/trace.json" \
        --curves "$BATS_TEST_TMPDIR/curves.jsonl"
    report=$output
    json '.schema == "r1sim.report/1"'
    json '.run_info | .measured and .ranks == 4 and .ranks_per_node == 2 and .transport == "threads"'
    json '.training | .steps == 6 and .tokens == 3072 and .loss.last < .loss.first - 0.05
        and .held_out_loss > 0 and .byte_model_loss > 0'
    json '.graph.hash == $hash' \
        --arg hash "$("$R1SIM" simulate "${small[@]}" --json | jq -r .graph.hash)"
    output=$(<"$BATS_TEST_TMPDIR/timeline.json")
    conforms timeline
    json '.measured and (.lanes | length) == 4 and .graphs[0].hash == $report.graph.hash' \
        --argjson report "$report"
    json '(.intervals | length) == $report.graph.ops
        and ([.intervals[][0:4]] | unique | length) == $report.graph.ops' --argjson report "$report"
    jq -e '.traceEvents | length > 100' "$BATS_TEST_TMPDIR/trace.json"
    jq -es '[.[].step] == [1, 2, 3, 4, 5, 6] and .[5].loss == $report.training.loss.last
        and all(.[].expert_load[1:][] | select(length > 0); add == 8 * 64 * 4)' \
        --argjson report "$report" "$BATS_TEST_TMPDIR/curves.jsonl"
}

@test "run: bytes sent are the graph's under the recorded binding, and nodes stay limited" {
    run -0 --separate-stderr "$R1SIM" run "${wide[@]}" --json \
        --binding "$BATS_TEST_TMPDIR/binding.json"
    json '.routing.nodes_per_token_max == 2'
    json 'all(.network.links[]; .bytes_by_kind == .graph_bytes_by_kind)'
    json 'all(.network.links[]; .bytes_by_kind | .dispatch > 0 and .combine > 0 and .collective > 0)'
    # Eight ranks, six expert layers and the MTP module's, eight experts' ranks on four nodes.
    output=$(<"$BATS_TEST_TMPDIR/binding.json")
    conforms binding
    json '.steps[0].exchanges | length == 8 * 7'
    json 'all(.steps[0].exchanges[]; (.tokens_to_nodes | length) == 4
        and (.tokens_to_nodes | add) <= 2 * .tokens and (.expert_rows | add) == 4 * .tokens)'
    # The simulation of that step sends what the run sent, and to the same experts.
    run -0 "$R1SIM" run "${wide[@]}" --set workload.steps=1 --json \
        --binding "$BATS_TEST_TMPDIR/binding.json"
    measured=$output
    run -0 "$R1SIM" simulate "${wide[@]}" --set workload.steps=1 --set replay.fold=none \
        --binding "$BATS_TEST_TMPDIR/binding.json" --json
    json '.graph.hash == $run.graph.hash and (.routing | [.nodes_per_token_mean,
        .expert_load.max_over_mean, .expert_load.gini] | map(. * 1e9 | round)) ==
        ($run.routing | [.nodes_per_token_mean, .expert_load.max_over_mean, .expert_load.gini]
        | map(. * 1e9 | round))' --argjson run "$measured"
    run -3 "$R1SIM" simulate "${wide[@]}" --set workload.sequence_length=32 \
        --binding "$BATS_TEST_TMPDIR/binding.json"
    holds "is of another graph"
}

@test "run: the same curves twice, whatever the number of kernel threads" {
    for jobs in 1 2; do
        run -0 "$R1SIM" run "${small[@]}" --jobs $jobs --curves "$BATS_TEST_TMPDIR/$jobs.jsonl"
    done
    same "$BATS_TEST_TMPDIR/1.jsonl" "$BATS_TEST_TMPDIR/2.jsonl"
}

@test "run: killed and resumed, it ends with the weights and curves of one that was not" {
    local folder=$BATS_TEST_TMPDIR/checkpoints step
    "$R1SIM" run "${small[@]}" --set workload.checkpoint.folder="$BATS_TEST_TMPDIR/whole" \
        --curves "$BATS_TEST_TMPDIR/whole.jsonl" --json |
        jq 'del(.run_info, .scenario) | .training' >"$BATS_TEST_TMPDIR/whole.json"
    local job=("${small[@]}" --set workload.checkpoint.folder="$folder"
        --set workload.checkpoint.every_steps=2 --curves "$BATS_TEST_TMPDIR/killed.jsonl")
    "$R1SIM" run "${job[@]}" --quiet >/dev/null &
    for ((step = 0; step < 600; ++step)); do
        [ -e "$folder/step-00000002" ] && break
        sleep 0.05
    done
    kill -9 $!
    wait $! || true
    refused_with 3 "--resume" run "${job[@]}"
    refused_with 3 "seed 0, not 7" run "${job[@]}" --resume --seed 7
    refused_with 3 "other data" run "${job[@]}" --resume --set 'workload.data=["README.md"]'
    run -0 --separate-stderr "$R1SIM" run "${job[@]}" --resume --json
    jq .training <<<"$output" >"$BATS_TEST_TMPDIR/killed.json"
    same "$BATS_TEST_TMPDIR/whole.json" "$BATS_TEST_TMPDIR/killed.json"
    same "$BATS_TEST_TMPDIR/whole.jsonl" "$BATS_TEST_TMPDIR/killed.jsonl"
    for file in "$BATS_TEST_TMPDIR"/whole/step-00000006/{*.safetensors,optimizer/*}; do
        same "$file" "$folder/${file#"$BATS_TEST_TMPDIR"/whole/}"
    done
    # A Hugging Face checkpoint like any other.
    run -0 "$R1SIM" eval --model "$folder/step-00000006" --tokens 1,2,3
}

@test "run: a damaged checkpoint is refused, the one before it still works" {
    local folder=$BATS_TEST_TMPDIR/checkpoints
    local job=("${small[@]}" --set workload.checkpoint.folder="$folder"
        --set workload.checkpoint.every_steps=2)
    run -0 "$R1SIM" run "${job[@]}" --set workload.steps=4
    printf 'x' | dd of="$folder/step-00000004/optimizer/rank-00001.safetensors" bs=1 seek=5000 \
        conv=notrunc status=none
    refused_with 3 "rank-00001.safetensors" run "${job[@]}" --resume
    rm -r "$folder/step-00000004"
    run -0 --separate-stderr "$R1SIM" run "${job[@]}" --resume --json
    json '.training.steps == 6'
}

@test "run: more tokens for a rank than plan.routed_capacity has room for end it" {
    # 1024 copies a rank if routing were even, which it never is.
    refused_with 4 "have room for 1025 token copies, and a layer sends [0-9]+ to rank [0-9]+" \
        run scenarios/tiny_train_cpu.json --set workload.steps=1 --set plan.routed_capacity=1025
    refused_with 4 "have room for 1023 token copies, and the fullest rank gets 1024" \
        simulate scenarios/tiny_train_cpu.json --set plan.routed_capacity=1023
}

@test "run: --resume without anything to go on from says so" {
    run -0 --separate-stderr "$R1SIM" run "${small[@]}" --set workload.steps=1 --resume
    [[ "$stderr" == *"warning: --resume: the scenario has no workload.checkpoint"* ]]
    run -0 --separate-stderr "$R1SIM" run "${small[@]}" --set workload.steps=1 --resume \
        --set workload.checkpoint.folder="$BATS_TEST_TMPDIR/new" \
        --set workload.checkpoint.every_steps=1
    [[ "$stderr" == *"warning: --resume: no usable checkpoint in $BATS_TEST_TMPDIR/new"* ]]
}

@test "run: what it cannot do" {
    run -5 "$R1SIM" run "${small[@]}" --set 'routing={"source":"zipf","placement":"balanced"}'
    holds "routing.placement 'balanced' is simulated only"
    refused_with 3 "no texts" run scenarios/tiny_train_cpu.json --set 'workload.data=[]'
    refused_with 3 "no/such" run scenarios/tiny_train_cpu.json --set 'workload.data=["no/such"]'
    refused_with 5 "prefill" run scenarios/tiny_prefill_cpu.json
    [[ "$("$R1SIM" doctor --json | jq .cuda)" == true ]] ||
        refused_with 5 "--device cuda: this" run scenarios/tiny_train_cpu.json --device cuda
    refused_with 2 "--device takes" run scenarios/tiny_train_cpu.json --device tpu
    refused_with 2 "one file" run scenarios/tiny_train_cpu.json --trace same --timeline same
}
