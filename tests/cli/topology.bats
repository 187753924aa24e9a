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

node=tests/sim/data/nccl_topology/oci_h100_container.xml

@test "topology: --import nccl-xml reads a node, --set makes a cluster of it" {
    run -0 --separate-stderr "$R1SIM" topology "$node" --import nccl-xml --json
    [ -z "$stderr" ]
    json '.nodes == 1 and .gpus == 8 and .bisection_gb_per_s == 0 and (.links | length) == 1'
    run -0 "$R1SIM" topology "$node" --import nccl-xml --json --set nodes=8 \
        --set fabric.kind=mpft --diff h100_8x8 --svg "$picture"
    json '.gpus == 64 and .diff.changes == []'
    grep -q '</svg>' "$picture"
}

@test "topology: simulate takes what --topology-out wrote" {
    local out=$BATS_TEST_TMPDIR/mine.json
    run -0 "$R1SIM" topology "$node" --import nccl-xml --set nodes=8 --set fabric.kind=mpft \
        --topology-out "$out"
    run -0 cat "$out"
    json '.schema == "r1sim.topology/1" and .device.name == "h100"'
    json '.sources["nvlink.bandwidth_gb_per_s"] | startswith("oci_h100_container.xml line 7")'
    run -0 "$R1SIM" topology "$out" --diff h100_8x8
    holds "nothing differs"
    local scenario=scenarios/trace_pair_h800_ep64.json
    run -0 "$R1SIM" simulate "$scenario" --json --set cluster=h100_8x8
    jq -S 'del(.scenario, .run_info, .confidence)' <<<"$output" >"$BATS_TEST_TMPDIR/preset"
    run -0 "$R1SIM" simulate "$scenario" --json --set "cluster=$out"
    jq -S 'del(.scenario, .run_info, .confidence)' <<<"$output" >"$BATS_TEST_TMPDIR/imported"
    same "$BATS_TEST_TMPDIR/preset" "$BATS_TEST_TMPDIR/imported"
}

@test "topology: an import says which --set it needs, and writes nothing until then" {
    local out=$BATS_TEST_TMPDIR/mine.json p5=tests/sim/data/nccl_topology/aws_p5_h100.xml
    refused_with 3 "aws_p5_h100.xml:5:9: /system/cpu/pci.1./pci.1./gpu: .*--set device=h100" \
        topology "$p5" --import nccl-xml --topology-out "$out" --svg "$picture"
    [[ "$stderr" =~ "--set nvlink.bandwidth_gb_per_s=" ]]
    [ ! -e "$out" ] && [ ! -e "$picture" ]
    run -0 --separate-stderr "$R1SIM" topology "$p5" --import nccl-xml --topology-out "$out" \
        --set device=h100 --set nvlink.bandwidth_gb_per_s=450
    [[ "$stderr" =~ "warning: $p5:8:9:".*"4 NICs lie beside each GPU" ]]
    run -0 --separate-stderr "$R1SIM" topology "$p5" --import nccl-xml --quiet \
        --set device=h100 --set nvlink.bandwidth_gb_per_s=450
    [ -z "$stderr" ]
    jq -e '.nic.per_node == 8 and .nic.bandwidth_gb_per_s == 50' "$out"
}

@test "topology: an import of what is none exits 3 with line and path" {
    local bad=$BATS_TEST_TMPDIR/bad.xml
    head -n 30 "$node" >"$bad"
    refused_with 3 'bad.xml:31:1: /system/cpu/pci.2./pci.*: the file ends before ' \
        topology "$bad" --import nccl-xml
    sed 's/version="1"/version="7"/' "$node" >"$bad"
    refused_with 3 'bad.xml:1:9: /system/@version: version must be 1' \
        topology "$bad" --import nccl-xml
    refused_with 3 "holds no XML element" topology /dev/null --import nccl-xml
    refused_with 3 "is not UTF-8|control character" topology "$R1SIM" --import nccl-xml
    refused_with 3 "cannot be read" topology "$BATS_TEST_TMPDIR/none.xml" --import nccl-xml
    refused_with 2 "did you mean 'nccl-xml'" topology "$node" --import nccl-xlm
    refused_with 2 "missing FILE" topology --import nccl-xml
    refused_with 3 "cannot be written" topology "$node" --import nccl-xml \
        --topology-out "$BATS_TEST_TMPDIR/no/such.json"
}

@test "topology: an import lists with --verbose what it ignored" {
    sed 's/<nic>/<nic shiny="1">/' "$node" >"$BATS_TEST_TMPDIR/new.xml"
    run -0 --separate-stderr "$R1SIM" topology "$BATS_TEST_TMPDIR/new.xml" --import nccl-xml \
        --verbose
    [[ "$stderr" == *"new.xml:16:16: /system/cpu[1]/pci[1]/pci[2]/pci/nic/@shiny: ignored"* ]]
}

@test "topology: --import infragraph reads hosts, NICs and the switches between them" {
    local pair=tests/sim/data/infragraph/single_tier_dgx_h100.json out=$BATS_TEST_TMPDIR/pair.json
    refused_with 3 "single_tier_dgx_h100.json:[0-9]+:[0-9]+: /devices/0/links/1: .*--set nvlink" \
        topology "$pair" --import infragraph
    [[ "$stderr" =~ "--set device=h100" ]]
    run -0 --separate-stderr "$R1SIM" topology "$pair" --import infragraph --json \
        --set device=h100 --set nvlink.bandwidth_gb_per_s=450 --topology-out "$out"
    [ -z "$stderr" ]
    # 8 NICs of 100 Gb/s at the preset's 94 %
    json '.nodes == 2 and .gpus == 16 and .bisection_gb_per_s == 94'
    run -0 "$R1SIM" simulate scenarios/expert_all_to_all_h800.json --set "cluster=$out" \
        --set plan.expert_parallel=16 --json
    json '.step.time_s > 0'
    printf 'devices:\n- name: a\n  connections:\n  - a.0.b.c.0\n' >"$BATS_TEST_TMPDIR/old.yaml"
    refused_with 3 "old.yaml: this is the old draft of InfraGraph" \
        topology "$BATS_TEST_TMPDIR/old.yaml" --import infragraph
    printf '{"name"' >"$BATS_TEST_TMPDIR/cut.json"
    refused_with 3 "cut.json:1:8: .*unexpected end of input" \
        topology "$BATS_TEST_TMPDIR/cut.json" --import infragraph
}

@test "topology: --discover reads what NCCL dumped, or this machine" {
    run -0 --separate-stderr env NCCL_TOPO_DUMP_FILE="$node" "$R1SIM" topology --discover --json
    local discovered=$output
    run -0 --separate-stderr "$R1SIM" topology "$node" --import nccl-xml --json
    [[ "$output" == "$discovered" ]]
    [[ "$("$R1SIM" doctor --json | jq '.gpus | length')" != 0 ]] ||
        refused_with 5 "no GPU here" topology --discover
    refused_with 2 "takes no FILE" topology h800_256x8_mpft --discover
    refused_with 2 "or --discover" topology
}
