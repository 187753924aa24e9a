#!/usr/bin/env bats
# Malformed scenario, topology, calibration and model files: exit 3 with pointer and line, every
# problem at once, no output left behind, never a crash or a hang.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
}

setup_file() {
    load common
    copy_data "$BATS_FILE_TMPDIR/data"
    cp -r tests/golden/configs/deepseek-r1 "$BATS_FILE_TMPDIR/data/"
}

# refused FILE REGEXP...: simulate exits 3 within 20 s, prints nothing but messages, each REGEXP
# matches, and -o leaves nothing behind.
refused() {
    local file=$1 pattern
    shift
    rm -rf "$BATS_TEST_TMPDIR/out"
    mkdir "$BATS_TEST_TMPDIR/out"
    run -3 --separate-stderr timeout 20 "$R1SIM" simulate "$file" --dry-run \
        -o "$BATS_TEST_TMPDIR/out/report.json"
    [ -z "$output" ]
    [ -z "$(ls -A "$BATS_TEST_TMPDIR/out")" ]
    for pattern in "$@"; do
        [[ "$stderr" =~ $pattern ]] || {
            echo "no match of: $pattern"
            echo "$stderr"
            return 1
        }
    done
}

# edit KIND JQ-EDIT: a copy of the main scenario whose scenario, topology, calibration or model
# file is edited; prints its path.
edit() {
    local data=$BATS_FILE_TMPDIR/data source
    case $1 in
        scenario) source=$main_job ;;
        topology) source=topologies/h800_256x8_mpft.json ;;
        calibration) source=topologies/calibration/h800_published.json ;;
        model) source=deepseek-r1/config.json ;;
    esac
    if [ "$1" = scenario ]; then
        jq "$2" "$data/$source" >"$data/scenarios/edited.json"
    else
        jq "$2" "$data/$source" >"$data/$(dirname "$source")/edited.json"
        local key=$1
        [ "$key" != topology ] || key=cluster
        jq --arg file "../$(dirname "$source")/edited.json" ".$key = \$file" "$data/$main_job" \
            >"$data/scenarios/edited.json"
    fi
    echo "$data/scenarios/edited.json"
}

# bad KIND JQ-EDIT REGEXP...: the edit is refused with messages that match.
bad() {
    refused "$(edit "$1" "$2")" "${@:3}"
}

place='edited\.json:[0-9]+:[0-9]+: '

@test "errors: the unedited copies are fine" {
    for kind in scenario topology calibration model; do
        run -0 "$R1SIM" simulate "$(edit "$kind" .)" --dry-run
    done
}

@test "errors: scenario, wrong types" {
    bad scenario '.plan.pipeline_parallel = "16"' "$place/plan/pipeline_parallel: expects a whole"
    bad scenario '.plan = []' "$place/plan: expects an object"
    bad scenario '.workload.sequence_length = 4096.5' "$place/workload/sequence_length"
    bad scenario '.name = 7' "$place/name: expects a string|text"
    bad scenario '.published = {}' "$place/published"
    bad scenario '.published[0].value = "fast"' "$place/published/0/value"
    bad scenario '.plan.stage_layers = [4, "4"]' "/plan/stage_layers"
    bad scenario '.plan.recompute = "all"' "$place/plan/recompute"
    bad scenario '.cluster = 7' "$place/cluster: expects"
    bad scenario '.model = true' "$place/model: expects"
    bad scenario '.calibration = []' "$place/calibration: expects"
    bad scenario '.seed = -1' "$place/seed: must be at least 0"
    bad scenario '.seed = 1e40' "$place/seed"
    bad scenario '[.]' "expects an object"
    bad scenario '"text"' "expects an object"
    bad scenario 'null' "expects an object"
}

