#!/usr/bin/env bats
# r1sim plan: the published run, the search on a small model, infeasible goals, wrong plan files.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
}

# A small plan and its answer, once for all tests that only read them.
setup_file() {
    load common
    cat >"$BATS_FILE_TMPDIR/small.json" <<'EOF'
{
    "schema": "r1sim.plan/1",
    "name": "small",
    "goal": {"kind": "pretrain", "tokens": 1e11, "days": 14},
    "model": "tiny-r1",
    "workload": {"sequence_length": 256, "global_batch_sequences": 192},
    "candidates": {
        "clusters": ["h800_8x8", {"cluster": "h100_8x8", "usd_per_gpu_hour": 3}],
        "gpus": [32, 64],
        "pipeline_parallel": [1, 2, 4],
        "expert_parallel": [8, 16],
        "schedule": ["1f1b", "dualpipe"],
        "comm_sms": [20]
    },
    "prices": "rental_2usd",
    "search": {"simulate_min": 6}
}
EOF
    "$R1SIM" plan "$BATS_FILE_TMPDIR/small.json" -o "$BATS_FILE_TMPDIR/answer.json" \
        >"$BATS_FILE_TMPDIR/table.txt" 2>"$BATS_FILE_TMPDIR/stderr.txt"
}

use_answer() {
    output=$(<"$BATS_FILE_TMPDIR/answer.json")
}

# small FILTER: a variant of the small plan as edited.json.
small() {
    jq "$1" "$BATS_FILE_TMPDIR/small.json" >"$BATS_TEST_TMPDIR/edited.json"
}

@test "plan: the published run takes the published GPU-hours, within what the step is off" {
    run -0 --separate-stderr "$R1SIM" plan scenarios/plan_pretrain_14.8t.json --json
    step=$("$R1SIM" simulate "$main_job" --engine fluid --json | jq .step.time_s)
    json '.feasible and .best == 0 and (.candidates | length) == 1'
    json '.candidates[0] | .step_time_s == $step and .gpus == 2048 and .plan.data_parallel == 128' \
        --argjson step "$step"
    # 14.8e12 tokens in steps of 15360 x 4096; 180,000 GPU-hours a trillion are published, and the
    # simulated step is 5.9 % faster than the published one.
    json '.candidates[0] | .gpu_hours_productive
        / (14.8e12 / (15360 * 4096) * .step_time_s * 2048 / 3600) - 1 | fabs < 1e-12'
    json '.candidates[0].gpu_hours_productive / 14.8 / 180e3 - 1 | fabs < 0.06'
    json '.candidates[0] | .gpu_hours > .gpu_hours_productive
        and (.gpu_hours / .gpu_hours_productive * .failures.goodput - 1 | fabs < 1e-9)
        and (.cost_usd / .gpu_hours - 2 | fabs < 1e-9)
        and (.days * 24 * 2048 / .gpu_hours - 1 | fabs < 1e-9)
        and (.energy_mwh / (.gpu_hours * 700e-6 * 1.2) - 1 | fabs < 1e-9)'
    json '.candidates[0].bottleneck.resource == "matrix_units"
        and (.upgrades | map(.resource) | index("matrix_units")) != null'
}

@test "plan: every simulated candidate carries its scenario, whose step simulate confirms" {
    use_answer
    json '.search.simulated >= 6 and .search.proven'
    json 'all(.candidates[]; (.step_time_s == null) == (.scenario == null))'
    json 'all(.candidates[] | select(.step_time_s); .bound.step_time_s <= .step_time_s)'
    for i in $(jq -r '[.candidates | to_entries[] | select(.value.scenario) | .key][:5][]' \
        <<<"$output"); do
        jq ".candidates[$i].scenario" <<<"$output" >"$BATS_TEST_TMPDIR/scenario.json"
        step=$("$R1SIM" simulate "$BATS_TEST_TMPDIR/scenario.json" --json | jq .step.time_s)
        json '.candidates[$i].step_time_s == $step' --argjson i "$i" --argjson step "$step"
    done
}

