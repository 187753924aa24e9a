#!/usr/bin/env bats
# simulate --chakra and replay: Chakra execution traces out and in.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup_file() {
    load common
    export traces=$BATS_FILE_TMPDIR/traces simulated=$BATS_FILE_TMPDIR/simulated.json
    "$R1SIM" simulate scenarios/tiny_train_cpu.json --set cluster=h800_8x8 \
        --set calibration=h800_published --set 'routing={"source": "balanced"}' \
        --set workload.global_batch_sequences=64 --engine fluid --chakra "$traces" -o "$simulated" \
        --quiet >/dev/null
}

setup() {
    load common
    samples=tests/sim/data/chakra
}

@test "replay: what simulate --chakra wrote replays in the simulated time" {
    run -0 --separate-stderr "$R1SIM" replay --chakra "$traces" --cluster h800_8x8 --engine fluid \
        --json
    [ -z "$stderr" ]
    conforms replay
    json '(.step.time_s - $simulated[0].step.time_s) | fabs < 1e-10' --slurpfile simulated "$simulated"
    json '.ranks | length == 16'
    json '[.ranks[] | .exposed_communication_s <= .communication_s and .communication_s <= .end_s] | all'
    json '.step.time_s == ([.ranks[].end_s] | max)'
    run -0 "$R1SIM" replay --chakra "$traces" --cluster h800_8x8 --engine simgrid --json
    json '(.step.time_s / $simulated[0].step.time_s - 1) | fabs < 1e-6' --slurpfile simulated "$simulated"
}

@test "replay: the same traces take longer on slower links" {
    run -0 "$R1SIM" replay --chakra "$traces" --cluster h800_8x8 --engine fluid --json \
        --set nic.bandwidth_gb_per_s=5 --set nvlink.bandwidth_gb_per_s=20
    json '.step.time_s > $simulated[0].step.time_s' --slurpfile simulated "$simulated"
}

@test "simulate --chakra: the same bytes again, one file a rank" {
    [ "$(find "$traces" -name 'tiny_train_cpu.*.et' | wc -l)" -eq 16 ]
    "$R1SIM" simulate scenarios/tiny_train_cpu.json --set cluster=h800_8x8 \
        --set calibration=h800_published --set 'routing={"source": "balanced"}' \
        --set workload.global_batch_sequences=64 --engine fluid --chakra "$BATS_TEST_TMPDIR/again" \
        --quiet >/dev/null
    diff -r "$traces" "$BATS_TEST_TMPDIR/again"
}

@test "simulate --chakra: protoc, which knows no schema, finds the metadata and the first node" {
    file=$traces/tiny_train_cpu.0.et
    # The first byte is the length of the metadata: field 1, the version.
    [ "$(head -c 1 "$file" | od -An -tu1 | tr -d ' ')" -eq 7 ]
    run -0 protoc --decode_raw < <(tail -c +2 "$file" | head -c 7)
    [ "$output" = '1: "0.0.4"' ]
    # The node behind it is shorter than 128 bytes, so its length is one byte.
    length=$(tail -c +9 "$file" | head -c 1 | od -An -tu1 | tr -d ' ')
    [ "$length" -lt 128 ]
    run -0 protoc --decode_raw < <(tail -c +10 "$file" | head -c "$length")
    holds '^2: "[^"]*embedding"'
    holds $'\n3: 4\n'                             # COMP_NODE
    holds '27: 0'                                # is_cpu_op as bool_val
    holds '1: "num_ops"[[:space:]]+9: [0-9]+'      # int64_val
    holds '1: "tensor_size"[[:space:]]+13: [0-9]+'  # uint64_val
}

@test "simulate --chakra: without a replay there is nothing to write" {
    refused_with 2 "--chakra needs a replay" simulate scenarios/tiny_train_cpu.json --dry-run \
        --chakra "$BATS_TEST_TMPDIR/none"
}

@test "simulate --chakra: too many nodes are refused, and nothing is written" {
    refused_with 3 "--chakra: the step of 2048 ranks has [0-9]+ nodes" simulate "$main_job" \
        --engine fluid --chakra "$BATS_TEST_TMPDIR/huge" --quiet
    run ! compgen -G "$BATS_TEST_TMPDIR/huge/*"
}

