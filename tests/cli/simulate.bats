#!/usr/bin/env bats
# r1sim simulate: the main job end to end, overrides, outputs, isolation, interruption.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
}

# The main job once for all tests that only read its outputs.
setup_file() {
    load common
    "$R1SIM" simulate "$main_job" -o "$BATS_FILE_TMPDIR/report.json" \
        --trace "$BATS_FILE_TMPDIR/trace.json" >"$BATS_FILE_TMPDIR/table.txt" \
        2>"$BATS_FILE_TMPDIR/stderr.txt"
}

use_report() {
    output=$(<"$BATS_FILE_TMPDIR/report.json")
}

# step_time ARGUMENT...: step.time_s of a simulation.
step_time() {
    "$R1SIM" simulate "$@" --json | jq .step.time_s
}

# compare EXPRESSION: of awk, true.
compare() {
    awk "BEGIN {exit !($1)}" || {
        echo "false: $1"
        return 1
    }
}

@test "main job: the table ends with the step time beside the published one" {
    last=$(tail -n 1 "$BATS_FILE_TMPDIR/table.txt")
    [[ "$last" =~ step\.time_s\ +[0-9.]+\ +19\.9(3|26)\ +[+-][0-9.]+% ]]
    [ ! -s "$BATS_FILE_TMPDIR/stderr.txt" ]
}

@test "main job: within 20 % of the published step" {
    use_report
    json '[.published[] | select(.metric == "step.time_s")]
        | length == 1 and .[0].published == 19.926 and (.[0].error_percent | fabs) < 20
        and ((.[0].simulated / 19.926 - 1) * 100 - .[0].error_percent | fabs) < 1e-9'
}

@test "main job: the report has every key of the contract" {
    use_report
    json '.schema == "r1sim.report/1"'
    missing=$(jq -r '[
        "scenario/name", "scenario/plan/stage_layers", "scenario/plan/data_parallel",
        "scenario/model/hidden_size", "scenario/cluster/nvlink", "scenario/calibration/curves",
        "graph/hash", "graph/ops", "graph/edges", "graph/ops_stored",
        "step/time_s", "step/tokens_per_s", "step/tokens_per_day", "step/mfu/causal",
        "step/mfu/non_causal", "step/tflops_per_gpu/causal", "step/tflops_per_gpu/non_causal",
        "pipeline/per_rank/0", "pipeline/breakdown_s/forward",
        "pipeline/breakdown_s/backward_input", "pipeline/breakdown_s/backward_weight",
        "pipeline/breakdown_s/one_f_one_b", "pipeline/breakdown_s/bubble",
        "pipeline/breakdown_s/optimizer",
        "overlap/comm_total_s", "overlap/comm_exposed_s", "overlap/by_kind",
        "critical_path/by_kind", "critical_path/by_resource", "critical_path/by_rank/15",
        "critical_path/ops/0", "sensitivity/0/resource", "sensitivity/0/faster/predicted_s",
        "network/links/0/id", "network/links/0/kind", "network/links/0/mean_utilisation",
        "network/links/0/peak_utilisation", "network/links/0/bytes", "network/hottest",
        "routing/nodes_per_token_mean", "routing/nodes_per_token_max",
        "routing/expert_load/max_over_mean", "routing/expert_load/gini",
        "routing/rank_load/max_over_mean",
        "routing/ib_bytes_per_token", "routing/nvlink_bytes_per_token",
        "memory/per_rank/0/weights", "memory/per_rank/0/gradients",
        "memory/per_rank/0/optimizer", "memory/per_rank/0/activations_peak",
        "memory/per_rank/0/total", "memory/capacity", "memory/fits",
        "cost/gpu_hours", "cost/usd", "cost/energy_kwh",
        "confidence/0/component", "confidence/0/level", "confidence/0/source",
        "published/0/metric", "published/0/published", "published/0/simulated",
        "published/0/error_percent", "published/0/source",
        "run_info/measured", "run_info/engine", "run_info/fold", "run_info/graph_build_s",
        "run_info/lower_s", "run_info/replay_s", "run_info/peak_memory_bytes",
        "run_info/version", "run_info/activities", "run_info/flows"] as $wanted
        | . as $report | $wanted[] | . as $name | split("/")
        | map(if test("^[0-9]+$") then tonumber else . end)
        | select(. as $path | $report | getpath($path) == null) | $name' <<<"$output")
    [ -z "$missing" ] || {
        echo "missing: $missing"
        false
    }
    json '[.confidence[] | .level] - ["measured", "calibrated", "datasheet", "assumed"] == []
        and all(.confidence[]; has("error_percent"))'
    json '(.graph.hash | test("^[0-9a-f]{32}$")) and .run_info.measured == false
        and .run_info.activities > 0 and .run_info.flows > 0'
}

