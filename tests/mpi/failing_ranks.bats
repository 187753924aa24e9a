#!/usr/bin/env bats
# A job of processes in which one fails ends within 5 s, with its message, and leaves no process.
# shellcheck disable=SC2154  # bats sets output and status

setup() {
    bats_require_minimum_version 1.5.0
    read -ra mpi_run <<<"$R1_MPI_RUN"
}

alive() {
    local state
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 1
    [[ -n "$state" && "$state" != Z ]]
}

# ends JOB [TEXT [CODE]]: the job fails in time, says TEXT, and all 4 processes are gone.
ends() {
    local start=$SECONDS file pid
    run ! timeout 20 "${mpi_run[@]}" "$R1_MPI_TESTS" "$1" "$BATS_TEST_TMPDIR"
    echo "$output"
    ((SECONDS - start <= 5))
    [[ "$output" == *"${2:-}"* ]]
    [[ -z "${3:-}" || "$status" -eq "$3" ]]
    local files=("$BATS_TEST_TMPDIR"/*.pid)
    ((${#files[@]} == 4))
    for file in "${files[@]}"; do
        pid=$(<"$file")
        ! alive "$pid" || {
            echo "still there: $pid ($file)"
            return 1
        }
    done
}

@test "a rank throws while the others wait for it" {
    ends rank-throws "r1sim: rank 2: the ship is sinking"
}

@test "a rank lacks a kernel: exit 5" {
    ends rank-lacks-kernel "r1sim: rank 2: no such kernel" 5
}

@test "a rank finds its input wrong: exit 3" {
    ends rank-finds-input-wrong "r1sim: rank 2: some.json: is not what it should be" 3
}

@test "one of a rank's threads aborts" {
    ends thread-aborts "r1sim: rank 1: a thread is sinking"
}

@test "nobody catches the exception of a thread" {
    ends thread-throws "nobody catches this"
}

@test "a process is killed" {
    ends process-is-killed
}