@test "errors: scenario, missing and unknown keys" {
    for key in schema name model cluster calibration workload plan; do
        bad scenario "del(.$key)" "missing key '$key'"
    done
    bad scenario 'del(.workload.kind)' "$place/workload: missing key 'kind'"
    bad scenario 'del(.plan.pipeline_parallel)' "missing key 'pipeline_parallel'"
    bad scenario 'del(.published[1].source)' "/published/1: missing key 'source'"
    bad scenario '.plan.expert_paralel = 64' "$place/plan/expert_paralel: unknown key" \
        "did you mean 'expert_parallel'"
    bad scenario '.wrkload = 1' "/wrkload: unknown key" "did you mean 'workload'"
    bad scenario '.workload.kind = "trian"' "/workload/kind" "did you mean 'train'"
    bad scenario '.plan.schedule = "dualpip"' "did you mean 'dualpipe'"
    bad scenario '.plan.recompute = ["swigluu"]' "did you mean 'swiglu'"
    bad scenario '.workload.precision.gemm = "fp4"' "/workload/precision/gemm"
    bad scenario '.schema = "r1sim.topology/1"' "/schema" "r1sim.scenario/1"
    bad scenario '.schema = "r1sim.scenario/2"' "/schema"
}

@test "errors: scenario, how it trains" {
    bad scenario '.workload.steps = 0 | .workload.data = ["a", ""]
        | .workload.learning_rate.decay = "cosin" | .workload.optimizer.beta_2 = 0.9
        | .workload.checkpoint.every_steps = 10' \
        "$place/workload/steps: must be from 1" "$place/workload/data: a path must not be empty" \
        "$place/workload/learning_rate/decay: .*did you mean 'cosine'" \
        "$place/workload/optimizer/beta_2: unknown key .*did you mean 'beta2'" \
        "$place/workload/checkpoint: missing key 'folder'"
    bad scenario '.workload.kind = "prefill" | .workload.steps = 5' \
        "$place/workload/steps: only a workload of kind 'train' has this key"
}

@test "errors: scenario, numbers that do not fit together" {
    bad scenario '.plan.expert_parallel = 96' "$place/plan/expert_parallel: 96 does not divide" \
        "data_parallel 128" "256 routed"
    bad scenario '.plan.redundant_experts = 7' "$place/plan/expert_parallel: 64 does not divide" \
        "263"
    bad scenario '.plan.pipeline_parallel = 15 | .plan.data_parallel = 128' "even number of ranks"
    bad scenario '.plan.pipeline_parallel = 32' "4096 ranks do not fit on 2048 GPUs"
    bad scenario '.plan.pipeline_parallel = 4096 | del(.plan.data_parallel)' \
        "4096 ranks do not fit on 2048 GPUs"
    bad scenario '.plan.pipeline_parallel = 24 | del(.plan.data_parallel)' "does not divide the 2048"
    bad scenario '.plan.data_parallel = 1' "64 does not divide data_parallel 1"
    bad scenario '.plan.data_parallel = 0' "/plan/data_parallel: must be from 1"
    bad scenario '.plan.tensor_parallel = 3 | del(.plan.data_parallel)' \
        "16 x 3 = 48, with tensor_parallel, does not divide the 2048 GPUs" \
        "/plan/tensor_parallel: 3 does not divide the 8 GPUs of a node" \
        "3 does not divide the 128 attention heads"
    bad scenario '.plan.tensor_parallel = 2 | .plan.data_parallel = 16' \
        "64 does not divide data_parallel 16 x tensor_parallel 2 = 32"
    bad scenario '.plan.stage_layers = [0, 0]' "2 entries for 16 stages"
    bad scenario '.plan.stage_layers = [range(16) | 4]' "add up to 64, the model has 61 layers"
    bad scenario '.plan.stage_layers = [0, 5, (range(14) | 4)]' "stage 0 has no decoder layer"
    bad scenario '.plan.stage_layers = [-1, 6, (range(14) | 4)]' "/plan/stage_layers"
    bad scenario '.plan.comm_sms = 132' "leaves no SM for computation"
    bad scenario '.workload.global_batch_sequences = 15361' "not a multiple of"
    bad scenario '.workload.sequence_length = 1e7' "exceeds the model's max_position_embeddings"
    bad scenario '.routing.node_limit = 99' "/routing/node_limit"
    bad scenario '.plan.schedule = "interleaved" | .plan.virtual_stages = 8
        | .workload.global_batch_sequences = 16384' "128 stages for 61"
}

