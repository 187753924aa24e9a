#!/usr/bin/env bats
# Twenty steps on one rank with scalar kernels give the weights that any schedule and any spread
# over ranks gives with fast ones: FP32 compute, moments and communication.
# shellcheck disable=SC2016,SC2030,SC2031,SC2046,SC2089,SC2090,SC2154  # words, jq programs, bats

setup_file() {
    # Small enough for scalar loops; experts in four groups, of which a token takes two. Checkpoints
    # without FP8, whose rounding would hide how near the weights are. AdamW moves a weight by its
    # gradient over its size, so rounding decides where a gradient is near 0: an epsilon below the
    # mean gradient (1e-3) and above its rounding (1e-9) keeps that from growing. And a text that no
    # change of the documentation changes.
    export JOB="scenarios/tiny_train_cpu.json --compute fp32 --json
        --set model.hidden_size=32 --set model.intermediate_size=48
        --set model.moe_intermediate_size=16 --set model.num_attention_heads=2
        --set model.q_lora_rank=16 --set model.kv_lora_rank=8 --set model.qk_nope_head_dim=8
        --set model.qk_rope_head_dim=4 --set model.v_head_dim=8 --set model.quantization_config=null
        --set workload.precision={\"gemm\":\"bf16\",\"dispatch\":\"bf16\"}
        --set workload.optimizer.moments=fp32 --set workload.sequence_length=8
        --set workload.global_batch_sequences=16 --set workload.steps=20
        --set workload.held_out_fraction=0 --set workload.learning_rate.warmup_steps=5
        --set workload.learning_rate.peak=0.001 --set workload.optimizer.epsilon=1e-6
        --set workload.data=[\"LICENSE\"]"
}

setup() {
    load ../cli/common
}

# plan SCHEDULE PIPELINE DATA EXPERT: without a node limit, the model's groups are.
plan() {
    echo "--set plan.schedule=$1 --set plan.pipeline_parallel=$2 --set plan.data_parallel=$3
        --set plan.expert_parallel=$4 --set routing={\"source\":\"balanced\"}"
}

# train PROGRAM SEED NAME OPTION...
train() {
    local program=$1 seed=$2 name=$3
    shift 3
    # shellcheck disable=SC2086  # words
    "$program" run $JOB --seed "$seed" "$@" --curves "$name.jsonl" \
        --set workload.checkpoint.folder="$name" >"$name.json"
}

# train_alone SEED: once, however many tests ask for it.
train_alone() {
    local name=$BATS_FILE_TMPDIR/alone-$1
    [ ! -e "$name.json" ] || return 0
    # shellcheck disable=SC2046  # words
    train "$R1SIM_SCALAR" "$1" "$name" $(plan 1f1b 1 1 1) --jobs 1
    jq -e '.training.loss.last < .training.loss.first - 0.2' "$name.json"
    jq -e 'all(.network.links[]; .bytes == 0)' "$name.json"
}

# moved ALONE SPREAD: by how many tokens experts' loads differ in the first step in which they do.
moved() {
    jq -n --slurpfile a "$1" --slurpfile b "$2" '[range($a | length) as $step
        | [$a[$step].expert_load[][]] as $x | [$b[$step].expert_load[][]] as $y
        | [range($x | length) as $i | $x[$i] - $y[$i] | fabs] | add / 2 | select(. > 0)]
        | first // 0'
}

# same_weights OPTION...: with the first seed for which both runs choose the same experts. Scores
# that are nearer than rounding, for one token in thousands, make the choice a matter of the order
# of summation, which differs from processor to processor; no more may differ than that.
same_weights() {
    local seed alone spread=$BATS_TEST_TMPDIR/spread differ
    for seed in 0 1 2 3 4 5; do
        alone=$BATS_FILE_TMPDIR/alone-$seed
        train_alone "$seed"
        rm -rf "$spread"
        train "$R1SIM" "$seed" "$spread" "$@"
        differ=$(moved "$alone.jsonl" "$spread.jsonl")
        [ "$differ" = 0 ] && break
        echo "seed $seed: $differ tokens chose other experts"
        ((differ <= 4))
    done
    [ "$differ" = 0 ]
    "$COMPARE" "$spread/step-00000020" "$alone/step-00000020" 1e-5
    jq -e --slurpfile alone "$alone.json" '.training.loss.last
        / $alone[0].training.loss.last - 1 | fabs < 1e-5' "$spread.json"
}

nodes_of_one="--set cluster.gpus_per_node=1 --set cluster.nodes=16 --set cluster.nic.per_node=1
    --set cluster.nic.affinity=[0]"

@test "weights: one rank, fast kernels" {
    # shellcheck disable=SC2046
    same_weights $(plan 1f1b 1 1 1)
}

@test "weights: every schedule" {
    local schedule
    for schedule in "dualpipe 4" "1f1b 4" "zb1p 4" "interleaved 2" "dualpipev 2"; do
        echo "$schedule"
        # shellcheck disable=SC2046,SC2086
        same_weights $(plan $schedule 1 1)
    done
}

@test "weights: experts on four nodes" {
    # shellcheck disable=SC2046,SC2086
    same_weights $(plan 1f1b 1 4 4) $nodes_of_one
}

@test "weights: experts on four ranks, two pipeline ranks, four replicas" {
    # shellcheck disable=SC2046
    same_weights $(plan dualpipe 2 4 4)
}

@test "weights: experts on four nodes of two, two nodes a token" {
    # shellcheck disable=SC2046
    same_weights $(plan 1f1b 1 8 8) --set routing.node_limit=2
    jq -e '.network.links[] | select(.id == "nvlink").bytes_by_kind.dispatch > 0' \
        "$BATS_TEST_TMPDIR/spread.json"
}