@test "main job: numbers agree with each other" {
    use_report
    json '(.pipeline.breakdown_s | add) / .step.time_s - 1 | fabs < 1e-9'
    json 'all(.pipeline.per_rank[]; true) and
        ([.step.time_s as $t | .pipeline.per_rank[] | (.breakdown_s | add) / $t - 1 | fabs]
         | max < 1e-9)'
    json '.step.tokens_per_s * .step.time_s / (15360 * 4096) - 1 | fabs < 1e-9'
    json '.cost.gpu_hours * 3600 / (2048 * .step.time_s) - 1 | fabs < 1e-9'
    json '[.pipeline.per_rank[].gpus] | add == 2048'
    json '[.scenario.plan.stage_layers[]] | length == 16 and add == 61'
    json '[.memory.per_rank[].total] | max < 84943110144'
    json '.memory.fits and .routing.nodes_per_token_max == 4 and .routing.nodes_per_token_mean > 3'
    json '.overlap.comm_exposed_s <= .overlap.comm_total_s'
    json '.step.time_s as $t | .critical_path
        | all(.by_kind, .by_resource, .by_rank; add / $t - 1 | fabs < 1e-9)'
    json '(.critical_path.by_resource | keys) - ["comm_sms", "hbm", "latency", "matrix_units",
        "network", "nvlink", "overhead", "wait"] == []'
}

@test "main job: time and memory stay in bounds" {
    use_report
    json '.run_info | .graph_build_s < 5 and .lower_s + .replay_s < 20
        and .peak_memory_bytes < 3e9'
}

@test "main job: --json prints one document, equal to -o; same bytes twice apart from run_info" {
    run -0 --separate-stderr "$R1SIM" simulate "$main_job" --json
    [ -z "$stderr" ]
    [ "$(jq -s length <<<"$output")" -eq 1 ]
    jq 'del(.run_info)' <<<"$output" >"$BATS_TEST_TMPDIR/second.json"
    jq 'del(.run_info)' "$BATS_FILE_TMPDIR/report.json" >"$BATS_TEST_TMPDIR/first.json"
    same "$BATS_TEST_TMPDIR/first.json" "$BATS_TEST_TMPDIR/second.json"
}

@test "main job: --trace is Chrome trace JSON" {
    output=$(<"$BATS_FILE_TMPDIR/trace.json")
    json '.traceEvents | length > 1000'
    json '[.traceEvents[] | select(.ph == "X")] | length > 1000
        and all(.[]; .dur >= 0 and .ts >= 0 and (.name | length) > 0 and has("pid", "tid"))'
    json '[.traceEvents[] | select(.ph == "X") | .pid] | unique | length == 16'
}

@test "simulate: --trace-detail ops has more events" {
    run -0 "$R1SIM" simulate scenarios/tiny_train_cpu.json --trace "$BATS_TEST_TMPDIR/few.json"
    run -0 "$R1SIM" simulate scenarios/tiny_train_cpu.json --trace "$BATS_TEST_TMPDIR/all.json" \
        --trace-detail ops
    few=$(jq '.traceEvents | length' "$BATS_TEST_TMPDIR/few.json")
    all=$(jq '.traceEvents | length' "$BATS_TEST_TMPDIR/all.json")
    [ "$all" -gt "$few" ]
}

@test "simulate: --timeline has every op of every lane, and the step's time" {
    run -0 --separate-stderr "$R1SIM" simulate scenarios/tiny_train_cpu.json --json \
        --timeline "$BATS_TEST_TMPDIR/timeline.json"
    step=$output
    output=$(<"$BATS_TEST_TMPDIR/timeline.json")
    conforms timeline
    json '.graphs[0].hash == $report.graph.hash and (.measured | not)' --argjson report "$step"
    # Each lane stands for eight ranks: the graph has eight times as many ops.
    json '(.lanes | length) == 2 and all(.lanes[]; .multiplicity == 8)
        and 8 * (.intervals | length) == $report.graph.ops' --argjson report "$step"
    json '([.intervals[][6]] | max) / 1e12 / $report.step.time_s - 1 | fabs < 1e-9' \
        --argjson report "$step"
}