@test "errors: scenario, where experts lie" {
    local skewed='.routing = {"source": "zipf", "placement": "balanced"}'
    bad scenario '.routing.placement = "balancd"' "$place/routing/placement: .*did you mean 'balanced'"
    bad scenario '.routing = {"source": "balanced", "placement": "balanced"}' \
        "/routing/placement: 'balanced' goes by loads that differ: routing.source 'zipf'"
    bad scenario '.routing = {"source": "captured", "binding": "b.json", "placement": "balanced"}' \
        "/routing/placement: 'balanced' needs what each token chose"
    bad scenario "$skewed | .plan.redundant_experts = 64" \
        "$place/plan/redundant_experts: must be 0 where 'train' .* add up their gradients"
    bad scenario "$skewed | .plan.redundant_experts = 7" "64 does not divide the 263 routed and"
    run -0 "$R1SIM" simulate "$(edit scenario "$skewed")" --dry-run
}

@test "errors: scenario, baselines" {
    bad scenario '.baseline = 5' "$place/baseline: expects an object"
    bad scenario '.baseline = {"cluster": 5}' "$place/baseline/cluster: expects an object"
    bad scenario '.baseline = {"calibration": []}' "/baseline/calibration: expects an object"
    bad scenario '.baseline = {"clustr": "h800_256x8_mpft"}' "/baseline/clustr: unknown key" \
        "did you mean 'cluster'"
    bad scenario '.baseline = {"cluster": "no/such.json"}' "$place/baseline/cluster" "such.json"
    bad scenario '.baseline = {"cluster": "h800_256x8_mptf", "calibration": "none.json"}' \
        "$place/baseline/cluster" "did you mean 'h800_256x8_mpft'" "/baseline/calibration" "none.json"
    bad scenario '.baseline = {"cluster": "h800_8x8"}' \
        "/baseline/cluster/nodes: 2048 ranks do not fit on 64 GPUs"
    bad scenario '.baseline = {"cluster": "cpu_local"}' \
        "/baseline/cluster/fabric: 2048 ranks need a network"
    refused_with 3 "/baseline/cluster/gpus_per_node: must be as" simulate "$main_job" --dry-run \
        --set 'baseline={}' --set baseline.cluster.gpus_per_node=4 \
        --set baseline.cluster.nvlink.domain_gpus=4 --set baseline.cluster.nic.affinity=[0,1,2,3]
    bad scenario '.baseline = {"calibration": {"name": "empty"}}' "/baseline/calibration: missing key"
    refused_with 3 "/baseline/cluster/nvlink/bandwidth_gb_per_s: must be" simulate "$main_job" \
        --dry-run --set 'baseline={}' --set baseline.cluster.nvlink.bandwidth_gb_per_s=-1
}

@test "errors: scenario, sizes that no machine could hold" {
    bad scenario '.workload.global_batch_sequences = 128e6' "1000000 micro-batches a pipeline are too" \
        "at most 300000"
    bad scenario '.workload.global_batch_sequences = 1e12' "/workload/global_batch_sequences"
    bad scenario '.plan.pipeline_parallel = 65536 | del(.plan.data_parallel)' "do not fit"
    bad scenario '.workload.micro_batch_sequences = 1e6' "tokens in a micro-batch"
    bad scenario '.plan.virtual_stages = 2147483648' "/plan/virtual_stages"
    bad scenario '.workload.sequence_length = 9223372036854775807' "/workload/sequence_length"
}