@test "plan: candidates are ranked, and who is not feasible says why" {
    use_answer
    json '.feasible and .candidates[0].feasible'
    json '[.candidates[] | select(.feasible) | .cost_usd] | . == sort and length > 0'
    json 'all(.candidates[]; (.feasible == true) == (.why_not == null))'
    json 'all(.candidates[] | select(.feasible); .days <= 14 and .memory.fits)'
    json '.search.candidates == (.candidates | length) and .search.candidates == 48'
    json '.search.bounded == ([.candidates[] | select(.bound)] | length)
        and .search.simulated == ([.candidates[] | select(.step_time_s)] | length)'
    json '[.candidates[] | select(.why_not) | .why_not] | any(test("does not divide"))'
    json 'all(.candidates[] | select(.step_time_s);
        .confidence[0].level and .bottleneck.share > 0 and .failures.mtbf_hours > 0)'
    grep -q "^Best: " "$BATS_FILE_TMPDIR/table.txt"
    [ ! -s "$BATS_FILE_TMPDIR/stderr.txt" ]
}

@test "plan: a cluster's own price counts" {
    use_answer
    json 'all(.candidates[] | select(.step_time_s);
        (.cost_usd / .gpu_hours - (if .cluster == "h100_8x8" then 3 else 2 end) | fabs) < 1e-9)'
}

@test "plan: same bytes whatever the number of threads, apart from run_info" {
    "$R1SIM" plan "$BATS_FILE_TMPDIR/small.json" --jobs 1 -o "$BATS_TEST_TMPDIR/one.json" >/dev/null
    "$R1SIM" plan "$BATS_FILE_TMPDIR/small.json" --jobs 3 -o "$BATS_TEST_TMPDIR/two.json" >/dev/null
    for file in one two; do
        jq 'del(.run_info)' "$BATS_TEST_TMPDIR/$file.json" >"$BATS_TEST_TMPDIR/$file.rest"
    done
    same "$BATS_TEST_TMPDIR/one.rest" "$BATS_TEST_TMPDIR/two.rest"
}