@test "simulate: --dry-run builds the graph and replays nothing" {
    run -0 --separate-stderr "$R1SIM" simulate "$main_job" --dry-run --json
    json '(has("step") or has("pipeline") or has("network") | not)
        and has("graph", "memory", "routing", "confidence") and .run_info.activities == 0'
    json '.graph == $report[0].graph and .memory == $report[0].memory' \
        --slurpfile report "$BATS_FILE_TMPDIR/report.json"
    run -0 "$R1SIM" simulate "$main_job" --dry-run
    holds "activations_peak"
}

@test "simulate: --set, both notations, after the files are loaded" {
    for override in cluster.nvlink.bandwidth_gb_per_s=450 /cluster/nvlink/bandwidth_gb_per_s=450; do
        run -0 "$R1SIM" simulate "$main_job" --set "$override" --json
        json '.scenario.cluster.nvlink.bandwidth_gb_per_s == 450'
        json '.step.time_s <= $report[0].step.time_s and .graph == $report[0].graph' \
            --slurpfile report "$BATS_FILE_TMPDIR/report.json"
    done
}

@test "simulate: --set of a whole member, then of a field inside it" {
    run -0 --separate-stderr "$R1SIM" simulate "$main_job" --dry-run --json \
        --set cluster=h100_256x8_mpft --set cluster.fabric.oversubscription=2 \
        --set /calibration=h100_published
    json '.scenario.cluster.name == "h100_256x8_mpft" and .scenario.calibration.device == "h100"
        and .scenario.cluster.fabric.oversubscription == 2'
}

@test "simulate: --set refuses what is no field" {
    run -3 "$R1SIM" simulate "$main_job" --set plan.expert_paralel=64
    holds "--set: /plan/expert_paralel: unknown key .*did you mean 'expert_parallel'"
    run -3 "$R1SIM" simulate "$main_job" --set model.num_hiden_layers=30
    holds "--set: /model/num_hiden_layers: unknown key .*did you mean 'num_hidden_layers'"
    run -3 "$R1SIM" simulate "$main_job" --set name.first=x
    holds "/name/first: runs through a value that is not an object"
    run -3 "$R1SIM" simulate "$main_job" --set plan
    holds "has no '='"
    run -3 "$R1SIM" simulate "$main_job" --set =5
    run -3 "$R1SIM" simulate "$main_job" --set 'plan={"a":1,"a":2}'
    holds "a"
}

@test "simulate: --seed reaches the report, and only routing draws from it" {
    run -0 "$R1SIM" simulate "$main_job" --dry-run --seed 7 --json
    json '.scenario.seed == 7 and .graph == $report[0].graph' \
        --slurpfile report "$BATS_FILE_TMPDIR/report.json"
    run -3 "$R1SIM" simulate "$main_job" --dry-run --seed -1
    holds "/seed: must be at least 0"
}

@test "simulate: the fluid engine gives SimGrid's times, and both say how far they are apart" {
    run -0 "$R1SIM" simulate "$main_job" --engine fluid --json
    json '.run_info.engine == "fluid" and (.run_info | has("engine_difference") | not)
        and (.step.time_s / $report[0].step.time_s - 1 | fabs < 1e-9)' \
        --slurpfile report "$BATS_FILE_TMPDIR/report.json"
    run -0 "$R1SIM" simulate scenarios/trace_pair_h800_ep64.json --engine both --json
    json '.run_info.engine_difference | (.step | fabs < 1e-9) and .op_max < 1e-9'
    run -0 "$R1SIM" simulate scenarios/trace_pair_h800_ep64.json --engine both
    holds "fluid against simgrid: step"
}

@test "simulate: a dry run says that nothing was simulated, and so does report" {
    local dry=$BATS_TEST_TMPDIR/dry.json
    run -0 "$R1SIM" simulate "$main_job" --dry-run -o "$dry"
    holds "checked, and the graph built in [0-9.]+ s: nothing was simulated"
    [[ "$output" != *"simulated in"* ]]
    run -0 "$R1SIM" report "$dry"
    holds "nothing was simulated"
}

@test "simulate: published zeros and metrics that the report lacks have a dash" {
    run -0 "$R1SIM" simulate scenarios/tiny_prefill_cpu.json --set 'published=[
        {"metric": "step.time_s", "value": 0, "source": "x"},
        {"metric": "step.tim_s", "value": 4, "source": "x"}]'
    holds "step.tim_s +- +4 +-"$'\n'
    holds "step.time_s +[0-9.e-]+ +0 +-"
}