@test "errors: topology" {
    bad topology '.nvlink.bandwidth_gb_per_s = -200' \
        "$place/cluster/nvlink/bandwidth_gb_per_s: must be"
    bad topology '.nic.bandwidth_gb_per_s = 0' "$place/cluster/nic/bandwidth_gb_per_s"
    bad topology '.nic.achievable_fraction = 1.5' "/cluster/nic/achievable_fraction"
    bad topology '.nvlink.latency_us = -1' "/cluster/nvlink/latency_us"
    bad topology '.nodes = 0' "/cluster/nodes"
    bad topology '.nodes = 1048576' "/cluster/nodes: more than"
    bad topology '.nodes = 4096' "two-layer tree of 64-port switches holds 2048 NICs per plane"
    bad topology '.gpus_per_node = "8"' "/cluster/gpus_per_node: expects a whole number"
    bad topology 'del(.fabric)' "/cluster: missing key 'fabric'"
    bad topology 'del(.nic)' "/cluster/nic: missing"
    bad topology '.fabric.kind = "mptf"' "did you mean 'mpft'"
    bad topology '.fabric.oversubscription = 0.5' "/cluster/fabric/oversubscription"
    bad topology '.fabric.planes = 4' "/cluster/fabric/planes"
    bad topology '.nic.affinity = [0, 1]' "/cluster/nic/affinity: must name a NIC for each"
    bad topology '.nic.affinity[3] = 8' "NIC 8 does not exist"
    bad topology '.overrides = [{"link": "node0.nic9", "degrade": 0.5}]' \
        "/cluster/overrides/0/link: unknown link 'node0.nic9'"
    bad topology '.overrides = [{"link": "node0.nic1", "degrade": 2}]' "/overrides/0/degrade"
    bad topology '.overrides = [{"link": "node0.nic1"}]' "needs either"
    bad topology '.speed = 1' "/cluster/speed: unknown key"
    bad topology '.device = "h900"' "/device: the device cannot be read" "no preset"
    bad topology '.device = 5' "/cluster/device: expects an object"
    bad topology '.schema = "r1sim.scenario/1"' "/cluster/schema"
    run -3 "$R1SIM" topology "$BATS_FILE_TMPDIR/data/topologies/edited.json"
    holds "edited.json:[0-9]+:[0-9]+: /schema"
}

@test "errors: calibration" {
    bad calibration '.curves[0].points[0].value = -1' \
        "$place/calibration/curves/0/points/0/value: must be"
    bad calibration '.curves[0].points[0].value = "fast"' "/curves/0/points/0/value: expects"
    bad calibration '.curves[0].points[0].source = "nobody"' "unknown source 'nobody'"
    bad calibration 'del(.curves[0].points[0].row)' "missing key 'row'"
    bad calibration '.curves[0].points = []' "a curve needs a point"
    bad calibration '.curves[0].points[0].speed = 1' "/speed: unknown key"
    bad calibration '.curves = {}' "/calibration/curves"
    bad calibration 'del(.sources)' "missing key 'sources'"
}

@test "errors: model config" {
    bad model '.hidden_size = "7168"' "$place/model/hidden_size: expects a whole number"
    bad model 'del(.kv_lora_rank)' "missing key 'kv_lora_rank'"
    bad model '.num_hidden_layers = -61' "/model/num_hidden_layers"
    bad model '.num_hidden_layers = 1e15' "/model/num_hidden_layers: must be from 1 to 1000"
    bad model '.n_group = 7' "/model/n_group: must divide"
    bad model '.model_type = "mixtral"' "model type 'mixtral' is not supported"
}

@test "errors: all problems at once, of all files" {
    bad scenario '.plan.expert_parallel = -1 | .workload.kind = "trian" | .nmae = 1 | .seed = "x"
        | del(.workload.sequence_length) | .prices.pue = 0.5' \
        "/plan/expert_parallel" "/workload/kind" "/nmae" "/seed" "'sequence_length'" "/prices/pue"
    [ "$(grep -c "edited.json:" <<<"$stderr")" -eq 6 ]
    bad scenario '.model = "deepseek-r9" | .cluster = "h801_256x8_mpft" | .calibration = "none.json"
        | .plan.comm_smss = 1' \
        "/model: cannot be loaded" "did you mean 'deepseek-r1'" "/cluster: cannot be loaded" \
        "did you mean 'h800_256x8_mpft'" "/calibration: cannot be loaded" "/plan/comm_smss"
    bad topology '.nodes = -1 | .nic.bandwidth_gb_per_s = -1' \
        "/cluster/nodes" "/cluster/nic/bandwidth_gb_per_s"
    [ "$(grep -c "/cluster/nodes" <<<"$stderr")" -eq 1 ]
    # Wrong overrides too.
    run -3 "$R1SIM" simulate "$main_job" --dry-run --set plan.x=1 --set cluster.nodes=-4 --set seed=x
    holds "--set: /plan/x"
    holds "--set: /cluster/nodes"
    holds "--set: /seed"
    refused_with 3 "--set: 'name=.*' is not UTF-8: byte 5" simulate "$main_job" --dry-run --json \
        --set name=$'\xff'
}

