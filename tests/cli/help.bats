#!/usr/bin/env bats
# Help texts, versions, and wrong flags (exit code 2).
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
}

@test "help: r1sim --help lists the commands" {
    run -0 "$R1SIM" --help
    for command in simulate sweep plan run replay validate compare model schedule topology eval generate calibrate \
        report schema doctor completion manual; do
        holds "
  $command +[A-Z]"
    done
    holds "Exit codes: 0 ok"
}

@test "help: r1sim help COMMAND is COMMAND --help" {
    run -0 "$R1SIM" help run
    [ "$output" = "$("$R1SIM" run --help)" ]
    run -2 "$R1SIM" help simulat
    holds "did you mean 'simulate'"
}

@test "help: without arguments the help goes to stderr, exit 2" {
    run -2 --separate-stderr "$R1SIM"
    [ -z "$output" ]
    [[ "$stderr" == *"usage: r1sim COMMAND"* ]]
}

@test "help: every command has one sentence, three examples and exit codes" {
    for command in simulate sweep plan run replay validate compare model schedule topology eval generate calibrate \
        report schema doctor completion manual; do
        run -0 --separate-stderr "$R1SIM" "$command" --help
        [ -z "$stderr" ]
        [[ "${lines[0]}" =~ ^[A-Z][^.]*\.$ ]]
        holds "usage: r1sim $command"
        [ "$(grep -c "^  r1sim $command" <<<"$output")" -eq 3 ]
        for option in --json --output --set --seed --verbose --quiet --color --help; do
            holds "$option"
        done
        for code in "0 ok" "1 internal error" "2 usage" "3 invalid input" "4 infeasible" \
            "5 feature" "6 threshold" "130 interrupted"; do
            holds "$code"
        done
    done
}

@test "help: --version" {
    run -0 "$R1SIM" --version
    [[ "$output" =~ ^r1sim\ [0-9]+\.[0-9]+\.[0-9]+ ]]
}

@test "usage: wrong commands, options and arguments exit 2" {
    refused_with 2 "did you mean 'simulate'" simulat x.json
    refused_with 2 "no command 'frobnicate'" frobnicate
    refused_with 2 "did you mean '--dry-run'" simulate "$main_job" --dryrun
    refused_with 2 "unknown option --frobnicate" model deepseek-r1 --frobnicate
    refused_with 2 "unknown option --dry" simulate "$main_job" --dry
    refused_with 2 "missing SCENARIO" simulate
    refused_with 2 "missing CONFIG" model
    refused_with 2 "missing FILE" topology
    refused_with 2 "one of --show, --device and --import" calibrate
    refused_with 2 "one of --show, --device and --import" calibrate --show h800_published --device cpu
    refused_with 2 "cuda or cpu, not 'tpu'" calibrate --device tpu
    refused_with 2 "goes with --show" calibrate --device cpu --leave-out trace.events
    refused_with 2 "missing KIND" schedule --ranks 4 --micro-batches 8
    refused_with 2 "missing REPORT" report
    refused_with 2 "one report, or two" report a.json b.json c.json
    refused_with 2 "simulate it again" report a.json --set x=1
    refused_with 2 "missing KIND" schema
    refused_with 2 "too many arguments" simulate "$main_job" "$main_job"
    refused_with 2 "'--set' is missing" simulate "$main_job" --set
    refused_with 2 "--seed" simulate "$main_job" --seed twelve
    refused_with 2 "--jobs must be at least 1" simulate "$main_job" --jobs 0
    refused_with 2 "auto, always or never" simulate "$main_job" --color maybe
    refused_with 2 "segments or ops" simulate "$main_job" --trace-detail everything
    refused_with 2 "--trace needs a replay" simulate "$main_job" --dry-run --trace trace.json
    refused_with 2 "--timeline needs a replay" simulate "$main_job" --dry-run --timeline t.json
    refused_with 2 "did you mean 'scenario'" schema scenari
    refused_with 2 "did you mean 'dualpipe'" schedule dualpip --ranks 4 --micro-batches 8
    refused_with 2 "--ranks and --micro-batches are needed" schedule dualpipe --ranks 4
    refused_with 2 "go together" schedule 1f1b --ranks 4 --micro-batches 8 --forward 1
    refused_with 2 "must be from 0" schedule 1f1b --ranks 4 --micro-batches 8 --forward -1 \
        --backward-input 1 --backward-weight 1
    refused_with 2 "usage: r1sim model CONFIG" model deepseek-r1 --sequence-length 0
}

@test "usage: an option error names the usage line" {
    refused_with 2 "usage: r1sim simulate SCENARIO \[options\]" simulate --nope
}

