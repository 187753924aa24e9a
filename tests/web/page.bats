#!/usr/bin/env bats
# The web view of reports in a headless Chromium: what it shows, at which widths, how fast.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load ../cli/common
    [ -e "$BATS_FILE_TMPDIR/one/desktop.json" ] || skip "no chromium"
}

# long_names FILE: the report or sweep with names longer than any box, with and without places to
# break them.
long_names() {
    local name
    name=$(printf 'NameWithoutAnySpaces%.0s' {1..8})
    sed -e 's/"stage\([0-9]*\.n\)/"rank64\1/g' -e "s|two schedules|$name|g" \
        -e "s|/plan/schedule|/cluster/$name|g" -e "s|\"dualpipe\"|\"$name\"|g" "$1" |
        jq --arg name "$name" 'if has("scenario") then .scenario.name = $name
            | .scenario.cluster.name = $name | .warnings += [$name] else . end'
}

# Pages and what a browser finds there, once. B has another topology.
setup_file() {
    load ../cli/common
    local here=$BATS_FILE_TMPDIR
    command -v chromium chromium-headless-shell || return 0
    "$R1SIM" simulate "$main_job" -o "$here/a.json" --html "$here/one.html"
    "$R1SIM" simulate "$main_job" --set cluster.nic.bandwidth_gb_per_s=25 \
        --set 'routing={"source": "zipf", "skew": 0.3}' --engine fluid -o "$here/b.json"
    "$R1SIM" report "$here/a.json" "$here/b.json" --html "$here/two.html"
    jq -f tests/web/sweep_result.jq "$here/a.json" >"$here/sweep.json"
    "$R1SIM" report "$here/sweep.json" --html "$here/sweep.html"
    long_names "$here/a.json" >"$here/long.json"
    jq '.compared_per = "token" | .lines[1].memory.fits = false' "$here/sweep.json" \
        >"$here/tokens.json"
    long_names "$here/tokens.json" >"$here/long_sweep.json"
    "$R1SIM" report "$here/long.json" "$here/b.json" --html "$here/long.html"
    "$R1SIM" report "$here/long_sweep.json" --html "$here/long_sweep.html"
    tests/web/browse "$here/one.html" "$here/one" desktop phone dark 500
    tests/web/browse "$here/two.html" "$here/two" desktop 500 390
    tests/web/browse "$here/sweep.html" "$here/sweep" phone 500
    tests/web/browse "$here/long.html" "$here/long" 1400 500
    tests/web/browse "$here/long_sweep.html" "$here/long_sweep" 1400 390
}

# found PAGE/LOOK FILTER: of what the browser found, true.
found() {
    jq -e "$2" "$BATS_FILE_TMPDIR/$1.json" >/dev/null || {
        echo "false of $1: $2"
        jq -c 'del(.numbers, .cells)' "$BATS_FILE_TMPDIR/$1.json"
        return 1
    }
}

@test "page: no error, no message on the console, no request" {
    for page in one two sweep long long_sweep; do
        [ "$(jq length "$BATS_FILE_TMPDIR/$page/console.json")" -eq 0 ]
    done
    for look in one/desktop one/phone one/dark two/desktop sweep/phone; do
        found "$look" '.requests == [] and .alarms == []'
    done
}

@test "page: every section is there, and every chart is painted" {
    for look in desktop phone dark; do
        found "one/$look" '["Pipeline", "Links", "Split of the step", "Critical path",
            "Communication", "Memory", "Sensitivity", "Experts", "Cost", "Published measurements",
            "Confidence"] - .headings == []'
        found "one/$look" '.charts >= 6 and .painted >= .charts'
    done
    found two/desktop '.charts >= 14 and .painted >= .charts'
    found sweep/phone '.headings == ["two schedules", "Pareto front: time, cost and memory",
        "Step by /plan/schedule", "Points"] and .charts == 2 and .painted == 2'
}

@test "page: a sweep's chart and table show what its points are compared by" {
    local chart="Cost of a step by its time: 1 on the front, 1 others, 0 do not fit"
    found sweep/phone '.chart_labels[0] == "'"$chart"'"
        and (["time of a step", "cost of a step"] - .columns == [])'
    chart="Cost of a million tokens by its time: 1 on the front, 0 others, 1 do not fit"
    found long_sweep/1400 '.chart_labels[0] == "'"$chart"'"
        and (["time of a million tokens", "cost of a million tokens"] - .columns == [])'
    # Of the only point of the front.
    found long_sweep/1400 '[.cells[] | select(endswith(" ms"))][0] == "'"$(jq -r \
        '1e9 / .best.tokens_per_s * 10 | round / 10' "$BATS_FILE_TMPDIR/tokens.json")"' ms"'
}

@test "page: nothing is cut off or wider than its box, from desktop to phone width" {
    for look in one/{desktop,phone,dark,500} two/{desktop,500,390} \
        sweep/{phone,500} long/{1400,500} long_sweep/{1400,390}; do
        found "$look" '.cut == [] and .overflows == [] and .page_width <= .window_width'
    done
    found one/phone '.window_width == 390'
    found long/1400 '.hottest[0] | startswith("rank64")'
}

@test "page: every number is the report's, in the unit that it shows" {
    local here=$BATS_FILE_TMPDIR
    found one/desktop '.numbers | length > 200'
    found two/desktop '[.numbers[].report] | unique == [0, 1]'
    for look in one/desktop one/phone two/desktop; do
        run -0 jq -r --slurpfile a "$here/a.json" --slurpfile b "$here/b.json" \
            '($a + $b) as $reports | '"$(<tests/web/numbers.jq)" "$here/$look.json"
        [ -z "$output" ] || {
            echo "$output"
            return 1
        }
    done
}

@test "page: the verdict names bottleneck, largest bubble and hottest link" {
    local here=$BATS_FILE_TMPDIR
    local resource link
    resource=$(jq -r '.critical_path.by_resource | to_entries | max_by(.value).key
        | gsub("_"; " ")' "$here/a.json")
    link=$(jq -r .network.hottest "$here/a.json")
    found one/desktop '.bottleneck == ["'"$resource"'"] and .hottest == ["'"$link"'"]'
    found one/desktop '[.numbers[].pointer] | index("/pipeline/largest_bubble/duration_s")'
}

@test "page: the Gantt chart says what lies under the pointer" {
    found one/desktop '.found | length == 3 and all(.[0] | startswith("rank 0 at "))
        and all(.[1] | test("^(F&B|forward|backward|bubble)"))'
    # Zoomed in four times twofold and more, a fifth of the width is less time.
    local time='.[0] | capture("at (?<s>[0-9.]+) s").s | tonumber'
    found one/desktop "(.found | (.[1] | $time) - (.[0] | $time)) as \$whole
        | (.found_zoomed | (.[1] | $time) - (.[0] | $time)) as \$part
        | \$whole / \$part > 16 and \$whole / \$part < 64"
}

@test "page: 40,000 rectangles of 2048 GPUs zoom within a second, in 2 MB" {
    # On two cores a step takes 30 to 150 ms.
    found one/desktop '.zoomed | length == 8 and sort[4] < 1000'
    [ "$(stat -c %s "$BATS_FILE_TMPDIR/one.html")" -lt 2000000 ]
    jq -e '[.over_time.lanes[] | (.chunks | length),
        (.compute, .communication[] | split(" ") | length / 2)] | add > 40000' \
        "$BATS_FILE_TMPDIR/a.json"
}
