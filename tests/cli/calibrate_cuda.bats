#!/usr/bin/env bats
# r1_calibrate_cuda on a machine without a GPU (or with its GPUs hidden): what it refuses and how.
# shellcheck disable=SC2154  # bats sets output and stderr

setup() {
    load common
    program=$(dirname "$R1SIM")/r1_calibrate_cuda
    [ -x "$program" ] || skip "r1_calibrate_cuda was not built: no CUDA compiler"
    export CUDA_VISIBLE_DEVICES=
    out=$BATS_TEST_TMPDIR/out
    mkdir "$out"
}

# refused STATUS REGEXP ARGUMENT...: nothing on stdout, no file, the message on stderr.
refused() {
    local status_wanted=$1 pattern=$2
    shift 2
    run -"$status_wanted" --separate-stderr timeout 20 "$program" "$@"
    [ -z "$output" ]
    [ -z "$(ls -A "$out")" ]
    [[ "$stderr" =~ $pattern ]]
}

@test "calibrate_cuda: no device, exit 5, no file" {
    refused 5 "^error: no CUDA device: " --out "$out/file.json"
    refused 5 "^error: no CUDA device: " --out "$out/file.json" --quick --seconds 10 --device 1
}

@test "calibrate_cuda: usage errors" {
    refused 2 "--out FILE is missing"
    refused 2 "--out needs a value" --out
    refused 2 "unknown argument '--fast'" --out "$out/file.json" --fast
    refused 2 "--seconds needs a number" --out "$out/file.json" --seconds soon
    refused 2 "--seconds needs a number" --out "$out/file.json" --seconds -1
}

@test "calibrate_cuda: a file that cannot be written is an error before anything is measured" {
    refused 3 "cannot be written" --out "$out/missing/file.json"
    refused 3 "cannot be written" --out "$out"
}

@test "calibrate_cuda: help" {
    run -0 "$program" --help
    holds "--seconds N"
    holds "Exit codes"
}