@test "doctor: says what the build can do" {
    run -0 "$R1SIM" doctor --json
    json '.schema == "r1sim.doctor/1" and .data_found and .engines == {simgrid: true, fluid: true}'
    json 'has("cuda") and has("driver") and has("nccl") and (.gpus | type) == "array"
        and (.nics | type) == "array" and (.cuda or (.cuda_problem | length > 0))'
    run -0 "$R1SIM" doctor
    holds "SimGrid"
    holds "NVIDIA driver"
    holds "NCCL"
}

@test "schema: every published schema is JSON and names its kind" {
    for file in scenarios/*.schema.json topologies/*.schema.json topologies/*/*.schema.json; do
        kind=$(jq -r '.properties.schema.const | ltrimstr("r1sim.") | rtrimstr("/1")' "$file")
        run -0 "$R1SIM" schema "$kind"
        # The file, but for references to others.
        local own='del(."$defs") | walk(if type == "object" then del(."$ref") else . end)'
        [ "$(jq -S "$own" <<<"$output")" = "$(jq -S "$own" "$file")" ]
        json '.properties.schema.const == "r1sim." + $kind + "/1"' --arg kind "$kind"
        json '."$schema" == "https://json-schema.org/draft/2020-12/schema"'
        json '.additionalProperties == false'
    done
}

@test "schema: each is one document that refers to no other" {
    for file in scenarios/*.schema.json topologies/*.schema.json topologies/*/*.schema.json; do
        output=$("$R1SIM" schema "$(basename "$file" .schema.json)")
        json '. as $root | [.. | objects | select(has("$ref"))."$ref"] | unique
            | all(startswith("#/") and (split("/")[1:] as $path
                  | $root | getpath($path) | type == "object"))
            and ([$root | .. | objects | ."$schema" | strings] | length == 1)'
    done
    output=$("$R1SIM" schema report)
    json '."$defs" | keys | map(select(endswith(".json"))) == ["calibration.schema.json", "device.schema.json",
        "scenario.schema.json", "topology.schema.json"]'
}

@test "schema: scenarios, topologies and reports conform to theirs" {
    local file kind
    for file in scenarios/*.json topologies/*.json; do
        kind=$(jq -r '.schema // "" | capture("^r1sim\\.(?<kind>scenario|topology)/1$").kind' "$file")
        [ -n "$kind" ] || continue
        output=$(<"$file")
        conforms "$kind"
    done
    output=$("$R1SIM" simulate "$main_job" --engine fluid --json)
    conforms report
    # What stands in another file is looked at.
    output=$(jq '.scenario.cluster.nic.latency_us = "3"' <<<"$output")
    run -1 conforms report
}

@test "schema: every kind of file that the program reads or writes has one" {
    local kind
    while read -r kind; do
        # What the machine can do is no file, and a journal is for the sweep that wrote it.
        [[ "$kind" == doctor || "$kind" == sweep_journal ]] || "$R1SIM" schema "$kind" >"$BATS_TEST_TMPDIR/schema.json"
    done < <(grep -rhoE 'r1sim\.[a-z_]+/1|accept_header\("[a-z_]+' model sim runtime tools \
        --include=*.cpp | sed -E 's/r1sim\.|\/1|accept_header\("//g' | sort -u)
}

@test "schema: model, eval and graph print what theirs say" {
    output=$("$R1SIM" model deepseek-r1 --json)
    conforms model
    output=$("$R1SIM" model tiny-r1 --json --tensors)
    conforms model
    output=$("$R1SIM" eval --model tests/golden/tiny_a --tokens 1,2,3 --json)
    conforms eval
    "$R1SIM" simulate scenarios/tiny_train_cpu.json --dry-run \
        --graph "$BATS_TEST_TMPDIR/graph.json" >"$BATS_TEST_TMPDIR/table"
    output=$(<"$BATS_TEST_TMPDIR/graph.json")
    conforms graph
}

# Every key of the object at $2 (a jq path) of a file appears in the schema's properties at $3.
known_keys() {
    jq -e --slurpfile schema "$1" '('"$2"' | keys) - ($schema[0] | '"$3"' | keys) == []' "$4"
}

@test "schema: scenarios and reports have no key that their schema lacks" {
    local schema=scenarios/scenario.schema.json file
    for file in scenarios/*.json; do
        [ "$(jq -r .schema "$file")" = r1sim.scenario/1 ] || continue
        known_keys "$schema" . .properties "$file"
        for part in workload plan routing replay prices; do
            known_keys "$schema" ".$part // {}" ".properties.$part.properties" "$file"
        done
    done
    "$R1SIM" simulate "$main_job" --json >"$BATS_TEST_TMPDIR/report.json"
    schema=scenarios/report.schema.json
    known_keys "$schema" . .properties "$BATS_TEST_TMPDIR/report.json"
    for part in graph step pipeline overlap critical_path network routing memory cost run_info; do
        known_keys "$schema" ".$part" ".properties.$part.properties" "$BATS_TEST_TMPDIR/report.json"
    done
}
