#!/usr/bin/env bash
# A sweep under a real Slurm on this host: as ranks of srun (PMIx) and as a job array of shards, each
# with the lines of one process. Needs root: it installs slurm-wlm and munge (Debian) unless they are
# there, starts munged, slurmctld and slurmd with files of its own, and ends them.
#   tests/slurm/sweep.sh [PROGRAM]      default: build/release/r1sim
# Prints one line a check, and at the end 'slurm: N checks passed'. Not part of tools/test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
program=$(realpath "${1:-build/release/r1sim}")
folder=$(mktemp -d)
daemons=()
checks=0

end() {
    local status=$?
    ((status == 0)) || tail -n 20 "$folder"/*.log >&2 || true
    for daemon in "${daemons[@]}"; do
        if kill "$daemon" 2>/dev/null; then
            wait "$daemon" 2>/dev/null || true
        fi
    done
    rm -rf "$folder"
    exit "$status"
}
trap end EXIT

check() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >"$folder/check.log" || { echo "FAILED: $name"; exit 1; }
    checks=$((checks + 1))
    echo "ok: $name"
}

without_run_info() { jq -c 'del(.run_info)' "$1" >"$1.plain"; }
same_lines() {
    without_run_info "$folder/alone.jsonl"
    without_run_info "$1"
    cmp "$folder/alone.jsonl.plain" "$1.plain"
}

install_slurm() {
    command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null &&
        return
    apt-get -q update >"$folder/apt.log" 2>&1
    # Services would start daemons of their own.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -y install --no-install-recommends \
        slurm-wlm munge >>"$folder/apt.log" 2>&1
}

# munge: its key and socket in our folder, which munged wants to be safe from others.
start_munge() {
    chmod 755 "$folder"
    mkdir -m 700 "$folder/munge_key"
    mkdir -m 755 "$folder/munge"
    dd if=/dev/urandom of="$folder/munge_key/key" bs=1024 count=1 2>/dev/null
    chmod 400 "$folder/munge_key/key"
    munged --foreground --force --key-file="$folder/munge_key/key" \
        --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge_key/seed" \
        >"$folder/munged.out" 2>&1 &
    daemons+=($!)
}

start_slurm() {
    local host cores
    host=$(hostname -s) cores=$(nproc)
    mkdir -p "$folder/state" "$folder/spool"
    cat >"$folder/slurm.conf" <<EOF
ClusterName=r1sim
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=26817
SlurmdPort=26818
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
EOF
    export SLURM_CONF=$folder/slurm.conf
    slurmctld -D >"$folder/slurmctld.out" 2>&1 &
    daemons+=($!)
    slurmd -D >"$folder/slurmd.out" 2>&1 &
    daemons+=($!)
    for ((i = 0; i < 60; ++i)); do
        [[ "$(sinfo -h -o %T 2>/dev/null)" == idle ]] && return
        sleep 0.5
    done
    echo "slurm did not start" >&2
    return 1
}

cat >"$folder/sweep.json" <<EOF
{"schema": "r1sim.sweep/1", "base": "$PWD/scenarios/tiny_train_cpu.json",
 "axes": {"/replay/engine": ["fluid"], "/plan/schedule": ["dualpipe", "1f1b", "zb1p"],
          "/workload/sequence_length": [64, 128], "/seed": [0, 1, 2, 3]}}
EOF

install_slurm
start_munge
start_slurm
"$program" sweep "$folder/sweep.json" -o "$folder/alone.jsonl" >"$folder/alone"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
check "srun of 2 ranks runs" srun --mpi=pmix -n 2 --overcommit \
    "$program" sweep "$folder/sweep.json" -o "$folder/ranks.jsonl" --quiet
check "srun of 2 ranks gives the lines of one process" same_lines "$folder/ranks.jsonl"

sbatch -Q --wait --array=0-2 -n 1 -o "$folder/shard_%a.log" \
    --wrap "$program sweep $folder/sweep.json --jobs 1 --quiet \
        --shard \$SLURM_ARRAY_TASK_ID/3 -o $folder/shard_\$SLURM_ARRAY_TASK_ID.jsonl"
for shard in 0 1 2; do
    check "shard $shard has 8 points" test "$(wc -l <"$folder/shard_$shard.jsonl")" -eq 8
done
check "the shards merge" "$program" sweep "$folder/sweep.json" \
    --merge "$folder"/shard_{0,1,2}.jsonl -o "$folder/merged.jsonl" --quiet
check "the shards of a job array give the lines of one process" same_lines "$folder/merged.jsonl"
echo "slurm: $checks checks passed"