@test "plan: plans, prices and answers conform to their schemas" {
    for file in scenarios/plan_pretrain_14.8t.json scenarios/plan_pretrain_30_days_h100.json \
        "$BATS_FILE_TMPDIR/small.json"; do
        output=$(<"$file")
        conforms plan
    done
    for file in topologies/prices/*.json; do
        [[ "$file" == *.schema.json ]] && continue
        output=$(<"$file")
        conforms prices
    done
    use_answer
    conforms plan_answer
    output=$(jq '.candidates[0].gpus = 1.5' "$BATS_FILE_TMPDIR/answer.json")
    run ! conforms plan_answer
    output=$(jq 'del(.search.proven)' "$BATS_FILE_TMPDIR/answer.json")
    run ! conforms plan_answer
}

@test "plan: impossible goals exit 4 with the nearest feasible answer" {
    small '.candidates.clusters = ["h800_8x8"] | .candidates.gpus = [64]'
    infeasible() { # CONSTRAINT SET-ARGUMENT
        run -4 --separate-stderr "$R1SIM" plan "$BATS_TEST_TMPDIR/edited.json" --json --set "$2"
        conforms plan_answer
        json '(.feasible | not) and .best == null and all(.candidates[]; .feasible == false)'
        json 'any(.nearest[]; (.changes | length) == 1 and .changes[0].constraint == $constraint
            and .changes[0].needed > .changes[0].given)' --arg constraint "$1"
    }
    infeasible goal.days goal.days=-2
    infeasible constraints.usd constraints.usd=0
    infeasible constraints.gpus constraints.gpus=8
    infeasible constraints.power_mw constraints.power_mw=0.001
    infeasible constraints.memory constraints.memory=1e-6
}

@test "plan: where no candidate is a scenario, the nearest numbers that make one" {
    near() { # CONSTRAINT NEEDED SET-ARGUMENT
        run -4 --separate-stderr "$R1SIM" plan "$BATS_FILE_TMPDIR/small.json" --json --set "$3"
        conforms plan_answer
        json '.search.bounded == 0 and .nearest[0].changes
            == [{constraint: $constraint, given: (.nearest[0].changes[0].given), needed: $needed}]' \
            --arg constraint "$1" --argjson needed "$2"
    }
    near candidates.gpus 16 candidates.gpus=[12]
    json 'all(.candidates[]; .why_not | test("no whole nodes"))'
    near candidates.expert_parallel 8 candidates.expert_parallel=[7]
    "$R1SIM" plan "$BATS_FILE_TMPDIR/small.json" --set candidates.expert_parallel=[8] >/dev/null
    run -4 "$R1SIM" plan "$BATS_FILE_TMPDIR/small.json" --set candidates.expert_parallel=[7]
    holds "It would be a scenario with candidates.expert_parallel 8 instead of 7; now it is:"
}

@test "plan: where no run ends, what would have to change" {
    small '.candidates += {clusters: ["h800_8x8"], gpus: [64], pipeline_parallel: [2],
        expert_parallel: [16], schedule: ["1f1b"]} | .goal.tokens = 1e13 | .goal.days = 500'
    hopeless() { # CONSTRAINT WHY-NOT SET-ARGUMENT
        run -4 --separate-stderr "$R1SIM" plan "$BATS_TEST_TMPDIR/edited.json" --json --set "$3"
        conforms plan_answer
        json '.nearest[0].changes | length == 1 and .[0].constraint == $constraint' \
            --arg constraint "$1"
        json '.candidates[0].why_not | test($why_not)' --arg why_not "$2"
        needed=$(jq '.nearest[0].changes[0].needed' <<<"$output")
    }
    hopeless prices.checkpoint.interval_s "checkpoint comes every 1e\\+09 s$" \
        prices.checkpoint.interval_s=1e9
    "$R1SIM" plan "$BATS_TEST_TMPDIR/edited.json" \
        --set prices.checkpoint.interval_s="$needed" >/dev/null
    hopeless failures.mtbf_hours "a restart of 600 s do not get through" \
        'prices.failures={"gpu_mtbf_hours": 0.2}'
    "$R1SIM" plan "$BATS_TEST_TMPDIR/edited.json" \
        --set prices.failures="{\"gpu_mtbf_hours\": $(jq -n "$needed * 64")}" >/dev/null
}

@test "plan: the table tells apart what differs, and says what it leaves out" {
    small '.candidates += {clusters: ["h800_8x8", {cluster: "h800_8x8", usd_per_gpu_hour: 3}],
        gpus: [64], pipeline_parallel: [2], expert_parallel: [16], schedule: ["1f1b"],
        comm_sms: [0, 16, 20], global_batch_sequences: [192, 384]}
        | .search = {simulate_min: 99} | .goal.tokens = 1e9'
    run -0 "$R1SIM" plan "$BATS_TEST_TMPDIR/edited.json" -o "$BATS_TEST_TMPDIR/answer.json"
    rows=$(grep -c "^ *64  h800_8x8\[[01]\] .* comm_sms [0-9]* global_batch_sequences [0-9]*$" \
        <<<"$output")
    [ "$rows" -eq 10 ]
    holds "and 2 more, which the JSON lists"
    holds "Steps are of batches of different sizes"
    [ "$(grep "^ *64  h800" <<<"$output" | sort | uniq -d | wc -l)" -eq 0 ]
    # The run takes an hour: days and what is saved have digits.
    holds " 0\.0[0-9]{3} +[0-9.]+ +[0-9.]+ +0\.0  PP2"
    holds "compute +saves +0\.0000[1-9] days"
    jq -e '[.candidates[].cluster_index] | unique == [0, 1]' "$BATS_TEST_TMPDIR/answer.json"
    jq -e 'all(.candidates[]; .cluster == "h800_8x8")' "$BATS_TEST_TMPDIR/answer.json"
    # Candidates that are not feasible are no rows beside feasible ones, and are never called so.
    run -0 "$R1SIM" plan "$BATS_FILE_TMPDIR/small.json" --set goal.days=1e9 \
        --set constraints.gpus=32 --set search.simulate_min=99
    holds "Feasible, the best first"
    [[ ! "$output" =~ "    64  h" ]]
    run -4 "$R1SIM" plan "$BATS_TEST_TMPDIR/edited.json" --set constraints.gpus=8
    holds "Simulated, none of them feasible"
    [[ ! "$output" =~ "Feasible, the best" ]]
    holds "It would be with constraints.gpus 64 instead of 8; now it is:"
    # Columns keep apart whatever their numbers.
    run -0 "$R1SIM" plan scenarios/plan_pretrain_14.8t.json --set goal.tokens=1e18
    holds "18\.760  +34[0-9]{5}\.[0-9]  "
}

@test "plan: the nearest answer is one" {
    run -4 --separate-stderr "$R1SIM" plan "$BATS_FILE_TMPDIR/small.json" --json \
        --set goal.days=0.001
    days=$(jq '.nearest[0].changes[0].needed' <<<"$output")
    "$R1SIM" plan "$BATS_FILE_TMPDIR/small.json" --set goal.days="$days" >/dev/null
}

@test "plan: malformed plans exit 3 with the place" {
    malformed() { # FILTER PATTERN
        small "$1"
        refused_with 3 "$2" plan "$BATS_TEST_TMPDIR/edited.json"
    }
    malformed 'del(.goal)' "missing key 'goal'"
    malformed '.goal.tokens = "many"' "/goal/tokens"
    malformed '.gaol = {}' "did you mean 'goal'"
    malformed '.candidates.schedule = ["dualpip"]' "/candidates/schedule/0.*did you mean 'dualpipe'"
    malformed '.candidates.pipeline_parallel = [0]' "/candidates/pipeline_parallel/0"
    malformed '.candidates.recompute = [["norm"]]' "/candidates/recompute/0"
    malformed '.candidates.recompute = [[null]]' "/candidates/recompute/0/0: expects a string"
    malformed '.candidates.schedule = [null]' "/candidates/schedule/0: expects a value"
    malformed '.search = {"simulate_min": 6, "simulate_max": 5}' "/search/simulate_min"
    malformed '.prices = {"usd_per_gpu_hour": 1e300, "schema": "r1sim.prices/1"}' \
        "/prices/usd_per_gpu_hour"
    malformed '.candidates.clusters = []' "/candidates/clusters"
    malformed '.candidates.clusters = ["h800_8x9"]' "did you mean 'h800_8x8'"
    malformed '.workload.sequence_length = -1' "edited.json:.*/workload/sequence_length"
    malformed '.workload.kind = "decode"' "/workload/kind"
    malformed '.workload.global_batch_sequences = "all"' "/workload/global_batch_sequences"
    malformed '.routing = {"node_limit": 0}' "/routing/node_limit"
    malformed '.plan = {"schedule": 5}' "/plan/schedule"
    malformed '.model = "no-model"' "no model preset"
    malformed '.routing = {"source": "captured"}' "/routing/source"
    malformed '.replay = {"engine": "simgrid"}' "/replay/engine"
    malformed '.prices = {"usd_per_gpu_hour": 2, "schema": "r1sim.prices/1", "pue": 0.5}' \
        "/prices/pue"
    malformed '.candidates.gpus = [range(8; 40000; 8)]' "too many"
    malformed 'del(.goal) | .objective = "fun"' "/objective"
    malformed '.candidates.gpus = []' "/candidates/gpus: must list"
    malformed '.candidates.clusters[1].gpus = []' "/candidates/clusters/1/gpus: must list"
    malformed '.candidates.pipeline_parallel = []' "/candidates/pipeline_parallel: must be a list"
    malformed '.candidates.clusters[1].calibration = "h100_publishd"' \
        "edited.json:.*/candidates/clusters/1/calibration.*did you mean 'h100_published'"
    malformed '.candidates.clusters = ["cpu_local"]' \
        "/candidates/clusters/0: needs a 'calibration'.*'cpu_published'"
}

