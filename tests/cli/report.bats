#!/usr/bin/env bats
# r1sim report: old reports as tables and pages, alone and side by side.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
    cd "$BATS_FILE_TMPDIR"
}

setup_file() {
    load common
    "$R1SIM" simulate scenarios/trace_pair_h800_ep64.json -o "$BATS_FILE_TMPDIR/pair.json" \
        --html "$BATS_FILE_TMPDIR/pair.html" >"$BATS_FILE_TMPDIR/pair.txt"
    "$R1SIM" simulate scenarios/tiny_prefill_cpu.json -o "$BATS_FILE_TMPDIR/prefill.json"
}

# data FILE: what a page holds.
data() {
    sed -n 's|^<script type="application/json" id="data">\(.*\)</script>$|\1|p' "$1"
}

@test "report: an old report gives the table and the page that simulate gave" {
    run -0 "$R1SIM" report pair.json --html again.html
    [ "$output" = "$(<pair.txt)" ]
    cmp pair.html again.html
    run -0 "$R1SIM" report pair.json --json
    jq -e --slurpfile old pair.json '. == $old[0]' <<<"$output"
}

@test "report: a page holds the report, without calibration curves, and asks for nothing else" {
    data pair.html | jq -e --slurpfile old pair.json \
        '.reports == [$old[0] | del(.scenario.calibration.curves)]'
    run ! grep -nE '<(link|script|img|iframe)[^>]* (src|href)="[^"d]' pair.html
    grep -q 'Apache License, Version 2.0' pair.html
    grep -q 'Copyright (c) 2017, Baidu Inc.' pair.html
}

@test "report: two reports stand in one page, in their order" {
    run -0 "$R1SIM" report pair.json prefill.json --html two.html
    data two.html | jq -e '[.reports[].scenario.name] == ["trace_pair_h800_ep64", "tiny_prefill_cpu"]'
    run -0 "$R1SIM" report pair.json prefill.json --json
    json 'map(.schema) == ["r1sim.report/1", "r1sim.report/1"]'
}

@test "report: the result of a sweep is a page too" {
    jq -n --arg hash "$(printf '0%.0s' {1..32})" '{schema: "r1sim.sweep_result/1", name: "s",
        sweep: $hash, points: 0, simulated: 0, without_room: 0, refused: [], compared_per: "step", best: null, pareto_front: [],
        effects: [], lines: []}' >sweep.json
    run -0 "$R1SIM" report sweep.json --html sweep.html
    data sweep.html | jq -e --slurpfile result sweep.json '. == {sweep: $result[0]}'
    refused_with 2 "writes --html only" report sweep.json
    jq 'del(.lines)' sweep.json >cut.json
    refused_with 3 "missing key 'lines'" report cut.json --html none.html
    for edit in 'del(.points)' '.lines = [{}]' '.effects = [{}]' '.pareto_front = [{}] | .best = 1'; do
        jq "$edit" sweep.json >hollow_sweep.json
        refused_with 3 "missing key|not a complete sweep_result" \
            report hollow_sweep.json --html none.html
    done
    [ ! -e none.html ]
}

@test "report: text of a report cannot end the script that holds it" {
    jq '.scenario.name = "</script><script>alert(1)</script><!--"' pair.json >named.json
    run -0 "$R1SIM" report named.json --html named.html
    [ "$(grep -c '</script>' named.html)" -eq "$(grep -c '</script>' pair.html)" ]
    data named.html | jq -e '.reports[0].scenario.name == "</script><script>alert(1)</script><!--"'
}

@test "report: reports that kept no timeline are shown too" {
    jq 'del(.over_time, .routing.layers, .pipeline.largest_bubble)' pair.json >old.json
    run -0 "$R1SIM" report old.json --html old.html
    [ "$output" = "$(<pair.txt)" ]
}

@test "report: files that are no reports exit 3, and no page is written" {
    refused_with 3 "cannot be read" report missing.json --html none.html
    refused_with 3 "/schema: must be 'r1sim.report/1'" \
        report "$BATS_TEST_DIRNAME/../../scenarios/tiny_train_cpu.json" --html none.html
    jq 'del(.memory) | .graph = 3' pair.json >broken.json
    refused_with 3 "missing key 'memory'" report broken.json --html none.html
    [[ "$stderr" == */graph* ]]
    jq '.step = {}' pair.json >hollow.json
    refused_with 3 "hollow.json:[0-9]+:[0-9]+: /step: missing key 'time_s'" \
        report pair.json hollow.json --html none.html
    jq '.step.time_s = "fast" | .memory.fits = 1 | .network.links[0].bytes = -1' pair.json >wrong.json
    refused_with 3 "wrong.json:[0-9]+:[0-9]+: /step/time_s: expects number, found \"fast\"" \
        report wrong.json --html none.html
    [[ "$stderr" == *"/memory/fits: expects boolean, found 1"* ]]
    [[ "$stderr" == *"/network/links/0/bytes: expects at least 0, found -1"* ]]
    [[ "$stderr" != *json.exception* ]]
    refused_with 3 "/step/time_s: expects number" compare pair.json wrong.json
    [ ! -e none.html ]
    refused_with 3 "cannot be written" report pair.json --html no/such/folder.html
}
