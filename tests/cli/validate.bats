#!/usr/bin/env bats
# validate: a real run of the tiny training scenario against its simulation, and planted errors.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

# Two pipeline ranks under DualPipe, two replicas, experts on both: quick.
small=(scenarios/tiny_train_cpu.json --set workload.sequence_length=64
    --set workload.global_batch_sequences=8 --set plan.data_parallel=2
    --set plan.expert_parallel=2 --set 'routing={"source":"balanced"}'
    --set workload.steps=2 --set workload.learning_rate.warmup_steps=1
    --set workload.held_out_fraction=0)

setup() {
    load common
    cd "$BATS_TEST_DIRNAME/../.." || return
    files=$BATS_FILE_TMPDIR
}

# One run and its simulation for all tests.
setup_file() {
    load common
    "$R1SIM" run "${small[@]}" --quiet --timeline "$BATS_FILE_TMPDIR/measured.json" \
        --binding "$BATS_FILE_TMPDIR/binding.json" >/dev/null
    "$R1SIM" simulate "${small[@]}" --quiet --binding "$BATS_FILE_TMPDIR/binding.json" \
        --set replay.fold=none --timeline "$BATS_FILE_TMPDIR/simulated.json" >/dev/null
}

# planted FILTER: the measured timeline, changed, with $kind and $factor.
planted() {
    jq --arg kind "${kind-}" --argjson factor "${factor-1}" "$1" "$files/measured.json" \
        >"$BATS_TEST_TMPDIR/planted.json"
}

# Of jq: the op kind of an interval of the timeline $t.
kind_of='def kind_of($t): $t.graphs[.[0]].programs[$t.lanes[.[1]].program].items[.[2]].ops[.[3]].kind;'

@test "validate: every op of a run is aligned, and errors are sums of durations" {
    run -0 --separate-stderr "$R1SIM" validate --measured "$files/measured.json" \
        --simulated "$files/simulated.json" --json --trace "$BATS_TEST_TMPDIR/trace.json"
    [ -z "$stderr" ]
    conforms validation
    json '.alignment == {ranks: 4, ops: ($t[0].intervals | length), unmatched: 0}
        and .graphs == [$t[0].graphs[0].hash]' --slurpfile t "$files/measured.json"
    json '[.op_kinds, .phases, .ranks | map(.measured_s) | add] | max - min < 1e-9'
    json "$kind_of"' def times($t; f): [$t.intervals[] | select(kind_of($t) == "gemm_fp8")
            | .[6] - .[5]] | add / 1e12;
        times($m[0]; .) as $measured | times($s[0]; .) as $simulated
        | .op_kinds[] | select(.op_kind == "gemm_fp8")
        | (.measured_s / $measured - 1 | fabs) < 1e-9
        and (.error_percent - ($simulated / $measured - 1) * 100 | fabs) < 1e-6' \
        --slurpfile m "$files/measured.json" --slurpfile s "$files/simulated.json"
    json '([$m[0].intervals[][6]] | max / 1e12) as $last | .end_to_end.measured_s / $last - 1
        | fabs < 1e-9' --slurpfile m "$files/measured.json"
    # Both timelines, rank by rank, each op in both.
    output=$(<"$BATS_TEST_TMPDIR/trace.json")
    json '[.traceEvents[] | select(.name == "process_name") | .args.name] | .[0:3] ==
        ["rank 0, measured", "rank 0, simulated", "rank 1, measured"] and length == 8'
    json '[.traceEvents[] | select(.ph == "X")] | length == 2 * ($m[0].intervals | length)' \
        --slurpfile m "$files/measured.json"
}

@test "validate: planted errors of ten kinds are each named first" {
    local kinds i
    mapfile -t kinds < <(jq -r '[.graphs[].programs[].items[].ops[].kind] | unique[]' \
        "$files/measured.json" | shuf -n 10 --random-source=<(yes))
    [ "${#kinds[@]}" -eq 10 ]
    for i in "${!kinds[@]}"; do
        kind=${kinds[i]}
        factor=$(jq -n "1.2 + 0.2 * $i")
        planted "$kind_of"' . as $t | .intervals |= map(if kind_of($t) == $kind
            then .[6] = (.[5] + (.[6] - .[5]) * $factor | round) else . end)'
        run -0 "$R1SIM" validate --measured "$files/measured.json" \
            --simulated "$BATS_TEST_TMPDIR/planted.json" --json
        json '.op_kinds[0].op_kind == $kind and (.op_kinds[0].error_percent / 100 + 1 - $factor
            | fabs) < 1e-3 and all(.op_kinds[1:][]; .error_percent == 0)' \
            --arg kind "$kind" --argjson factor "$factor"
        run -0 "$R1SIM" validate --measured "$files/measured.json" \
            --simulated "$BATS_TEST_TMPDIR/planted.json"
        holds "Furthest off: $kind "
    done
}