@test "plan: all problems at once" {
    at_once() { # FILTER REGEXP...
        small "$1"
        shift
        run -3 --separate-stderr "$R1SIM" plan "$BATS_TEST_TMPDIR/edited.json"
        output=$stderr
        for pattern in "$@"; do
            holds "$pattern"
        done
    }
    # Whatever cannot be loaded, the rest is read.
    at_once '.prices = "rental_3usd" | .model = "tiny-r2" | .goal.dayz = 1 | .objective = "fun"
        | .workload = {sequence_lenght: 4, global_batch_sequences: 4}
        | .candidates.pipeline_paralel = [1] | .candidates.clusters[0] = "h800_8x9"
        | .routing = {skeww: 1} | .replay.stragglers = {per_rank: -1}' \
        "edited.json:[0-9]+:[0-9]+: /prices: cannot" "did you mean 'rental_2usd'" \
        "/model: cannot" "did you mean 'tiny-r1'" "/goal/dayz" "/objective" \
        "edited.json:[0-9]+:[0-9]+: /workload/sequence_lenght" "/candidates/pipeline_paralel" \
        "/candidates/clusters/0: cannot" "/routing/skeww" "/replay/stragglers/per_rank"
    [[ ! "$output" =~ "/prices: expects" && ! "$output" =~ "/model: expects" ]]
    # A batch that the candidates choose is not missed in the workload.
    at_once 'del(.workload.global_batch_sequences) | .candidates.global_batch_sequences = []' \
        "/candidates/global_batch_sequences"
    [[ ! "$output" =~ "missing key" ]]
    at_once '.workload.sequence_length = 1e6 | .candidates.gpus = [12]' "max_position_embeddings"
}