@test "replay: traces of other programs" {
    run -0 "$R1SIM" replay --chakra "$samples/all_reduce" --cluster h800_8x8 --json
    conforms replay
    json '.traces.ranks == 4 and .traces.collectives == 1 and .step.time_s > 0'
    json '[.ranks[] | .exposed_communication_s == .end_s] | all'
    run -0 "$R1SIM" replay --chakra "$samples/all_to_all" --cluster h800_8x8
    holds "8 ranks, 8 nodes, on h800_8x8"
}

@test "replay: bad traces exit 3 with file and node" {
    refused_with 3 "truncated.et: node 4 at byte [0-9]+ .* cut off" replay \
        --chakra "$samples/truncated.et" --cluster h800_8x8
    refused_with 3 "custom_allreduce.0.et: node 1: comm_src is rank 7" replay \
        --chakra "$samples/ring" --cluster h800_8x8
    mkdir "$BATS_TEST_TMPDIR/gap"
    cp "$samples"/all_reduce/all_reduce.{0,1,3}.et "$BATS_TEST_TMPDIR/gap"
    refused_with 3 "lacks the trace of rank 2" replay --chakra "$BATS_TEST_TMPDIR/gap" \
        --cluster h800_8x8
    rm "$BATS_TEST_TMPDIR/gap"/*
    refused_with 3 "holds no Chakra traces" replay --chakra "$BATS_TEST_TMPDIR/gap" \
        --cluster h800_8x8
    refused_with 3 "cannot be read" replay --chakra "$BATS_TEST_TMPDIR/none" --cluster h800_8x8
    refused_with 3 "traces are of 16 ranks" replay --chakra "$traces" --cluster cpu_local
}

@test "replay: a graph on the cluster that it was simulated on gives the simulated report" {
    graph=$BATS_TEST_TMPDIR/graph.json.zst timeline=$BATS_TEST_TMPDIR/timeline.json
    "$R1SIM" simulate scenarios/trace_pair_h800_ep64.json --engine fluid --quiet --graph "$graph" \
        --timeline "$timeline" -o "$BATS_TEST_TMPDIR/report.json" >/dev/null
    run -0 --separate-stderr "$R1SIM" replay --graph "$graph" --cluster h800_8x8 --engine fluid --json
    [ -z "$stderr" ]
    conforms report
    json 'del(.run_info) == ($report[0] | del(.run_info))' \
        --slurpfile report "$BATS_TEST_TMPDIR/report.json"
    run -0 "$R1SIM" replay --graph "$graph" --timeline "$timeline" --cluster h800_8x8 --json
    conforms report
    json '.graph == $report[0].graph and (.step.time_s / $report[0].step.time_s - 1 | fabs < 1e-7)
        and any(.confidence[]; .component == "kernel" and (.source | test("timeline")))' \
        --slurpfile report "$BATS_TEST_TMPDIR/report.json"
    # On slower links it takes what a simulation there takes.
    "$R1SIM" simulate scenarios/trace_pair_h800_ep64.json --engine fluid --quiet \
        --set cluster.nic.bandwidth_gb_per_s=10 -o "$BATS_TEST_TMPDIR/slow.json" >/dev/null
    run -0 "$R1SIM" replay --graph "$graph" --timeline "$timeline" --cluster h800_8x8 --json \
        --engine fluid --set nic.bandwidth_gb_per_s=10
    json '.step.time_s / $slow[0].step.time_s - 1 | fabs < 1e-7' \
        --slurpfile slow "$BATS_TEST_TMPDIR/slow.json"
    run -0 "$R1SIM" replay --graph "$graph" --cluster h100_8x8 --engine fluid --json
    json '.scenario | .cluster.name == "h100_8x8" and .calibration.device == "h100"'
}

@test "replay: a measured step keeps its kernels, and run --chakra says the same" {
    graph=$BATS_TEST_TMPDIR/graph.json measured=$BATS_TEST_TMPDIR/measured.json
    "$R1SIM" run scenarios/tiny_train_cpu.json --set workload.steps=2 --quiet --graph "$graph" \
        --timeline "$measured" --binding "$BATS_TEST_TMPDIR/binding.json" \
        --chakra "$BATS_TEST_TMPDIR/run" -o "$BATS_TEST_TMPDIR/report.json" >/dev/null
    run -0 "$R1SIM" replay --graph "$graph" --timeline "$measured" --cluster cpu_8x2 --engine fluid \
        --binding "$BATS_TEST_TMPDIR/binding.json" --json
    conforms report
    json '.graph.hash == $report[0].graph.hash and .run_info.fold == "none"' \
        --slurpfile report "$BATS_TEST_TMPDIR/report.json"
    step=$(jq .step.time_s <<<"$output")
    run -0 "$R1SIM" replay --chakra "$BATS_TEST_TMPDIR/run" --cluster cpu_8x2 --engine fluid --json
    json '.traces.ranks == 16 and (.step.time_s / $step - 1 | fabs < 1e-6)' --argjson step "$step"
    # The busiest rank computes at least as long as its kernels took.
    json '.step.time_s >= $busiest' --argjson busiest "$(jq '[.graphs[0].programs as $programs
        | .lanes as $lanes | .intervals | group_by(.[1])[] | map(select(
            $programs[$lanes[.[1]].program].items[.[2]].ops[.[3]].stream | test("compute|wgrad"))
            | .[6] - .[5]) | add] | max / 1e12' "$measured")"
}

@test "run --chakra: a folder that cannot be made is refused before the run" {
    refused_with 3 "cannot be made" run scenarios/tiny_train_cpu.json --chakra README.md/traces
}

@test "replay: bad graphs and timelines exit 3 with the place" {
    graph=$BATS_TEST_TMPDIR/graph.json timeline=$BATS_TEST_TMPDIR/timeline.json
    "$R1SIM" simulate scenarios/tiny_prefill_cpu.json --quiet --graph "$graph" \
        --timeline "$timeline" >/dev/null
    edited() { # FILTER FILE
        jq "$1" "$2" >"$BATS_TEST_TMPDIR/edited.json"
    }
    on_cpu() { # PATTERN OPTION...
        refused_with 3 "$1" replay --cluster cpu_local "${@:2}"
    }
    edited 'del(.scenario)' "$graph"
    on_cpu "edited.json: /scenario: missing" --graph "$BATS_TEST_TMPDIR/edited.json"
    edited '.scenario.workload.sequence_length = 128' "$graph"
    on_cpu "/scenario: is not the one" --graph "$BATS_TEST_TMPDIR/edited.json"
    edited '.scenario.workload.kind = "fast"' "$graph"
    on_cpu "/workload/kind" --graph "$BATS_TEST_TMPDIR/edited.json"
    edited '.hash = "0"' "$graph"
    on_cpu "/hash" --graph "$BATS_TEST_TMPDIR/edited.json"
    on_cpu "cannot be read" --graph "$BATS_TEST_TMPDIR/none.json"
    on_cpu "must be 'r1sim.graph/1'" --graph "$timeline"
    on_cpu "must be 'r1sim.timeline/1'" --graph "$graph" --timeline "$graph"
    edited 'del(.intervals[2])' "$timeline"
    on_cpu "edited.json: lacks op 2 of item 0 of rank 0" --graph "$graph" \
        --timeline "$BATS_TEST_TMPDIR/edited.json"
    edited '.graphs[0].hash = "0123456789abcdef0123456789abcdef"' "$timeline"
    on_cpu "none is the graph of --graph" --graph "$graph" --timeline "$BATS_TEST_TMPDIR/edited.json"
    refused_with 3 "did you mean 'h800_8x8'" replay --graph "$graph" --cluster h800_8x9
}

@test "replay: what is missing on the command line exits 2" {
    refused_with 2 "one of --graph and --chakra" replay --cluster h800_8x8
    refused_with 2 "one of --graph and --chakra" replay --graph g --chakra "$samples" --cluster cpu_local
    refused_with 2 "--timeline goes with --graph" replay --chakra "$samples/all_reduce" \
        --cluster h800_8x8 --timeline t.json
    refused_with 2 "--engine takes simgrid or fluid" replay --chakra "$samples/all_reduce" \
        --cluster h800_8x8 --engine both
}
