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

@test "replay: what is missing on the command line exits 2" {
    refused_with 2 "needs --chakra and --cluster" replay --cluster h800_8x8
    refused_with 2 "--engine takes simgrid or fluid" replay --chakra "$samples/all_reduce" \
        --cluster h800_8x8 --engine both
}