@test "simulate: texts of files do not reach the terminal's controls" {
    run -0 "$R1SIM" simulate scenarios/tiny_prefill_cpu.json --color always \
        --set 'name="a\u001b[31mred\u0000\nb\u009b"'
    [[ "$output" == "a?[31mred??b??"$'\n'* ]]
    [[ "$output" == *$'\e[1mStep\e[0m'* ]]
}

@test "simulate: a part cannot be left out twice" {
    run -3 "$R1SIM" simulate "$main_job" --set 'replay.without=["network","network"]'
    holds "/replay/without: 'network' is there twice"
}

@test "simulate: what this version lacks exits 5" {
    run -5 "$R1SIM" simulate "$main_job" --set workload.kind=decode
    run -3 "$R1SIM" simulate "$main_job" --engine simgird
    holds "did you mean 'simgrid'"
}

@test "simulate: halving every GEMM point slows the step" {
    copy_data "$BATS_TEST_TMPDIR/data"
    cd "$BATS_TEST_TMPDIR/data"
    jq '(.curves[] | select(.kernel | test("gemm")) | .points[].value) /= 2' \
        topologies/calibration/h800_published.json >slow.json
    jq '.calibration = $file' --arg file "$PWD/slow.json" "$main_job" >scenarios/slow.json
    [ "$(jq '[.curves[] | select(.kernel | test("gemm")) | .points[]] | length' slow.json)" -gt 5 ]
    time=$(step_time scenarios/slow.json)
    compare "$time > 1.2 * $(jq .step.time_s "$BATS_FILE_TMPDIR/report.json")"
}

@test "simulate: doubled bandwidths never slow the step" {
    time=$(step_time "$main_job" --set cluster.nvlink.bandwidth_gb_per_s=400 \
        --set cluster.nic.bandwidth_gb_per_s=100)
    compare "$time <= $(jq .step.time_s "$BATS_FILE_TMPDIR/report.json")"
}

@test "simulate: --graph writes the graph, smaller as .zst" {
    run -0 "$R1SIM" simulate "$main_job" --dry-run --graph "$BATS_TEST_TMPDIR/graph.json"
    run -0 "$R1SIM" simulate "$main_job" --dry-run --graph "$BATS_TEST_TMPDIR/graph.json.zst"
    jq -e .schema "$BATS_TEST_TMPDIR/graph.json"
    [ "$(stat -c %s "$BATS_TEST_TMPDIR/graph.json.zst")" -lt \
        "$(($(stat -c %s "$BATS_TEST_TMPDIR/graph.json") / 4))" ]
}

@test "simulate: works from another folder, and files are relative to the one that names them" {
    root=$PWD
    cd "$BATS_TEST_TMPDIR"
    run -0 "$R1SIM" simulate "$root/$main_job" --dry-run --json
    json '.graph == $report[0].graph' --slurpfile report "$BATS_FILE_TMPDIR/report.json"
    mkdir -p a b
    cp "$root"/topologies/h800_256x8_mpft.json a/cluster.json
    cp -r "$root"/topologies/devices a/devices
    jq '.cluster = "../a/cluster.json"' "$root/$main_job" >b/scenario.json
    run -0 "$R1SIM" simulate b/scenario.json --dry-run --json
    json '.scenario.cluster.device.name == "h800"'
}

@test "simulate: needs nothing but scenarios/ and topologies/" {
    copy_data "$BATS_TEST_TMPDIR/elsewhere"
    cd "$BATS_TEST_TMPDIR/elsewhere"
    run -0 env -i R1SIM_HOME="$PWD" "$R1SIM" simulate "$main_job" --json
    diff <(jq 'del(.run_info)' <<<"$output") \
        <(jq 'del(.run_info)' "$BATS_FILE_TMPDIR/report.json")
    run -0 env -i R1SIM_HOME="$PWD" "$R1SIM" doctor --json
    json '.data_found and .data_root == $root' --arg root "$PWD"
}

