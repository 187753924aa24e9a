#!/usr/bin/env bats
# compare: the difference of two reports, metric by metric.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
    a=$BATS_FILE_TMPDIR/a.json
    b=$BATS_FILE_TMPDIR/b.json
}

# The main job, and the same with faster NVLink.
setup_file() {
    load common
    "$R1SIM" simulate "$main_job" --engine fluid -o "$BATS_FILE_TMPDIR/a.json" >/dev/null
    "$R1SIM" simulate "$main_job" --engine fluid -o "$BATS_FILE_TMPDIR/b.json" \
        --set cluster.nvlink.bandwidth_gb_per_s=450 >/dev/null
}

@test "compare: a report does not differ from itself" {
    run -0 --separate-stderr "$R1SIM" compare "$a" "$a" --json --fail-above 0%
    conforms comparison
    json '.scenario == [] and .changes == [] and (.metrics | length) > 200
        and all(.metrics[]; .difference == 0 and .change_percent == 0)'
    run -0 "$R1SIM" compare "$a" "$a"
    holds "nothing else differs"
}

@test "compare: every number by its path, and what the scenarios differ in" {
    run -0 --separate-stderr "$R1SIM" compare "$a" "$b" --json
    [ -z "$stderr" ]
    conforms comparison
    json '.a == $a and .b == $b' --arg a "$a" --arg b "$b"
    json '.scenario | length == 1 and (.[0] | .path == "cluster.nvlink.bandwidth_gb_per_s"
        and .a == 200 and .b == 450)'
    json 'def metric($name): .metrics[] | select(.metric == $name);
        (metric("step.time_s") | .a == $a[0].step.time_s and .b == $b[0].step.time_s
            and .difference == .b - .a and (.change_percent - (.b / .a - 1) * 100 | fabs) < 1e-9)
        and (metric("network.links[stage0.nvlink.up].bandwidth_gb_per_s") | .b > .a)
        and (metric("memory.per_rank[3].total") | .difference == 0)' \
        --slurpfile a "$a" --slurpfile b "$b"
    json '[.metrics[].metric] | (unique | length) == length and all(startswith("run_info") | not)'
    run -0 "$R1SIM" compare "$a" "$b"
    holds "cluster.nvlink.bandwidth_gb_per_s: 200 -> 450"
    holds "step.time_s +[0-9.]+ +[0-9.]+ +-[0-9.]+ %"
}

@test "compare: what one report has only, and what is no number, is named" {
    jq 'del(.cost.usd) | .memory.fits = false | .step.new = 1' "$a" >"$BATS_TEST_TMPDIR/c.json"
    run -0 "$R1SIM" compare "$a" "$BATS_TEST_TMPDIR/c.json" --json
    conforms comparison
    json '[.changes[] | {path, a: (.a | type), b: (.b | type)}] == [
        {path: "step.new", a: "null", b: "number"},
        {path: "cost.usd", a: "number", b: "null"},
        {path: "memory.fits", a: "boolean", b: "boolean"}]'
    json '.without_size == ["cost.usd", "memory.fits"]'
}

@test "compare: --fail-above exits 6, for any metric or the ones named" {
    run -6 --separate-stderr "$R1SIM" compare "$a" "$b" --fail-above 1% --json
    conforms comparison
    json '.thresholds[0] | .of == "any" and .percent == 1
        and (.exceeded_by | index("network.links[stage0.nvlink.up].bandwidth_gb_per_s"))'
    change=$(jq -n --slurpfile a "$a" --slurpfile b "$b" \
        '($b[0].step.time_s / $a[0].step.time_s - 1) * 100 | fabs')
    run -0 "$R1SIM" compare "$a" "$b" --fail-above "step.time_s=$(jq -n "$change * 1.01")%"
    run -6 "$R1SIM" compare "$a" "$b" --fail-above "step.time_s=$(jq -n "$change * 0.99")"
    holds "step.time_s above .* %: step.time_s"
    run -6 "$R1SIM" compare "$a" "$b" --fail-above step=0
    run -0 "$R1SIM" compare "$a" "$b" --fail-above memory=0
    run -6 "$R1SIM" compare "$a" "$b" --fail-above network.links=0
    run -6 "$R1SIM" compare "$a" "$b" --fail-above 'network.links[stage0.nvlink.up]=0'
    run -0 "$R1SIM" compare "$a" "$b" --fail-above 'memory.per_rank[3]=0'
}

@test "compare: --fail-above is exceeded by what B lacks, and by flags" {
    local dry=$BATS_TEST_TMPDIR/dry.json flag=$BATS_TEST_TMPDIR/flag.json
    "$R1SIM" simulate "$main_job" --dry-run -o "$dry" >/dev/null
    run -6 --separate-stderr "$R1SIM" compare "$a" "$dry" --fail-above 1% --json
    conforms comparison
    json '["step.time_s", "cost.usd", "network.links[stage0.nvlink.up].bytes"]
        - .thresholds[0].exceeded_by == []'
    run -6 "$R1SIM" compare "$a" "$dry" --fail-above step.time_s=1%
    holds "step.time_s above 1 %: step.time_s"
    run -6 "$R1SIM" compare "$a" "$dry" --fail-above 'network.links[stage0.nvlink.up]=1%'
    run -0 "$R1SIM" compare "$a" "$dry" --fail-above memory=1%
    # What only B has is there to be named, and no change.
    run -0 "$R1SIM" compare "$dry" "$a" --fail-above 1% --fail-above step.time_s=1%
    refused_with 2 "did you mean 'step.time_s'" compare "$dry" "$a" --fail-above step.tim_s=1
    jq '.memory.fits = false' "$a" >"$flag"
    run -6 --separate-stderr "$R1SIM" compare "$a" "$flag" --fail-above 1000% --json
    json '.without_size == ["memory.fits"] and .thresholds[0].exceeded_by == ["memory.fits"]'
    run -6 "$R1SIM" compare "$a" "$flag" --fail-above memory=0%
    run -0 "$R1SIM" compare "$a" "$flag" --fail-above step=0%
}

@test "compare: what it cannot do" {
    refused_with 2 "two reports" compare "$a"
    refused_with 2 "too many arguments" compare "$a" "$b" "$a"
    refused_with 2 "did you mean 'step.time_s'" compare "$a" "$b" --fail-above step.tim_s=1
    refused_with 2 "knows no 'network.links.stage0', did you mean" compare "$a" "$b" \
        --fail-above 'network.links[stage0=1'
    refused_with 3 "/schema: must be 'r1sim.report/1'" compare "$a" "$main_job"
    jq 'del(.memory) | .graph = 3' "$a" >"$BATS_TEST_TMPDIR/broken.json"
    refused_with 3 "missing key 'memory'" compare "$a" "$BATS_TEST_TMPDIR/broken.json"
    refused_with 3 "no-such-file" compare "$a" no-such-file
}
