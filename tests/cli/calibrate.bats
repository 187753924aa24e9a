#!/usr/bin/env bats
# r1sim calibrate --show: curves, errors, what is left out, and files that are wrong.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
}

setup_file() {
    load common
    "$R1SIM" calibrate --show h800_published -o "$BATS_FILE_TMPDIR/report.json" \
        >"$BATS_FILE_TMPDIR/table.txt" 2>"$BATS_FILE_TMPDIR/stderr.txt"
}

use_report() {
    output=$(<"$BATS_FILE_TMPDIR/report.json")
}

# edited JQ-EDIT: a copy of the published calibration, edited; prints its path.
edited() {
    jq "$1" topologies/calibration/h800_published.json >"$BATS_TEST_TMPDIR/edited.json"
    echo "$BATS_TEST_TMPDIR/edited.json"
}

@test "calibrate: the table has every curve and constant, in groups" {
    output=$(<"$BATS_FILE_TMPDIR/table.txt")
    [ ! -s "$BATS_FILE_TMPDIR/stderr.txt" ]
    for heading in "Matrix kernels" Attention "Memory-bound kernels" Overheads Communication \
        Constants; do
        [ "$(grep -c "^$heading" <<<"$output")" -eq 1 ]
    done
    while read -r name points; do
        [ "$(grep -cE "^  ${name//./\\.} +[a-z_]+ +$points " <<<"$output")" -eq 1 ] || {
            echo "not in the table: $name"
            false
        }
    done < <(jq -r '.curves[] | "\(.kernel | ltrimstr("overhead.")) \(.points | length)"' \
        topologies/calibration/h800_published.json)
    while read -r constant; do
        grep -q "^  $constant  *[0-9]" <<<"$output"
    done < <(jq -r '.constants[].name' topologies/calibration/h800_published.json)
    holds "bandwidth [0-9]+ GB/s"
    holds "infersim.gemm x 0\.[0-9]+"
    holds "sms 112 to 132"
    [ "$(awk '{ if (length > longest) longest = length } END { print longest }' <<<"$output")" -le 110 ]
}

@test "calibrate: --json prints one document, equal to -o, that conforms to its schema" {
    run -0 --separate-stderr "$R1SIM" calibrate --show h800_published --json
    [ -z "$stderr" ]
    [ "$(jq -s length <<<"$output")" -eq 1 ]
    [ "$output" = "$(<"$BATS_FILE_TMPDIR/report.json")" ]
    conforms calibration_report
    for preset in h100_published assumed_cpu; do
        run -0 "$R1SIM" calibrate --show "$preset" --json
        conforms calibration_report
        json '.name == $preset' --arg preset "$preset"
    done
}

@test "calibrate: the check against the schema can fail" {
    output=$(jq '.curves[0].form = "guessed"' "$BATS_FILE_TMPDIR/report.json")
    run ! conforms calibration_report
    output=$(jq '.curves[0].points_count = 1.5' "$BATS_FILE_TMPDIR/report.json")
    run ! conforms calibration_report
    output=$(jq 'del(.constants)' "$BATS_FILE_TMPDIR/report.json")
    run ! conforms calibration_report
}

@test "calibrate: calibration files conform to their schema" {
    for preset in h800_published h100_published assumed_cpu; do
        output=$(<"topologies/calibration/$preset.json")
        conforms calibration
    done
    output=$(jq '.leave_out = ["trace.events"]' topologies/calibration/h800_published.json)
    conforms calibration
}

@test "calibrate: the report has the points of the file, and their fit" {
    use_report
    json '.curves | length == ($file[0].curves | length)' \
        --slurpfile file topologies/calibration/h800_published.json
    json 'all(.curves[]; (.points | length) == .points_count)'
    json '[.curves[].points | map({value, source, row})]
        == [$file[0].curves[].points | map({value, source, row})]' \
        --slurpfile file topologies/calibration/h800_published.json
    json '.constants == [$file[0].constants[] | {name, value, source, row}]' \
        --slurpfile file topologies/calibration/h800_published.json
    json 'all(.curves[] | select(.points_count > 1 and .form != "interpolated");
        .points_count > .parameters_count)'
    json '.curves[] | select(.kernel == "gemm_fp8") | .form == "waves"
        and .implementation == "training" and (.factors | has("deepgemm.dense"))
        and .parameters_count == (.parameters + (.factors | keys) | length)
        and .domain.sms == {min: 112, max: 132}'
    # Residuals are those of the points.
    json 'all(.curves[] | select(.form != "interpolated"); all(.points[];
            (.fitted_us / .measured_us - 1) * 100 - .residual_percent | fabs < 1e-9)
        and (.residual_percent.max - ([.points[].residual_percent | fabs] | max) | fabs < 1e-9)
        and (.leave_one_out_percent.max
            - ([.points[].leave_one_out_percent | fabs] | max) | fabs < 1e-9))'
    # 2 m n k FLOPs at the measured rate.
    json 'all(.curves[] | select(.kernel == "gemm_fp8") | .points[];
        .measured_us * .value * 1e6 / (2 * .m * .n * .k) - 1 | fabs < 1e-9)'
    json '[.curves[] | select(.kernel == "dispatch" or .kernel == "combine")
        | .form == "interpolated" and .leave_one_out_percent.median > 0
            and all(.points[]; .measured_us == null)] == [true, true]'
}