@test "simulate: opens no file outside its data and the system" {
    command -v strace >/dev/null || skip "strace is not installed"
    strace -f -e trace=open,openat -o "$BATS_TEST_TMPDIR/strace.txt" true 2>/dev/null ||
        skip "strace may not trace here"
    copy_data "$BATS_TEST_TMPDIR/data"
    cd "$BATS_TEST_TMPDIR/data"
    run -0 env R1SIM_HOME="$PWD" strace -f -e trace=open,openat -o "$BATS_TEST_TMPDIR/strace.txt" \
        "$R1SIM" simulate "$main_job"
    opened=$(grep -v ENOENT "$BATS_TEST_TMPDIR/strace.txt" | sed -n 's/.*openat\?([^"]*"\([^"]*\)".*/\1/p' | sort -u)
    strangers=$(grep -vE "^(scenarios|$PWD)/|^/(usr|lib|lib64|etc|proc|sys|dev)/" <<<"$opened" || true)
    [ -z "$strangers" ] || {
        echo "opened: $strangers"
        false
    }
    grep -q h800_published <<<"$opened"
}

@test "simulate: -o, --trace and --graph into places that cannot be written exit 3" {
    run -3 "$R1SIM" simulate "$main_job" --dry-run -o "$BATS_TEST_TMPDIR/no/such/report.json"
    holds "cannot be written"
    run -3 "$R1SIM" simulate "$main_job" --dry-run -o "$BATS_TEST_TMPDIR"
    holds "is a folder"
    run -3 "$R1SIM" simulate "$main_job" --dry-run --graph "$BATS_TEST_TMPDIR/no/such/graph.json"
    run -3 "$R1SIM" simulate scenarios/tiny_train_cpu.json --trace "$BATS_TEST_TMPDIR/no/such.json"
    run -3 bash -c '"$1" simulate "$2" --dry-run --json >/dev/full' _ "$R1SIM" "$main_job"
    holds "stdout: cannot be written"
}

@test "simulate: colours on request only" {
    run -0 "$R1SIM" simulate "$main_job" --dry-run
    [[ "$output" != *$'\033'* ]]
    run -0 "$R1SIM" simulate "$main_job" --dry-run --color always
    [[ "$output" == *$'\033'* ]]
}

@test "simulate: the other scenarios run" {
    for scenario in tiny_train_cpu tiny_prefill_cpu train_v3_2048_h100; do
        run -0 "$R1SIM" simulate "scenarios/$scenario.json" --json
        json '.step.time_s > 0'
    done
}

@test "sensitivity: predicted by default, replayed on request, and near each other" {
    use_report
    json '[.sensitivity[].resource]
        == ["compute", "matrix_units", "hbm", "nvlink", "network", "rest"]'
    json 'all(.sensitivity[] | .faster, .slower; has("resimulated_s") and .resimulated_s == null)'
    json '.step.time_s as $t
        | all(.sensitivity[]; .faster.predicted_s <= $t and .slower.predicted_s >= $t)'
    json '.step.time_s as $t | .sensitivity[0] | (.faster.predicted_s / $t - 0.922 | fabs) < 0.005
        and (.slower.predicted_s / $t - 1.096 | fabs) < 0.005'
    grep -q 'step if 10 % faster .*compute -7\.[0-9]* %' "$BATS_FILE_TMPDIR/table.txt"

    run -0 --separate-stderr "$R1SIM" simulate "$main_job" --engine fluid --check-sensitivity --json
    json '.step.time_s as $t | all(.sensitivity[] | .faster, .slower;
        (.predicted_s - .resimulated_s | fabs) < 0.001 * $t)'
    network=$(jq '.sensitivity[] | select(.resource == "network") | .faster.resimulated_s' \
        <<<"$output")
    time=$(step_time "$main_job" --engine fluid --set cluster.nic.bandwidth_gb_per_s=55)
    compare "$time / $network - 1 < 1e-9 && 1 - $time / $network < 1e-9"
    run -0 "$R1SIM" simulate scenarios/tiny_train_cpu.json --engine fluid --check-sensitivity
    holds ' replayed +compute -[0-9.]+ %'
    run -2 "$R1SIM" simulate "$main_job" --dry-run --check-sensitivity
    holds 'check-sensitivity needs a replay'
}

@test "baseline: H100 for H800 is explained by NVLink alone" {
    run -0 "$R1SIM" simulate scenarios/train_v3_2048_h100.json --json
    json '.baseline | .cluster == "h800_256x8_mpft" and .calibration == "h800_published"'
    json '.baseline.step_time_s == $report[0].step.time_s and .graph == $report[0].graph' \
        --slurpfile report "$BATS_FILE_TMPDIR/report.json"
    json '.baseline.difference_s - (.step.time_s - .baseline.step_time_s) | fabs < 1e-9'
    json '.baseline | ([.by_resource[].contribution_s] | add) - .difference_s | fabs < 1e-9'
    json '[.baseline.by_resource[].resource] == ["compute", "nvlink", "network", "rest"]'
    json '.baseline.by_resource | .[0].contribution_s == 0 and .[1].contribution_s < 0
        and .[2].contribution_s == 0 and .[3].contribution_s == 0'
    json '[.baseline.changed[].resource] | unique == ["nvlink"]'
    json '.baseline.changed[] | select(.what == "nvlink.bandwidth_gb_per_s")
        | .from == 200 and .to == 450'
}