@test "validate: an unmatched op fails the alignment" {
    planted 'del(.intervals[17])'
    refused_with 3 "planted.json: has no .* of rank 0, iteration 0 .*measured.json has" validate \
        --measured "$files/measured.json" --simulated "$BATS_TEST_TMPDIR/planted.json"
    refused_with 3 "planted.json: has no .* of rank 0, iteration 0 .*measured.json has" validate \
        --measured "$BATS_TEST_TMPDIR/planted.json" --simulated "$files/measured.json"
    planted '.graphs[0].hash = "0123456789abcdef0123456789abcdef"'
    refused_with 3 "measured.json: has no graph 0123456789abcdef" validate \
        --measured "$files/measured.json" --simulated "$BATS_TEST_TMPDIR/planted.json"
    planted '.intervals[3][3] = 9999'
    refused_with 3 "planted.json.*/intervals/3: there is no op 9999" validate \
        --measured "$files/measured.json" --simulated "$BATS_TEST_TMPDIR/planted.json"
    refused_with 3 "no-such-file" validate --measured "$files/measured.json" \
        --simulated no-such-file
}

@test "validate: --fail-above exits 6, by default for the end-to-end error" {
    kind=none factor=1
    planted '.intervals |= map(.[5] *= 2 | .[6] *= 2)'
    both=(--measured "$files/measured.json" --simulated "$BATS_TEST_TMPDIR/planted.json")
    run -0 "$R1SIM" validate "${both[@]}" --fail-above 101%
    run -6 --separate-stderr "$R1SIM" validate "${both[@]}" --fail-above 99 --json
    conforms validation
    json '.thresholds == [{of: "end_to_end", percent: 99, exceeded_by: ["end_to_end"]}]'
    run -6 "$R1SIM" validate "${both[@]}" --fail-above ranks=99.5%
    holds "ranks above 99.5 %: rank 0, rank 1, rank 2, rank 3"
    run -0 "$R1SIM" validate --measured "$files/measured.json" \
        --simulated "$files/measured.json" --fail-above 0 --fail-above op_kinds=0%
    holds "Every op kind takes the same time in both"
}

@test "validate: a scenario is run, and simulated under the routing of the run" {
    run -0 --separate-stderr "$R1SIM" validate "${small[@]}" --json
    conforms validation
    json '.alignment.ops == ($before[0].intervals | length)' --slurpfile before "$files/measured.json"
    json '.alignment.ranks == 4 and .measured == "run of scenarios/tiny_train_cpu.json"'
    # A recorded run instead: the simulation is the one that simulate writes.
    run -0 "$R1SIM" validate "${small[@]}" --measured "$files/measured.json" \
        --binding "$files/binding.json" --json
    once=$(jq '[.op_kinds, .end_to_end]' <<<"$output")
    run -0 "$R1SIM" validate --measured "$files/measured.json" \
        --simulated "$files/simulated.json" --json
    [ "$(jq '[.op_kinds, .end_to_end]' <<<"$output")" = "$once" ]
    # One lane of the simulation stands for both replicas.
    run -0 "$R1SIM" simulate "${small[@]}" --timeline "$BATS_TEST_TMPDIR/folded.json"
    run -0 "$R1SIM" validate --measured "$files/measured.json" \
        --simulated "$BATS_TEST_TMPDIR/folded.json" --json
    json '.alignment.ranks == 4'
}

@test "validate: a folder of cases gives the scoreboard" {
    local cases=$BATS_TEST_TMPDIR/cases
    mkdir -p "$cases/a" "$cases/b" "$cases/notes"
    cp "$files/measured.json" "$cases/a/measured.json"
    cp "$files/simulated.json" "$cases/a/simulated.json"
    cp "$files/measured.json" "$files/binding.json" "$cases/b/"
    # The scenario as --set made it, with what it names found from there.
    "$R1SIM" simulate "${small[@]}" --dry-run --json | jq .scenario >"$cases/b/scenario.json"
    run -0 --separate-stderr "$R1SIM" validate "$cases" --json
    conforms validation_cases
    json '[.cases[].name] == ["a", "b"] and (.cases[0].validation.op_kinds | length) > 20
        and (.cases | map(.validation.end_to_end.error_percent | fabs) | add / 2)
            - .end_to_end.mean_absolute_error_percent < 1e-9
        and .cases[0].validation.end_to_end == .cases[1].validation.end_to_end'
    run -6 "$R1SIM" validate "$cases" --fail-above 0.001%
    holds "furthest off"
    run -0 "$R1SIM" validate "$cases/a" --json
    conforms validation
    refused_with 3 "no validation case" validate "$cases/notes"
    refused_with 2 "one case" validate "$cases" --trace t.json
}

@test "validate: what it cannot do" {
    refused_with 2 "give SCENARIO, DIR, or both" validate
    refused_with 2 "give SCENARIO, DIR, or both" validate --measured "$files/measured.json"
    refused_with 2 "need no scenario" validate "${small[@]}" --measured a --simulated b
    refused_with 2 "did you mean 'op_kinds'" validate --measured a --simulated b \
        --fail-above op_kind=5%
    refused_with 2 "per cent, such as 5%" validate --measured a --simulated b --fail-above many
    refused_with 2 "there is none" validate --measured a --simulated b --set seed=1
    refused_with 2 "of that run" validate "${small[@]}" --binding b.json
    refused_with 5 "cuda" validate "${small[@]}" --device cuda
    run -0 --separate-stderr "$R1SIM" validate --measured "$files/simulated.json" \
        --simulated "$files/measured.json"
    [[ "$stderr" == *"are they swapped"* ]]
}
