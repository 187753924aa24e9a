#!/usr/bin/env bats
# r1sim schedule: published orders, closed forms, preconditions.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
}

# The issue's chunk times F = B = W = 1, F&B = 3, and F = 1, B = 1.5, W = 0.5, F&B = 2.4.
equal_times=(--forward 1 --backward-input 1 --backward-weight 1 --overlapped 3)
published_times=(--forward 1 --backward-input 1.5 --backward-weight 0.5 --overlapped 2.4)

# schedule KIND RANKS MICRO-BATCHES [option...]
schedule() {
    run -0 --separate-stderr "$R1SIM" schedule "$1" --ranks "$2" --micro-batches "$3" --json "${@:4}"
    [ -z "$stderr" ]
}

@test "schedule: golden orders, byte for byte after sorting keys" {
    for golden in tests/golden/schedules/*.json; do
        schedule "$(jq -r .schedule "$golden")" "$(jq .pipeline_ranks "$golden")" \
            "$(jq .micro_batches "$golden")"
        diff <(jq -S . <<<"$output") <(jq -S . "$golden")
    done
}

mean_bubble='(.bubble_s | add / length)'

@test "schedule: dualpipe 8 x 20, equal times: mean bubble 6.0, as the formula" {
    schedule dualpipe 8 20 "${equal_times[@]}"
    json "$mean_bubble - 6.0 | fabs < 1e-9"
    json '.bubble_s | length == 8'
}

@test "schedule: dualpipe 8 x 20, B = 1.5, W = 0.5, F&B = 2.4: mean bubble 7.25" {
    schedule dualpipe 8 20 "${published_times[@]}"
    json "$mean_bubble - 7.25 | fabs < 1e-9"
}

@test "schedule: 1f1b and zb1p makespans equal the closed forms" {
    # (PP - 1)(F + full B) and (PP - 1)(F + full B - 2W) above M (F + full B); full B = B + W.
    schedule 1f1b 8 16 "${equal_times[@]}"
    json '.makespan_s - (16 * 3 + 7 * 3) | fabs < 1e-9'
    schedule zb1p 8 16 "${equal_times[@]}"
    json '.makespan_s - (16 * 3 + 7 * 1) | fabs < 1e-9'
}

@test "schedule: without times no makespan; without --overlapped the sum of the parts" {
    schedule dualpipe 4 8
    json 'has("makespan_s") | not'
    schedule dualpipe 4 8 --forward 1 --backward-input 1 --backward-weight 1
    sum=$(jq .makespan_s <<<"$output")
    schedule dualpipe 4 8 "${equal_times[@]}"
    json '.makespan_s == $sum' --argjson sum "$sum"
}

@test "schedule: every kind and many valid sizes" {
    for ranks in 2 4 6; do
        for kind in 1f1b zb1p dualpipe dualpipev interleaved; do
            schedule "$kind" "$ranks" $((ranks * 4)) "${equal_times[@]}"
            json '.ranks | length == $ranks' --argjson ranks "$ranks"
        done
    done
    schedule 1f1b 3 1
    schedule zb1p 5 2
    schedule interleaved 4 8 --virtual-stages 3
}

@test "schedule: odd pipeline sizes where the schedule allows them" {
    schedule dualpipev 3 6
    schedule 1f1b 7 5
    schedule zb1p 7 9
}

@test "schedule: the picture has a line a rank" {
    run -0 "$R1SIM" schedule dualpipe --ranks 4 --micro-batches 8
    [ "$(grep -cE '^ *(rank )?[0-3]\b' <<<"$output")" -ge 4 ]
}

@test "schedule: a closed stdout is no crash" {
    run bash -c '"$1" schedule dualpipe --ranks 8 --micro-batches 20 --json | head -c 10' _ "$R1SIM"
    [ "$status" -eq 0 ]
}

# invalid REGEXP ARGUMENT...: exit 3 and the precondition.
invalid() {
    run -3 timeout 20 "$R1SIM" schedule "${@:2}"
    holds "$1"
}

@test "schedule: invalid sizes exit 3 and state the precondition" {
    invalid "even number of ranks, got 7" dualpipe --ranks 7 --micro-batches 20
    invalid "even number of ranks, got 1" dualpipe --ranks 1 --micro-batches 20
    invalid "dualpipe needs .*micro-batches" dualpipe --ranks 8 --micro-batches 21
    invalid "dualpipe needs .*micro-batches" dualpipe --ranks 8 --micro-batches 14
    invalid "dualpipev needs .*micro-batches" dualpipev --ranks 4 --micro-batches 3
    invalid "multiple of the ranks" interleaved --ranks 4 --micro-batches 6
    invalid "at least 1 virtual stage" interleaved --ranks 4 --micro-batches 8 --virtual-stages 0
    invalid "at least 1 rank, got 0" 1f1b --ranks 0 --micro-batches 8
    invalid "at least 1 rank, got -2" zb1p --ranks -2 --micro-batches 8
    invalid "at least 1 micro-batch, got 0" 1f1b --ranks 4 --micro-batches 0
    refused_with 2 "--forward must be from 0 to 1000000000 seconds" schedule 1f1b --ranks 2 \
        --micro-batches 2 --forward 1e308 --backward-input 1 --backward-weight 1
    refused_with 2 "--overlapped must be" schedule 1f1b --ranks 2 --micro-batches 2 --forward 1 \
        --backward-input 1 --backward-weight 1 --overlapped nan
    invalid "more than 20000000 chunks" 1f1b --ranks 65536 --micro-batches 1000000
}
