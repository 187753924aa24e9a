#!/usr/bin/env bats
# r1sim topology: the picture beside the answer.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
    picture=$BATS_TEST_TMPDIR/picture.svg
}

@test "topology: --svg writes the picture and changes nothing of the answer" {
    run -0 --separate-stderr "$R1SIM" topology h800_256x8_mpft
    [ -z "$stderr" ]
    table=$output
    run -0 --separate-stderr "$R1SIM" topology h800_256x8_mpft --svg "$picture"
    [ -z "$stderr" ]
    [ "$output" = "$table" ]
    head -c 5 "$picture" | grep -q '<?xml'
    grep -q '<svg xmlns="http://www.w3.org/2000/svg"' "$picture"
    [ "$(tail -n 1 "$picture")" = "</svg>" ]
    run -0 --separate-stderr "$R1SIM" topology h800_256x8_mpft --json --svg "$picture"
    json '.gpus == 2048'
}

@test "topology: --svg draws what --set changed" {
    run -0 "$R1SIM" topology h800_256x8_mpft --svg "$picture" \
        --set 'overrides=[{"link": "node7.nic2", "remove": true}]'
    grep -q 'node7.nic2: 50 GB/s removed' "$picture"
    run -0 "$R1SIM" topology cpu_local --svg "$picture"
    run ! grep -q node7 "$picture"
}

@test "topology: --svg twice writes the same bytes" {
    run -0 "$R1SIM" topology h800_256x8_mrft --svg "$picture"
    run -0 "$R1SIM" topology h800_256x8_mrft --svg "$picture.again"
    same "$picture" "$picture.again"
}

# If this fails because the drawing is meant to have changed: draw them again with --svg.
@test "topology: the pictures of the documentation are what the program draws" {
    for kind in mpft mrft; do
        run -0 "$R1SIM" topology "h800_256x8_$kind" --svg "$picture"
        same "$picture" "docs/pictures/topology_h800_$kind.svg"
    done
}

@test "topology: --svg into places that cannot be written exits 3 and leaves nothing" {
    refused_with 3 "cannot be written" topology cpu_local --svg "$BATS_TEST_TMPDIR/no/such.svg"
    mkdir "$BATS_TEST_TMPDIR/folder"
    refused_with 3 "is a folder" topology cpu_local --svg "$BATS_TEST_TMPDIR/folder"
    [ -z "$(find "$BATS_TEST_TMPDIR" -name '*.svg*')" ]
    [ -z "$(ls -A "$BATS_TEST_TMPDIR/folder")" ]
}

@test "topology: a topology with errors is not drawn" {
    refused_with 3 "/nodes" topology h800_256x8_mpft --set nodes=0 --svg "$picture"
    [ ! -e "$picture" ]
}

@test "topology: --svg without a file name is a usage error" {
    refused_with 2 "--svg" topology cpu_local --svg
}

@test "topology: --diff says in words what another cluster has instead" {
    run -0 --separate-stderr "$R1SIM" topology h800_8x8 --diff h100_8x8
    holds "h100_8x8 against h800_8x8"
    holds "nvlink   nvlink.bandwidth_gb_per_s is 450 instead of 200 .2.25 times."
    run -0 "$R1SIM" topology h800_8x8 --diff h800_8x8 --json
    json '.diff == {name: "h800_8x8", changes: []}'
    run -0 "$R1SIM" topology h800_8x8 --diff h800_8x8
    holds "nothing differs"
    run -0 "$R1SIM" topology h800_8x8 --diff h800_8x8 --json --set nic.bandwidth_gb_per_s=25 \
        --set 'overrides=[{"link": "node7.nic2", "remove": true}]'
    json '[.diff.changes[] | [.what, .from, .to]] == [["nic.bandwidth_gb_per_s", 25, 50],
        ["overrides.network", ["node7.nic2 removed"], null]]'
    refused_with 3 "h900_8x8" topology h800_8x8 --diff h900_8x8
}