@test "baseline: the same bytes twice, a table, and nothing of it in a dry run" {
    local what_if=(scenarios/tiny_train_cpu.json --set 'baseline={}'
        --set cluster.device.peaks_tflops.bf16=0.01)
    for run in first second; do
        "$R1SIM" simulate "${what_if[@]}" --json | jq 'del(.run_info)' \
            >"$BATS_TEST_TMPDIR/$run.json"
    done
    same "$BATS_TEST_TMPDIR/first.json" "$BATS_TEST_TMPDIR/second.json"
    jq -e '.baseline | .by_resource[0].contribution_s > 0 and (.changed | length) == 1' \
        "$BATS_TEST_TMPDIR/first.json"
    run -0 "$R1SIM" simulate "${what_if[@]}"
    holds 'Against the baseline cpu_8x2, assumed_cpu'
    holds 'compute rates +\+[0-9.]+ s'
    holds 'device.peaks_tflops.bf16: [0-9.]+ -> 0.01'
    run -0 "$R1SIM" simulate "${what_if[@]}" --dry-run --json
    json '(has("baseline") | not) and .scenario.baseline.cluster.name == "cpu_8x2"'
    run -0 "$R1SIM" simulate scenarios/tiny_train_cpu.json --json
    json 'has("baseline") | not'
}

@test "baseline: --set of the cluster leaves it as it is" {
    run -0 "$R1SIM" simulate scenarios/train_v3_2048_h100.json --dry-run --json \
        --set cluster.nvlink.bandwidth_gb_per_s=900 --set cluster.device.power_w=350
    json '.scenario | .cluster.nvlink.bandwidth_gb_per_s == 900
        and .baseline.cluster.nvlink.bandwidth_gb_per_s == 200
        and .baseline.cluster.device.power_w == 700'
    run -0 "$R1SIM" simulate scenarios/train_v3_2048_h100.json --dry-run --json \
        --set baseline.cluster=h800_256x8_mrft --set baseline.cluster.nic.bandwidth_gb_per_s=25
    json '.scenario.baseline | .cluster.fabric.kind == "mrft"
        and .cluster.nic.bandwidth_gb_per_s == 25 and .calibration.name == "h800_published"'
}

@test "simulate: SIGINT gives 130 and leaves no output" {
    mkdir "$BATS_TEST_TMPDIR/out"
    # Ten times the micro-batches: the replay lasts long enough to be interrupted.
    "$R1SIM" simulate "$main_job" --set workload.global_batch_sequences=153600 \
        -o "$BATS_TEST_TMPDIR/out/report.json" >"$BATS_TEST_TMPDIR/stdout" 3>&- &
    child=$!
    sleep 1.5
    kill -INT "$child"
    status=0
    wait "$child" || status=$?
    [ "$status" -eq 130 ]
    [ -z "$(ls -A "$BATS_TEST_TMPDIR/out")" ]
    [ ! -s "$BATS_TEST_TMPDIR/stdout" ]
}

@test "what-if: slower networks never speed the step up, and folding warns about single links" {
    base=$(jq .step.time_s "$BATS_FILE_TMPDIR/report.json")
    time=$(step_time "$main_job" --set cluster.nic.bandwidth_gb_per_s=25)
    compare "$time > 1.1 * $base"
    time=$(step_time "$main_job" --set cluster.fabric.oversubscription=2)
    compare "$time >= $base"
    run -0 --separate-stderr "$R1SIM" simulate "$main_job" --json \
        --set 'cluster.overrides=[{"link":"node20.nic5","degrade":0.5}]'
    [[ "$stderr" == *"warning: link node20.nic5 differs: folding 'stage'"* ]]
    json '.step.time_s > $base and (.warnings | length == 1)' --argjson base "$base"
    run -0 --separate-stderr "$R1SIM" simulate "$main_job" --dry-run --quiet \
        --set 'cluster.overrides=[{"link":"node20.nic5","degrade":0.5}]'
    [ -z "$stderr" ]
}

