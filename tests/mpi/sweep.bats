#!/usr/bin/env bats
# A sweep over processes that mpirun started: the lines of one process, and what happens at a kill.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load ../cli/common
    read -ra mpi_run <<<"$R1_MPI_RUN" # of 4 processes
    folder=$BATS_TEST_TMPDIR
    cat >"$folder/sweep.json" <<EOF
{"schema": "r1sim.sweep/1", "base": "$PWD/scenarios/tiny_train_cpu.json",
 "axes": {"/replay/engine": ["fluid"], "/plan/schedule": ["dualpipe", "1f1b"],
          "/workload/sequence_length": [64, 128], "/seed": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}
EOF
    "$R1SIM" sweep "$folder/sweep.json" -o "$folder/alone.jsonl" >"$folder/alone"
}

without_run_info() {
    jq -c 'del(.run_info)' "$1"
}

@test "mpirun gives the lines and the table of one process, once" {
    "${mpi_run[@]}" "$R1SIM" sweep "$folder/sweep.json" -o "$folder/ranks.jsonl" >"$folder/ranks"
    same <(without_run_info "$folder/alone.jsonl") <(without_run_info "$folder/ranks.jsonl")
    same "$folder/alone" "$folder/ranks"
    "${mpi_run[@]}" "$R1SIM" sweep "$folder/sweep.json" --jobs 2 -o "$folder/ranks.jsonl" >/dev/null
    same <(without_run_info "$folder/alone.jsonl") <(without_run_info "$folder/ranks.jsonl")
}

@test "mpirun killed in the middle: resumed by one process with the same file" {
    "${mpi_run[@]}" "$R1SIM" sweep "$folder/sweep.json" -o "$folder/ranks.jsonl" \
        >/dev/null 2>&1 &
    local runner=$! i
    for ((i = 0; i < 2000; ++i)); do
        (($(wc -l <"$folder/ranks.jsonl.journal" 2>/dev/null || echo 0) > 3)) && break
        sleep 0.01
    done
    kill -9 "$(pgrep -P "$runner" -f "r1sim sweep" | tail -n 1)"
    wait "$runner" || true
    [ ! -e "$folder/ranks.jsonl" ]
    run ! pgrep -f "$folder/sweep.json"
    run -0 --separate-stderr "$R1SIM" sweep "$folder/sweep.json" --verbose \
        -o "$folder/ranks.jsonl"
    [[ "$stderr" =~ "of 40 points were done before" ]]
    same <(without_run_info "$folder/alone.jsonl") <(without_run_info "$folder/ranks.jsonl")
}

@test "what all ranks refuse is said once, exit 3" {
    echo "something else" >"$folder/ranks.jsonl.journal"
    run -3 "${mpi_run[@]}" "$R1SIM" sweep "$folder/sweep.json" -o "$folder/ranks.jsonl"
    [ "$(grep -c "is no journal of a sweep" <<<"$output")" -eq 1 ]
}
