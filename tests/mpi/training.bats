#!/usr/bin/env bats
# Training over processes: the weights of the threads' run, and what happens when a rank dies.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load ../cli/common
    read -ra mpi_run <<<"$R1_MPI_RUN" # of 4 processes
    folder=$BATS_TEST_TMPDIR
    job=(scenarios/tiny_train_cpu.json --set workload.sequence_length=64
        --set workload.global_batch_sequences=8 --set workload.steps=3
        --set workload.held_out_fraction=0)
    dualpipe=("${job[@]}" --set plan.data_parallel=2 --set plan.expert_parallel=2
        --set 'routing={"source":"balanced"}')
    # Experts on two nodes of two, of which a token reaches one: tokens are forwarded.
    two_hop=("${job[@]}" --set plan.pipeline_parallel=1 --set plan.schedule=1f1b
        --set plan.data_parallel=4 --set plan.expert_parallel=4 --set routing.node_limit=1)
}

# compare ARGUMENT...: processes and threads end with the same losses and the same state.
compare() {
    "$R1SIM" run "$@" --set workload.checkpoint.folder="$folder/threads" --json \
        >"$folder/threads.json"
    "${mpi_run[@]}" "$R1SIM" run "$@" --set workload.checkpoint.folder="$folder/processes" --json \
        >"$folder/processes.json"
    jq -e '.run_info | .transport == "mpi" and .ranks == 4' "$folder/processes.json"
    for part in .training .graph; do
        same <(jq "$part" "$folder/threads.json") <(jq "$part" "$folder/processes.json")
    done
    jq -e 'all(.network.links[]; .bytes_by_kind == .graph_bytes_by_kind)' "$folder/processes.json"
    local file files=("$folder"/threads/step-00000003/{*.safetensors,optimizer/*.safetensors})
    ((${#files[@]} >= 5))
    for file in "${files[@]}"; do
        same "$file" "$folder/processes/${file#"$folder"/threads/}"
    done
}

@test "DualPipe on 2 pipeline ranks x 2: processes give the threads' weights" {
    compare "${dualpipe[@]}"
}

@test "experts on two nodes of two: processes give the threads' weights" {
    compare "${two_hop[@]}"
    jq -e '.network.links[] | select(.id == "nvlink").bytes_by_kind.dispatch > 0' \
        "$folder/processes.json"
}

@test "a rank killed in mid-step ends the job, and the last checkpoint is good" {
    local long=("${dualpipe[@]}" --set workload.steps=100000
        --set workload.checkpoint.folder="$folder/killed" --set workload.checkpoint.every_steps=2)
    "${mpi_run[@]}" "$R1SIM" run "${long[@]}" >"$folder/log" 2>&1 &
    local runner=$! i
    for ((i = 0; i < 600; ++i)); do
        [ -e "$folder/killed/step-00000004" ] && break
        sleep 0.05
    done
    local victim
    victim=$(pgrep -P "$runner" -f "run scenarios" | tail -n 1)
    kill -9 "$victim"
    local start=$SECONDS
    if wait "$runner"; then false; fi
    ((SECONDS - start <= 5))
    run ! pgrep -f "$folder/killed"
    local last
    last=$(basename "$(find "$folder/killed" -name 'step-*' | sort | tail -n 1)")
    "${mpi_run[@]}" "$R1SIM" run "${long[@]}" --resume \
        --set workload.steps=$((10#${last#step-} + 1)) --json >"$folder/resumed.json"
    jq -e '.training.steps > 4' "$folder/resumed.json"
}

@test "as many processes as ranks" {
    run ! "${mpi_run[@]}" "$R1SIM" run scenarios/tiny_train_cpu.json
    [[ "$output" == *"mpirun -n 16"* ]]
}

@test "what all ranks refuse is said once, exit 3" {
    local kept=("${dualpipe[@]}" --set workload.checkpoint.folder="$folder/kept")
    "${mpi_run[@]}" "$R1SIM" run "${kept[@]}" --quiet >/dev/null
    run -3 "${mpi_run[@]}" "$R1SIM" run "${kept[@]}"
    [ "$(grep -c "holds checkpoints of an earlier run" <<<"$output")" -eq 1 ]
    run -3 "${mpi_run[@]}" "$R1SIM" run "${kept[@]}" --resume --set workload.steps=9 --seed 7
    [ "$(grep -c "seed 0, not 7" <<<"$output")" -eq 1 ]
}