@test "what-if: uneven experts cost time, in every folding" {
    local small=(scenarios/tiny_train_cpu.json --set cluster=h800_8x8 --set replay.engine=fluid
        --set calibration=h800_published --set plan.data_parallel=16 --set plan.expert_parallel=16
        --set plan.comm_sms=20 --set workload.global_batch_sequences=64)
    local fold even
    for fold in stage ep_group none; do
        even=$(step_time "${small[@]}" --set replay.fold=$fold)
        run -0 --separate-stderr "$R1SIM" simulate "${small[@]}" --set replay.fold=$fold --json \
            --set 'routing={"source":"zipf","skew":0.6,"node_limit":2}'
        json '.step.time_s > $even and .routing.expert_load.max_over_mean > 1.5
            and .run_info.fold == $fold' --argjson even "$even" --arg fold "$fold"
    done
    # Folding stage states its error by another replay, by SimGrid too.
    run -0 --separate-stderr "$R1SIM" simulate "${small[@]}" --json --set replay.engine=simgrid \
        --set replay.fold=stage --set 'routing={"source":"zipf","skew":0.6,"node_limit":2}'
    json 'any(.confidence[]; .component == "replay.fold" and .error_percent > 0)'
    run -3 "$R1SIM" simulate "$main_job" --set 'routing={"source":"zipff","skew":1}'
    holds "did you mean 'zipf'"
    run -3 "$R1SIM" simulate "$main_job" --set routing.skew=1 --set routing.bias_updates=-1
    holds "belongs to source 'zipf'"
    holds "/routing/bias_updates"
}

@test "what-if: experts placed by their loads take less time" {
    local exchange=(scenarios/expert_all_to_all_h800.json --engine fluid --quiet
        --set plan.expert_parallel=32 --set workload.experts=256 --set workload.kernel=low_latency)
    local report="$BATS_TEST_TMPDIR/placed.json"
    run -0 "$R1SIM" simulate "${exchange[@]}" -o "$report" \
        --set 'routing={"source":"zipf","skew":0.5}'
    local plain load
    plain=$(jq .expert_all_to_all.dispatch.time_us "$report")
    load=$(jq .routing.rank_load.max_over_mean "$report")
    run -0 "$R1SIM" simulate "${exchange[@]}" -o "$report" --set plan.redundant_experts=32 \
        --set 'routing={"source":"zipf","skew":0.5,"placement":"balanced"}'
    jq -e '.expert_all_to_all.dispatch.time_us < $plain and .routing.rank_load.max_over_mean < $load
        and .routing.rank_load.max_over_mean < 1.05 and .routing.expert_load.max_over_mean > 1.5' \
        --argjson plain "$plain" --argjson load "$load" "$report"
}

@test "what-if: every schedule replays the main job's model" {
    for schedule in 1f1b zb1p; do
        time=$(step_time "$main_job" --set plan.schedule=$schedule)
        compare "$time > $(jq .step.time_s "$BATS_FILE_TMPDIR/report.json")"
    done
    step_time "$main_job" --set plan.schedule=dualpipev --set plan.pipeline_parallel=8 \
        --set plan.data_parallel=256
    step_time "$main_job" --set plan.schedule=interleaved \
        --set workload.global_batch_sequences=16384
}

@test "simulate: how a run trains changes nothing, and is printed as it was written" {
    local scenario=scenarios/tiny_train_cpu.json
    run -0 --separate-stderr "$R1SIM" simulate "$scenario" --json \
        --set 'workload.data=["no/such/file"]' --set 'workload.learning_rate={"peak": 0.001}' \
        --set workload.checkpoint.folder=nowhere
    json '.scenario.workload | .data == ["no/such/file"] and .learning_rate == {peak: 0.001}
        and .checkpoint == {folder: "nowhere"}'
    [ ! -e nowhere ]
    json '.graph.hash == $hash' \
        --arg hash "$("$R1SIM" simulate "$scenario" --json | jq -r .graph.hash)"
}

