#!/usr/bin/env bats
# r1sim sweep: its lines against simulate, processes, shards, kills, and what it says.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
    folder=$BATS_TEST_TMPDIR
    # Eight small points, two of which no one can simulate: 16 ranks do not fit on 8 GPUs.
    cat >"$folder/sweep.json" <<EOF
{"schema": "r1sim.sweep/1", "comment": "for tests",
 "base": "$PWD/scenarios/tiny_train_cpu.json",
 "axes": {"/replay/engine": ["fluid"],
          "/plan/schedule": ["dualpipe", "1f1b"],
          "/workload/sequence_length": [64, 128],
          "/plan/data_parallel": [2, 8]},
 "mode": "grid"}
EOF
    small=(--set cluster=cpu_local --set plan.expert_parallel=2 --set 'routing={"source":"balanced"}')
}

# without_run_info FILE: the lines without what may differ.
without_run_info() {
    jq -c 'del(.run_info)' "$1"
}

# sweep ARGUMENT...: to $folder/lines.jsonl.
sweep() {
    "$R1SIM" sweep "$folder/sweep.json" "${small[@]}" -o "$folder/lines.jsonl" "$@"
}

@test "sweep: lines are what simulate prints of each point, byte for byte" {
    sweep >"$folder/table"
    [ "$(wc -l <"$folder/lines.jsonl")" -eq 8 ]
    [ ! -e "$folder/lines.jsonl.journal" ]
    local line changes section text
    for point in 0 2 4 6; do
        line=$(sed -n "$((point + 1))p" "$folder/lines.jsonl")
        jq -e ".point == $point and .exit_code == 0" <<<"$line"
        mapfile -t changes < <(jq -r '.axes | to_entries[] | "--set\n\(.key)=\(.value)"' <<<"$line")
        "$R1SIM" simulate scenarios/tiny_train_cpu.json "${small[@]}" "${changes[@]}" \
            -o "$folder/report.json" >/dev/null
        # Every value of the line, in its place in the report.
        jq -e --argjson line "$line" '. as $report | $line
            | del(.schema, .sweep, .point, .axes, .exit_code, .run_info) | [paths(scalars)]
            | length > 50 and all(.[]; . as $path | ($report | getpath($path)) ==
                                                    ($line | getpath($path)))' \
            "$folder/report.json"
        # The same text too: jq would not tell 1.0 from 1.
        tr -d ' \n' <"$folder/report.json" |
            sed 's/,"layers":\[\]}/}/' >"$folder/report.txt"  # lines have none
        for section in step:pipeline overlap:critical_path routing:memory memory:cost \
            cost:published; do
            text=$(tr -d ' ' <<<"$line" |
                grep -oP "\"${section%:*}\":.*(?=,\"${section#*:}\":)")
            ((${#text} > 30))
            grep -qF "$text" "$folder/report.txt"
        done
    done
}

@test "sweep: what simulate refuses is a line, and the others go on" {
    sweep >"$folder/table"
    line=$(sed -n 2p "$folder/lines.jsonl")
    jq -e '.exit_code == 3 and (.error | contains("GPUs")) and (has("step") | not)' <<<"$line"
    output=$(<"$folder/table")
    holds "8 points, 4 simulated"
    holds "4 refused with exit code 3, first point 1:"
    holds "Pareto front"
    holds "Effect of /plan/schedule"
}

@test "sweep: lines are the same wherever it was started, errors included" {
    sweep >/dev/null
    cp "$folder/lines.jsonl" "$folder/here.jsonl"
    (cd "$folder" && "$R1SIM" sweep sweep.json "${small[@]}" -o lines.jsonl >/dev/null)
    same <(without_run_info "$folder/here.jsonl") <(without_run_info "$folder/lines.jsonl")
    jq -se '.[1].error | startswith("sweep.json:")' "$folder/lines.jsonl"
}

@test "sweep: lines, result and file conform to their schemas" {
    sweep --json >"$folder/result.json"
    "$R1SIM" schema sweep_line >"$folder/schema.json"
    problems=$(jq -r --slurpfile schema "$folder/schema.json" -f tests/cli/conforms.jq \
        "$folder/lines.jsonl")
    [ -z "$problems" ] || { echo "$problems"; false; }
    output=$(<"$folder/result.json")
    conforms sweep_result
    json '.lines | length == 8'
    same <(jq -c '.lines[] | del(.run_info)' "$folder/result.json") \
        <(without_run_info "$folder/lines.jsonl")
    for file in "$folder/sweep.json" scenarios/sweep_*.json; do
        [[ "$file" == *.schema.json ]] && continue
        output=$(<"$file")
        conforms sweep
    done
}

@test "sweep: the number of processes and the cut into shards change nothing" {
    sweep --jobs 1 >/dev/null
    without_run_info "$folder/lines.jsonl" >"$folder/one"
    sweep --jobs 3 >/dev/null
    same "$folder/one" <(without_run_info "$folder/lines.jsonl")
    for shard in 0 1 2; do
        "$R1SIM" sweep "$folder/sweep.json" "${small[@]}" --jobs 1 --shard $shard/3 \
            -o "$folder/$shard.jsonl" >/dev/null
    done
    "$R1SIM" sweep "$folder/sweep.json" "${small[@]}" --shard 3/3 >"$folder/table"
    output=$(<"$folder/table")
    holds "3 points"
    sweep --merge "$folder"/{2,0,1}.jsonl >/dev/null
    same "$folder/one" <(without_run_info "$folder/lines.jsonl")
    refused_with 3 "2 of 8 points are in none" sweep "$folder/sweep.json" "${small[@]}" \
        --merge "$folder"/{0,1}.jsonl
    refused_with 3 "2.jsonl:1: point 2 is there a second time" sweep "$folder/sweep.json" \
        "${small[@]}" --merge "$folder"/{0,1,2,2}.jsonl
    refused_with 3 "is of another sweep" sweep "$folder/sweep.json" --merge "$folder/0.jsonl"
}

# Kills a sweep of many points once it has $1 results.
kill_after() {
    "$R1SIM" sweep "$folder/many.json" "${small[@]}" --jobs 2 -o "$folder/many.jsonl" \
        >/dev/null 2>&1 &
    local sweeper=$! i
    for ((i = 0; i < 1000; ++i)); do
        (($(wc -l <"$folder/many.jsonl.journal" 2>/dev/null || echo 0) > $1)) && break
        sleep 0.01
    done
    kill -9 $sweeper
    wait $sweeper || true
    [ ! -e "$folder/many.jsonl" ]
}

@test "sweep: killed and resumed gives the same file, nothing lost or doubled" {
    jq '.axes."/seed" = [range(40)] | .axes."/plan/data_parallel" = [2]' "$folder/sweep.json" \
        >"$folder/many.json"
    "$R1SIM" sweep "$folder/many.json" "${small[@]}" -o "$folder/whole.jsonl" >/dev/null
    kill_after 5
    printf '{"schema": "r1sim.sweep_li' >>"$folder/many.jsonl.journal"
    local kept
    kept=$(grep -c '"r1sim.sweep_line/1"' "$folder/many.jsonl.journal")
    kill_after $((kept + 10))
    # No one adds to another sweep's results by accident.
    refused_with 3 "of another sweep.*--restart" sweep "$folder/many.json" "${small[@]}" --seed 1 \
        -o "$folder/many.jsonl"
    run -0 --separate-stderr "$R1SIM" sweep "$folder/many.json" "${small[@]}" --verbose \
        -o "$folder/many.jsonl"
    [[ "$stderr" =~ ([0-9]+)" of 160 points were done before" ]]
    ((BASH_REMATCH[1] >= kept + 9))
    same <(without_run_info "$folder/whole.jsonl") <(without_run_info "$folder/many.jsonl")
    [ "$(jq -s 'map(.point) == [range(160)]' "$folder/many.jsonl")" = true ]
}

@test "sweep: Ctrl-C ends it with 130, and it can be resumed" {
    jq '.axes."/seed" = [range(40)] | .axes."/plan/data_parallel" = [2]' "$folder/sweep.json" \
        >"$folder/many.json"
    # In a session of its own, as at a terminal: all its processes get the signal.
    setsid "$R1SIM" sweep "$folder/many.json" "${small[@]}" \
        --jobs 2 -o "$folder/many.jsonl" >/dev/null 2>&1 &
    local sweeper=$! i
    for ((i = 0; i < 1000; ++i)); do
        (($(wc -l <"$folder/many.jsonl.journal" 2>/dev/null || echo 0) > 3)) && break
        sleep 0.01
    done
    kill -INT -- -$sweeper
    local status=0
    wait $sweeper || status=$?
    [ "$status" -eq 130 ]
    run -0 "$R1SIM" sweep "$folder/many.json" "${small[@]}" -o "$folder/many.jsonl"
    [ "$(jq -s 'map(.point) == [range(160)] and all(.[]; .exit_code == 0)' \
        "$folder/many.jsonl")" = true ]
}

@test "sweep: a point whose process dies twice is a line, the others go on" {
    jq --arg base "$PWD/$main_job" '.base = $base
        | .axes = {"/replay/engine": ["fluid"], "/prices/pue": [1, 2]}' "$folder/sweep.json" \
        >"$folder/two.json"
    "$R1SIM" sweep "$folder/two.json" --jobs 1 -o "$folder/two.jsonl" >/dev/null 2>&1 &
    local sweeper=$! deaths=0 worker last=
    while ((deaths < 2)) && kill -0 $sweeper; do
        worker=$(pgrep -P $sweeper || true)
        if [ -n "$worker" ] && [ "$worker" != "$last" ]; then
            kill -9 "$worker"
            last=$worker deaths=$((deaths + 1))
        fi
        sleep 0.01
    done
    wait $sweeper
    jq -se '.[0].exit_code == 1 and (.[0].error | contains("signal 9"))
        and .[1].exit_code == 0' "$folder/two.jsonl"
}

@test "sweep: two cannot write one file" {
    touch "$folder/lines.jsonl.journal"
    exec 9<>"$folder/lines.jsonl.journal"
    flock 9
    refused_with 3 "by another r1sim" sweep "$folder/sweep.json" "${small[@]}" \
        -o "$folder/lines.jsonl"
}

@test "sweep: --csv has a row a point with its axes" {
    sweep --csv "$folder/points.csv" >/dev/null
    run -0 head -n 1 "$folder/points.csv"
    holds "^point,exit_code,/replay/engine,/plan/schedule,/workload/sequence_length,"
    holds ",/step/time_s,.*/memory/fullest_gpu_bytes"
    [ "$(tail -n +2 "$folder/points.csv" | cut -d, -f1 | grep -cE '^[0-7]$')" -eq 8 ]
    time=$(sed -n 3p "$folder/lines.jsonl" | jq .step.time_s)
    grep -q "^2,0,fluid,dualpipe,128,2,.*,$time," "$folder/points.csv"
}

@test "sweep: --set and --seed change the base" {
    jq 'del(.axes."/plan/schedule")' "$folder/sweep.json" >"$folder/base.json"
    "$R1SIM" sweep "$folder/base.json" "${small[@]}" --set plan.schedule=zb1p --seed 9 \
        -o "$folder/base.jsonl" >/dev/null
    "$R1SIM" simulate scenarios/tiny_train_cpu.json "${small[@]}" --set plan.schedule=zb1p --seed 9 \
        --engine fluid --set plan.data_parallel=2 --set workload.sequence_length=64 \
        -o "$folder/report.json" >/dev/null
    same <(head -n 1 "$folder/base.jsonl" | jq '.step, .graph.hash') \
        <(jq '.step, .graph.hash' "$folder/report.json")
}

@test "sweep: where no point can be simulated, the first says why" {
    jq '.axes."/plan/data_parallel" = [8, 16]' "$folder/sweep.json" >"$folder/none.json"
    run -3 --separate-stderr "$R1SIM" sweep "$folder/none.json" "${small[@]}"
    [[ "$stderr" == *"no point could be simulated"*"GPUs"* ]]
    holds "8 points, 0 simulated"
}

@test "sweep: an axis of a key that nothing reads is refused, at its place" {
    jq '.axes = {"/model/num_hiden_layers": [2, 3]}' "$folder/sweep.json" >"$folder/typo.json"
    run -3 --separate-stderr "$R1SIM" sweep "$folder/typo.json" "${small[@]}"
    [[ "$stderr" == *"typo.json:"*"/model/num_hiden_layers: unknown key"*"'num_hidden_layers'"* ]]
}

@test "sweep: an unknown engine is refused, also where an axis names others" {
    refused_with 3 "--engine: .*did you mean 'fluid'" sweep "$folder/sweep.json" --engine fluit
}

@test "sweep: texts of files do not reach the terminal's controls" {
    jq '.axes = {"/name": ["a\nb\u001b[31m", "c"], "/plan/data_parallel": [2]}' \
        "$folder/sweep.json" >"$folder/names.json"
    run -0 "$R1SIM" sweep "$folder/names.json" "${small[@]}" --color never
    holds 'a\?b\?\[31m'
    [[ "$output" != *$'\e'* ]]
}

@test "sweep: wrong sweeps and options are refused, all problems at once" {
    echo '{"schema": "r1sim.sweep/1", "base": 3, "axes": {"/a": [], "plan.b": [1]}}' \
        >"$folder/bad.json"
    run -3 --separate-stderr "$R1SIM" sweep "$folder/bad.json"
    [[ "$stderr" == *"bad.json:1:37: /base"* ]]
    [[ "$stderr" == *"must be a list of values"*"did you mean '/plan/b'"* ]]
    jq '.base = "nowhere.json"' "$folder/sweep.json" >"$folder/bad.json"
    refused_with 3 "bad.json:[0-9]+:[0-9]+: /base: cannot be loaded" sweep "$folder/bad.json"
    [[ "$stderr" == *"nowhere.json: cannot be read"* ]]
    refused_with 2 "--shard takes i/n" sweep "$folder/sweep.json" --shard 4/3
    refused_with 2 "--shard takes i/n" sweep "$folder/sweep.json" --shard 1
    refused_with 2 "not with --shard" sweep "$folder/sweep.json" --shard 1/2 --merge x
    refused_with 2 "missing SWEEP" sweep
    refused_with 3 "two outputs|is no folder" sweep "$folder/sweep.json" -o /nowhere/x.jsonl
}

@test "sweep: a pipe, which its processes cannot read again, is refused" {
    refused_with 3 "is no file on a disk" sweep <(cat "$folder/sweep.json")
    refused_with 3 "/dev/stdin: is no file on a disk" sweep /dev/stdin <"$folder/sweep.json"
}
