# Shared by the command line tests: $R1SIM is the program, the repository root is the folder.
# shellcheck shell=bash
bats_require_minimum_version 1.5.0

R1SIM=$(realpath "${R1SIM:-build/release/r1sim}")
# shellcheck disable=SC2034  # read by the tests
main_job=scenarios/train_v3_2048_h800.json

# json FILTER [jq option...]: evaluates FILTER on the last output, fails if it is false or null.
json() {
    local filter=$1
    shift
    # shellcheck disable=SC2154  # bats sets it
    jq -e "$@" "$filter" <<<"$output" >"$BATS_TEST_TMPDIR/jq.out" || {
        echo "false: $filter"
        cat "$BATS_TEST_TMPDIR/jq.out"
        return 1
    }
}

# conforms SCHEMA: the last output is JSON that conforms to the schema of this kind.
conforms() {
    "$R1SIM" schema "$1" >"$BATS_TEST_TMPDIR/schema.json"
    local problems
    problems=$(jq -r --slurpfile schema "$BATS_TEST_TMPDIR/schema.json" -f tests/cli/conforms.jq \
        <<<"$output")
    [ -z "$problems" ] || {
        echo "does not conform to $1:"
        echo "$problems"
        return 1
    }
}

# same FILE1 FILE2: equal bytes.
same() {
    cmp "$1" "$2"
}

# holds REGEXP: the last output holds a match.
holds() {
    [[ "$output" =~ $1 ]] || {
        echo "no match of: $1"
        echo "$output"
        return 1
    }
}

# refused_with STATUS REGEXP ARGUMENT...: that exit status, nothing on stdout, the message on stderr.
# shellcheck disable=SC2154  # bats sets stderr
refused_with() {
    local status_wanted=$1 pattern=$2
    shift 2
    run -"$status_wanted" --separate-stderr "$R1SIM" "$@"
    [ -z "$output" ]
    [[ "$stderr" =~ $pattern ]] || {
        echo "no match of: $pattern"
        echo "$stderr"
        return 1
    }
}

# Copies what `simulate` needs into the folder $1, so that its files can be edited.
copy_data() {
    mkdir -p "$1"
    cp -r scenarios topologies "$1"
}