@test "calibrate: a curve of one point has no error" {
    run -0 "$R1SIM" calibrate --show assumed_cpu --json
    json 'all(.curves[]; .points_count == 1 and .leave_one_out_percent == null)'
    json '.curves[0].points[0] | .fitted_us / .measured_us - 1 | fabs < 1e-9'
}

# Points of 20 us and 400 GB/s on the bus: 2 x 7/8 of the bytes in an all-reduce over 8.
@test "calibrate: collectives by size are curves among communication" {
    file=$(edited '.curves |= map(select(.kernel != "all_reduce"))
        | .curves += [{kernel: "all_reduce", quantity: "bus_gb_per_s",
        columns: ["bytes", "ranks"], points: [pow(4; range(5; 16)) as $bytes
            | {bytes: $bytes, ranks: 8, value: ($bytes * 1.75 / (20 + $bytes * 1.75 / 4e5) / 1e3),
                source: "assumed", row: "made"}]}]
        | .sources.assumed = {file: "", what: "", source: "", level: "assumed"}')
    run -0 "$R1SIM" calibrate --show "$file" --json
    json '.curves[-1] | .kernel == "all_reduce" and .quantity == "bus_gb_per_s" and .form == "bytes"
        and ([.parameters[].value] | (.[0] - 20 | fabs) < 0.1 and (.[1] - 400 | fabs) < 1)'
    run -0 "$R1SIM" calibrate --show "$file"
    [[ "${output##*Communication}" == *all_reduce* ]]
}

@test "calibrate: --leave-out drops a source, a file of sources, and rows" {
    count() { jq '[.curves[].points[]] | length' <<<"$output"; }
    use_report
    all=$(count)
    run -0 "$R1SIM" calibrate --show h800_published --json --leave-out infersim.gemm
    json '.left_out == ["infersim.gemm"]
        and all(.curves[]; .sources | index("infersim.gemm") == null)
        and (.curves[] | select(.kernel == "gemm_fp8") | .factors | has("infersim.gemm") | not)'
    one=$(count)
    run -0 "$R1SIM" calibrate --show h800_published --json \
        --leave-out h800_kernels_infersim.json
    file=$(count)
    [ "$file" -lt "$one" ] && [ "$one" -lt "$all" ]
    # A text whose points another one names as well is known all the same.
    run -0 "$R1SIM" calibrate --show h800_published --json \
        --leave-out h800_kernels_infersim.json --leave-out infersim.gemm --leave-out "ep 64 "
    json '.left_out | sort == ["ep 64 ", "h800_kernels_infersim.json", "infersim.gemm"]'
    json '.curves[] | select(.kernel == "dispatch") | all(.points[]; .row | contains("ep 64 ") | not)'
    # A curve or a constant without points left is gone.
    run -0 "$R1SIM" calibrate --show h800_published --json --leave-out trace.events
    json '(all(.curves[]; .kernel != "rms_norm") and all(.constants[]; .name != "launch_gap_us"))
        and any(.constants[]; .name == "reference_sms")'
    run -0 "$R1SIM" calibrate --show h800_published --leave-out trace.events
    holds "left out: trace.events"
}

@test "calibrate: --leave-out adds to the file's own leave_out" {
    run -0 "$R1SIM" calibrate --show "$(edited '.leave_out = ["shenh10.dense"]')" --json \
        --leave-out deepgemm.dense
    json '.left_out | sort == ["deepgemm.dense", "shenh10.dense"]'
}

@test "calibrate: --set overrides a field of the file" {
    run -0 "$R1SIM" calibrate --show h800_published --json --set implementation=infersim.gemm
    json '.curves[] | select(.kernel == "gemm_fp8") | .implementation == "infersim.gemm"
        and .factors.training > 1'
    refused_with 3 "--set: /curves/0/points/0/value" calibrate --show h800_published \
        --set /curves/0/points/0/value=-1
}

@test "calibrate: broken files and unknown texts exit 3 and say where" {
    refused_with 3 "--leave-out: /leave_out: 'nobody' is no source" calibrate \
        --show h800_published --leave-out nobody
    refused_with 3 "edited.json:[0-9]+:[0-9]+: /curves/0/points/0/value: must be" calibrate \
        --show "$(edited '.curves[0].points[0].value = -1')"
    refused_with 3 "edited.json:[0-9]+:[0-9]+: /leave_out" calibrate \
        --show "$(edited '.leave_out = "trace.events"')" --leave-out trace.events
    refused_with 3 "edited.json:[0-9]+:[0-9]+: /quantities" calibrate \
        --show "$(edited '.quantities = 1')"
    refused_with 3 "did you mean 'h800_published'" calibrate --show h800_publisht
    refused_with 3 "missing.json: cannot be read" calibrate --show missing.json
    [ ! -e "$BATS_TEST_TMPDIR/report.json" ]
}

@test "calibrate: --device cpu measures every kernel of a training step, and steps cost that" {
    local mine=$BATS_TEST_TMPDIR/mine.json
    run -0 --separate-stderr "$R1SIM" calibrate --device cpu --quick -o "$mine"
    [ -z "$stderr" ]
    holds "requantize_transpose_fp8 +[a-z]+ +[0-9]+"
    output=$(<"$mine")
    conforms calibration
    json '.device == "cpu" and .sources["cpu.measured"].level == "measured"'
    json '[.curves[].points[].value] | min > 0'
    json '.constants[] | select(.name == "launch_gap_us") | .value > 0'
    # Every kernel of the graph that simulate replays, and what ranks do together.
    "$R1SIM" simulate scenarios/tiny_train_cpu.json --graph "$BATS_TEST_TMPDIR/graph.json" \
        >/dev/null
    local missing
    missing=$(jq -r --slurpfile mine "$mine" '[.templates[].ops[] | .kernel // empty] | unique
        - [$mine[0].curves[].kernel] | .[]' "$BATS_TEST_TMPDIR/graph.json")
    [ -z "$missing" ]
    json '[.curves[].kernel] | contains(["dispatch", "combine", "notify", "reduce_scatter"])'
    run -0 "$R1SIM" simulate scenarios/tiny_train_cpu.json --set "calibration=\"$mine\"" --json
    json '.confidence[] | select(.component == "kernel.gemm_fp8") | .level == "measured"'
    json '.step.time_s > 0'
}

@test "calibrate: --device cpu says on how many threads, and with --json prints the file" {
    run -0 --separate-stderr "$R1SIM" calibrate --device cpu --quick --jobs 1 --json
    [ "$(jq -s length <<<"$output")" -eq 1 ]
    conforms calibration
    json '.sources["cpu.measured"].source | test("kernels on 1 thread$")'
}

@test "calibrate: --device cpu without a place for the file is refused before it measures" {
    refused_with 2 "needs -o FILE, or --json" calibrate --device cpu
    refused_with 3 "cannot be written" calibrate --device cpu -o "$BATS_TEST_TMPDIR/none/my.json"
    refused_with 2 "goes with --device cuda" calibrate --device cpu --own-kernels -o my.json
    refused_with 2 "goes with --device" calibrate --show h800_published --quick
    [ ! -e my.json ]
}

@test "calibrate: what this version lacks exits 5" {
    refused_with 5 "CUDA" calibrate --device cuda -o "$BATS_TEST_TMPDIR/measured.json"
    [[ ! -e "$BATS_TEST_TMPDIR/measured.json" ]]
}

@test "calibrate: --import nccl-tests puts the rings of a machine in place of the base's" {
    local logs=tests/sim/data/nccl_tests mine=$BATS_TEST_TMPDIR/mine.json
    run -0 --separate-stderr "$R1SIM" calibrate --import nccl-tests \
        "$logs/a100_8_allreduce_old_format.log" "$logs/a100_8_alltoall_old_format.log" \
        --collective all_reduce --collective all_to_all --base h100_published -o "$mine"
    [[ "$stderr" =~ "no log of all_gather" ]]
    holds "all_to_all +bytes +29"
    output=$(<"$mine")
    conforms calibration
    # 8 GiB in 63896 us on 8 GPUs: 2 x 7/8 of it a link, 235.26 GB/s in the log.
    json '.curves[] | select(.kernel == "all_reduce") | .points[-1]
        | .bytes == 8589934592 and .ranks == 8 and .value == 235.263 and (.row | test("log:50: "))'
    json '[.curves[].kernel] | contains(["gemm_fp8", "dispatch", "all_reduce", "all_to_all"])
        and (contains(["all_gather"]) | not)'
    json '[.constants[].name] | contains(["nvlink_bus_gb_per_s"]) | not'
    run -0 --separate-stderr "$R1SIM" simulate scenarios/train_v3_512_h100.json \
        --set "calibration=\"$mine\"" --engine fluid
    # As long again as the file: one point a line, and nothing else changed.
    run -0 "$R1SIM" calibrate --show "$mine"
}

@test "calibrate: --import says what logs and options lack" {
    local logs=tests/sim/data/nccl_tests out=$BATS_TEST_TMPDIR/none.json
    import() {
        refused_with "$1" "$2" calibrate --import nccl-tests "$logs/$3" --base h100_published \
            -o "$out" "${@:4}"
    }
    import 3 "does not say which collective" a100_8_allreduce_old_format.log
    import 3 "does not list its ranks" h100_p5_mpirun_prefix.log --collective all_reduce
    import 5 "ranks are on 2 hosts" h100_2x8_oci.log --collective all_reduce
    import 2 "did you mean 'all_reduce'" a100_8_allreduce_old_format.log --collective allreduce
    import 2 "every log has its collective" a100_8_allreduce_old_format.log \
        --collective all_reduce --collective all_gather
    import 3 "cannot be read" none.log
    echo '{"schema": "r1sim.calibration/1", "curves": "none"}' >"$BATS_TEST_TMPDIR/base.json"
    refused_with 3 "base.json:1:[0-9]+: /curves" calibrate --quiet --import nccl-tests \
        "$logs/a100_8_allreduce_old_format.log" --collective all_reduce \
        --base "$BATS_TEST_TMPDIR/base.json" -o "$out"
    sed '/Rank  [1-7]/d' "$logs/a100_8_allreduce_old_format.log" >"$BATS_TEST_TMPDIR/one.log"
    refused_with 3 "one.log: is of one rank" calibrate --import nccl-tests \
        "$BATS_TEST_TMPDIR/one.log" --collective all_reduce --base h100_published -o "$out"
    import 2 "at least 2" h100_p5_mpirun_prefix.log --collective all_reduce --ranks 1
    refused_with 3 "holds no row" calibrate --import nccl-tests README.md --base h100_published \
        --collective all_reduce -o "$out"
    refused_with 2 "goes with --base" calibrate --import nccl-tests \
        "$logs/a100_8_allreduce_old_format.log" -o "$out"
    refused_with 5 "--import deepep is not in this version" calibrate --import deepep x
    refused_with 2 "takes nccl-tests, not 'nccltests', did you mean" calibrate --import nccltests x
    refused_with 2 "--base goes with --import" calibrate --show h100_published --base x
    [ ! -e "$out" ]
}
