#!/usr/bin/env bats
# Files that commands write: never two into one, never over what is read.
# shellcheck disable=SC2030,SC2031,SC2154  # bats sets output and stderr

setup() {
    load common
    root=$PWD
    mkdir "$BATS_TEST_TMPDIR/here" # bats keeps files beside it
    cd "$BATS_TEST_TMPDIR/here"
    job=$root/scenarios/tiny_prefill_cpu.json
}

# kept REGEXP ARGUMENT...: exit 2 with the message; no file of the folder is another, or new.
kept() {
    local before pattern=$1
    before=$(md5sum ./* 2>/dev/null || true)
    shift
    refused_with 2 "$pattern" "$@"
    [ "$(md5sum ./* 2>/dev/null || true)" = "$before" ]
}

@test "files: two outputs do not go to one" {
    kept "two outputs go to one file: --output and --html to 'R'" simulate "$job" -o R --html R
    kept "one file" simulate "$job" --trace X --timeline X --graph X
    kept "one file" simulate "$job" --trace X --timeline ./X
    kept "one file" run "$root/scenarios/tiny_train_cpu.json" --curves X --html X
    kept "one file" topology h800_8x8 --svg X --topology-out X
    kept "one file" topology h800_8x8 -o X --svg X
    kept "one file" sweep s.json -o X --csv X
    echo kept >X
    ln -s X link
    kept "one file" topology h800_8x8 -o X --svg link
    run -0 "$R1SIM" topology h800_8x8 -o /dev/null --svg /dev/null
}

@test "files: outputs do not go over an input" {
    cp "$job" mine.json
    kept "--output would write over 'mine.json', which is read" simulate mine.json -o mine.json
    kept "--html would write over" simulate mine.json --html "$PWD/mine.json"
    kept "--graph would write over" simulate mine.json --graph ./mine.json
    kept "--graph would write over" simulate "$job" --binding b.json --graph b.json
    kept "--output would write over" sweep mine.json -o mine.json
    kept "--output would write over" sweep s.json --merge 1.jsonl mine.json -o mine.json
    kept "--output would write over" plan mine.json -o mine.json
    kept "--output would write over" model mine.json -o mine.json
    kept "--html would write over" report mine.json --html mine.json
    kept "--output would write over" report other.json mine.json -o mine.json
    kept "--output would write over" compare other.json mine.json -o mine.json
    kept "--topology-out would write over" topology mine.json --topology-out mine.json
    kept "--svg would write over" topology h800_8x8 --diff mine.json --svg mine.json
    kept "--html would write over" replay --graph mine.json --cluster h800_8x8 --html mine.json
    kept "--trace would write over" validate --measured a --simulated mine.json --trace mine.json
    kept "--output would write over" eval --model . --input mine.json -o mine.json
    kept "--timeline would write over" generate --model . --prompts mine.json --timeline mine.json
    kept "--output would write over" calibrate --show mine.json -o mine.json
    run -0 "$R1SIM" schedule 1f1b --ranks 2 --micro-batches 2 -o 1f1b
    run -0 "$R1SIM" schedule 1f1b --ranks 2 --micro-batches 2 -o 1f1b
}

@test "files: what cannot be written is found before the work" {
    refused_with 3 "no/such.json: cannot be written" simulate "$job" -o no/such.json
    refused_with 3 "is a folder" topology h800_8x8 --svg .
}