@test "expert all-to-all: EP sizes and kernels of DeepEP, and what is wrong with others" {
    local scenario=scenarios/expert_all_to_all_h800.json
    for ep in 8 32 256 320; do
        run -0 --separate-stderr "$R1SIM" simulate "$scenario" --set plan.expert_parallel=$ep \
            --set workload.kernel=low_latency --json
        json '.expert_all_to_all | .dispatch.time_us < .combine.time_us
            and .dispatch.time_us > 30 and .combine.logical_gb_per_s > 30'
    done
    run -0 --separate-stderr "$R1SIM" simulate "$scenario" --json
    json '.expert_all_to_all | (.dispatch.logical_gb_per_s - 51 | fabs) < 2.5
        and (.combine.logical_gb_per_s - 50 | fabs) < 2.5'
    run -0 "$R1SIM" simulate "$scenario"
    holds "expert_all_to_all"
    run -3 "$R1SIM" simulate "$scenario" --set workload.kernel=low_latancy
    holds "did you mean 'low_latency'"
    run -3 "$R1SIM" simulate "$scenario" --set workload.experts=100 \
        --set workload.sequence_length=4096 --set plan.pipeline_parallel=2
    holds "/workload/sequence_length"
    run -3 "$R1SIM" simulate "$scenario" --set workload.experts=100 --set plan.pipeline_parallel=2
    holds "/plan/pipeline_parallel"
    holds "does not divide the 100 routed"
    run -3 "$R1SIM" simulate "$scenario" --set calibration=assumed_cpu \
        --set workload.kernel=low_latency
    holds "expert_all_to_all"
}

@test "simulate: --bubble-parts says what bubbles come from, and needs a replay" {
    run -0 --separate-stderr "$R1SIM" simulate "$main_job" --engine fluid --bubble-parts --json
    json '.pipeline | ([.bubble_parts_s[]] | add) - .breakdown_s.bubble | fabs < 1e-9'
    run -0 "$R1SIM" simulate scenarios/tiny_train_cpu.json --engine fluid --bubble-parts
    holds 'of the bubble +dependency [0-9.]+ s, network '
    run -2 "$R1SIM" simulate "$main_job" --bubble-parts --dry-run
    holds 'bubble-parts needs a replay'
}

@test "confidence: collectives are measured ones where all ranks share a node" {
    rings='[.confidence[].component | select(test("all_gather|all_reduce|reduce_scatter"))]'
    run -0 --separate-stderr "$R1SIM" simulate scenarios/tiny_train_cpu.json --json \
        --set cluster=h100_8x8 --set calibration=h100_published --set routing.node_limit=1 \
        --set plan.pipeline_parallel=2 --set plan.data_parallel=4 --set plan.expert_parallel=4
    json "$rings | length == 3"
    json "[.confidence[] | select(.component == \"kernel.all_gather\") | .level] == [\"measured\"]"
    run -0 --separate-stderr "$R1SIM" simulate "$main_job" --json
    json "$rings | length == 0"
    # Tensor-parallel groups never leave one.
    run -0 --separate-stderr "$R1SIM" simulate scenarios/train_v3_512_h100.json --engine fluid --json
    json "$rings | length == 3"
}

@test "simulate: a file that --set names is looked for in the current folder" {
    local mine=mine_${BATS_TEST_NUMBER}_$$.json
    jq '.name = "mine"' topologies/h800_8x8.json >"$BATS_TEST_TMPDIR/$mine"
    cp topologies/calibration/h800_published.json "$BATS_TEST_TMPDIR/curves.json"
    local scenario=$PWD/scenarios/trace_pair_h800_ep64.json
    sed -i "s|\"devices/|\"$PWD/topologies/devices/|" "$BATS_TEST_TMPDIR/$mine"
    cd "$BATS_TEST_TMPDIR"
    run -0 --separate-stderr "$R1SIM" simulate "$scenario" --set cluster="$mine" \
        --set calibration=curves.json --json
    json '.scenario.cluster.name == "mine"'
    # Named by the scenario, it is looked for beside the scenario.
    jq --arg mine "$mine" '.cluster = $mine' "$scenario" >beside.json
    mkdir elsewhere
    cd elsewhere
    run -0 --separate-stderr "$R1SIM" simulate ../beside.json --json
    json '.scenario.cluster.name == "mine"'
    refused_with 3 "cannot be read" simulate ../beside.json --set cluster=curves.json
}

@test "simulate: what takes no SMs and what takes all of them" {
    run -0 --separate-stderr "$R1SIM" simulate scenarios/trace_pair_h800_ep64.json \
        --set plan.comm_sms=0
    [[ "$stderr" =~ "plan.comm_sms is 0: tokens are exchanged as fast" ]]
    refused_with 3 "/plan/comm_sms: leaves no SM for computation: the device of /cluster has 1" \
        simulate scenarios/trace_pair_h800_ep64.json --set cluster.device.sms=1
}

@test "simulate: an exchange alone has no positions, so any number of tokens" {
    run -0 "$R1SIM" simulate scenarios/expert_all_to_all_h800.json --set workload.tokens=200000
}