@test "errors: the line and a caret are shown" {
    local data=$BATS_FILE_TMPDIR/data
    sed 's/"data_parallel": 128/"data_parallel": "128"/' "$main_job" >"$data/scenarios/edited.json"
    line=$(grep -n '"data_parallel": "128"' "$data/scenarios/edited.json" | cut -d: -f1)
    refused "$data/scenarios/edited.json" "edited.json:$line:26: /plan/data_parallel: expects" \
        $'\n +"data_parallel": "128",\n +\\^'
}

# raw NAME: a scenario file from stdin.
raw() {
    cat >"$BATS_TEST_TMPDIR/raw.json"
    refused "$BATS_TEST_TMPDIR/raw.json" "raw.json" "$@"
}

@test "errors: files that are no JSON" {
    head -c 500 "$main_job" | raw ":[0-9]+:[0-9]+"
    head -c -3 "$main_job" | raw ":[0-9]+:[0-9]+"
    sed 's/"seed": 0/"seed": 0,/' "$main_job" | raw ":[0-9]+:[0-9]+"
    sed 's/"seed": 0/"seed": NaN/' "$main_job" | raw ":[0-9]+:[0-9]+"
    sed 's/"seed": 0/"seed": 0 } extra {/' "$main_job" | raw ":[0-9]+:[0-9]+"
    sed 's/"seed": 0/"seed": 1, "seed": 2/' "$main_job" | raw "duplicate key|twice"
    printf '' | raw
    printf ' \n\n' | raw
    printf '\0\0\0\0' | raw
    printf '{"name": "\xff\xfe"}' | raw
    head -c 4096 "$R1SIM" | raw
}

@test "errors: 100 MB of nested brackets" {
    head -c 100000000 /dev/zero | tr '\0' '[' >"$BATS_TEST_TMPDIR/deep.json"
    refused "$BATS_TEST_TMPDIR/deep.json" "deep.json:1:" "nest|deep"
    run -3 timeout 20 "$R1SIM" model "$BATS_TEST_TMPDIR/deep.json"
    run -3 timeout 20 "$R1SIM" topology "$BATS_TEST_TMPDIR/deep.json"
    rm "$BATS_TEST_TMPDIR/deep.json"
    head -c 400000 /dev/zero | sed 's/\x0/{"a":/g' | raw "nest|deep"
}

@test "errors: folders, missing and unreadable files" {
    refused "$BATS_TEST_TMPDIR" "is a folder"
    refused "$BATS_TEST_TMPDIR/missing.json" "missing.json: cannot be read"
    refused "$(printf 'x%.0s' {1..5000})" "cannot be read"
    refused "$main_job/inside.json" "cannot be read"
    refused /dev/null "null"
    bad scenario '.cluster = "./"' "/cluster: cannot be loaded"
    bad scenario '.model = ("x" * 5000)' "/model: cannot be loaded"
    bad scenario '.model = ""' "/model"
}

@test "errors: a file without read permission" {
    [ "$(id -u)" -ne 0 ] || skip "root reads everything"
    cp "$main_job" "$BATS_TEST_TMPDIR/secret.json"
    chmod 000 "$BATS_TEST_TMPDIR/secret.json"
    refused "$BATS_TEST_TMPDIR/secret.json" "Permission denied"
}

@test "errors: an existing -o file survives a refused run" {
    echo kept >"$BATS_TEST_TMPDIR/report.json"
    run -3 "$R1SIM" simulate "$main_job" --set plan.x=1 -o "$BATS_TEST_TMPDIR/report.json"
    [ "$(<"$BATS_TEST_TMPDIR/report.json")" = kept ]
}

@test "errors: rates that would overflow the timeline" {
    bad topology '.nvlink.bandwidth_gb_per_s = 1e300' "/cluster/nvlink/bandwidth_gb_per_s: must be"
    bad calibration '.curves[0].points[0].value = 1e-300' "/curves/0/points/0/value: must be"
    run -3 timeout 20 "$R1SIM" simulate "$main_job" --set cluster.nic.bandwidth_gb_per_s=1e-9
    holds "the step takes more than 100 days"
}