@test "plan: --set reaches into the files that a plan names" {
    small '.candidates += {clusters: ["h800_8x8"], gpus: [64], pipeline_parallel: [2],
        expert_parallel: [16], schedule: ["1f1b"]}'
    answer() { # SET-ARGUMENT...
        run -0 --separate-stderr "$R1SIM" plan "$BATS_TEST_TMPDIR/edited.json" --json "${@/#/--set=}"
    }
    answer model.num_hidden_layers=5 candidates.clusters.0.cluster.nvlink.bandwidth_gb_per_s=450 \
        candidates.clusters.0.cluster.device.sms=100 candidates.clusters.0.usd_per_gpu_hour=7
    jq '.candidates[0].scenario' <<<"$output" >"$BATS_TEST_TMPDIR/scenario.json"
    json '.candidates[0].scenario | .model.num_hidden_layers == 5
        and .cluster.nvlink.bandwidth_gb_per_s == 450 and .cluster.device.sms == 100
        and .prices.usd_per_gpu_hour == 7'
    step=$("$R1SIM" simulate "$BATS_TEST_TMPDIR/scenario.json" --json | jq .step.time_s)
    json '.candidates[0].step_time_s == $step' --argjson step "$step"
    # A whole member comes before the fields of its file, wherever it stands.
    answer candidates.clusters.0.cluster.device.sms=100 candidates.clusters.0=h100_8x8 \
        model.num_hidden_layers=5 model=deepseek-v3
    json '.candidates[0] | .cluster == "h100_8x8" and .scenario.cluster.device.sms == 100
        and .scenario.model.num_hidden_layers == 5 and .scenario.model.hidden_size == 7168'
    answer goal.days=30
    json '.candidates[0].scenario.model == "tiny-r1"'
    refused_with 3 "^--set: /candidates/clusters/0/cluster/nvlink/bandwidth: unknown" \
        plan "$BATS_TEST_TMPDIR/edited.json" --set candidates.clusters.0.cluster.nvlink.bandwidth=4
    refused_with 3 "/model/num_hidden_layers.*/goal/days.x: runs|/goal/days.*/model/num_hidden" \
        plan "$BATS_TEST_TMPDIR/edited.json" --set model.num_hidden_layers=-1 --set /goal/days/x=1
}

@test "plan: serving is not in this version" {
    small '.goal.kind = "serve"'
    refused_with 5 "serve" plan "$BATS_TEST_TMPDIR/edited.json"
}

@test "plan: an answer that the search did not prove says so" {
    # The cheap candidate could be in time by its bound, and is not; the other would be.
    small '.candidates += {pipeline_parallel: [2], expert_parallel: [8], schedule: ["dualpipe"],
        clusters: [{cluster: "h800_8x8", usd_per_gpu_hour: 1, gpus: [32]},
                   {cluster: "h800_8x8", usd_per_gpu_hour: 99, gpus: [64]}]}
        | .search = {"simulate_max": 1}'
    run -0 "$R1SIM" plan "$BATS_TEST_TMPDIR/edited.json" --json
    json '.search.proven and .candidates[0].gpus == 32'
    days=$(jq '.candidates[0] | (.bound.days + .days) / 2' <<<"$output")
    run -4 "$R1SIM" plan "$BATS_TEST_TMPDIR/edited.json" --set goal.days="$days" \
        -o "$BATS_TEST_TMPDIR/answer.json"
    holds "No candidate that was simulated is feasible; a larger search.simulate_max may find one"
    output=$(<"$BATS_TEST_TMPDIR/answer.json")
    json '(.search.proven | not) and .search.simulated == 1 and (.nearest | length) == 1
        and any(.candidates[]; .feasible == null and (.why_not | test("simulate_max is 1")))'
}

@test "plan: null is no limit" {
    run -0 --separate-stderr "$R1SIM" plan scenarios/plan_pretrain_14.8t.json --json \
        --set goal.days=null --set constraints.usd=null --set prices.checkpoint.interval_s=null \
        --set prices.failures.switch_mtbf_hours=null
    json '.candidates[0].feasible'
}
