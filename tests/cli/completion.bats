#!/usr/bin/env bats
# completion and manual: what is made from the command table.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154  # bats sets output and stderr

setup() {
    load common
}

# complete_bash WORD...: what bash offers for the last word, a line each.
complete_bash() {
    "$R1SIM" completion bash >"$BATS_TEST_TMPDIR/r1sim.bash"
    run -0 bash -c 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _r1sim; printf "%s\n" "${COMPREPLY[@]}"' bash "$BATS_TEST_TMPDIR/r1sim.bash" "$@"
}

@test "completion: bash offers commands, options and their values" {
    complete_bash r1sim ""
    for command in simulate run validate compare schema completion; do
        grep -qx -- "$command" <<<"$output"
    done
    complete_bash r1sim val
    [ "$output" = validate ]
    complete_bash r1sim simulate --trace
    [ "$output" = $'--trace\n--trace-detail' ]
    complete_bash r1sim simulate --engine ""
    [ "$output" = $'simgrid\nfluid\nboth' ]
    complete_bash r1sim schema time
    [ "$output" = timeline ]
    complete_bash r1sim schedule dual
    [ "$output" = $'dualpipe\ndualpipev' ]
    complete_bash r1sim run --color a
    [ "$output" = $'auto\nalways' ]
    # Files: readline's own.
    complete_bash r1sim simulate sce
    [ -z "$output" ]
    complete_bash r1sim simulate --trace -
    [ -z "$output" ]
}

@test "completion: bash offers every option that --help names" {
    for command in simulate sweep plan run replay validate compare model schedule topology eval generate calibrate \
        report schema doctor completion manual; do
        complete_bash r1sim "$command" --
        offered=$(sort -u <<<"$output")
        named=$("$R1SIM" "$command" --help | sed -nE 's/^  (-o \[ )?(--[a-z0-9-]+).*/\2/p' | sort -u)
        positional=$(comm -13 <(echo "$offered") <(echo "$named") | wc -l)
        [ "$positional" -le 1 ]
        [ -z "$(comm -23 <(echo "$offered") <(echo "$named"))" ]
    done
}

@test "completion: the scripts are correct in their shells" {
    "$R1SIM" completion bash | bash -n
    for shell in zsh fish; do
        "$R1SIM" completion "$shell" >"$BATS_TEST_TMPDIR/script"
        grep -q "engine" "$BATS_TEST_TMPDIR/script"
        if command -v "$shell"; then
            "$shell" -n "$BATS_TEST_TMPDIR/script"
        fi
    done
    if command -v zsh; then
        # At the first TAB, the file that fpath names is the function.
        "$R1SIM" completion zsh >"$BATS_TEST_TMPDIR/_r1sim"
        run -0 zsh -fc 'fpath=("$1") && autoload -Uz _r1sim
            _arguments() { print -l -- "$@" } && compdef() { print compdef }
            words=(r1sim simulate --eng) CURRENT=3 && _r1sim' zsh "$BATS_TEST_TMPDIR"
        holds "--engine"
        run ! holds compdef
        run -0 zsh -fc 'compdef() { print "$@" } && source "$1"' zsh "$BATS_TEST_TMPDIR/_r1sim"
        [ "$output" = "_r1sim r1sim" ]
    fi
    if command -v fish; then
        "$R1SIM" completion fish >"$BATS_TEST_TMPDIR/r1sim.fish"
        run -0 fish -c "source $BATS_TEST_TMPDIR/r1sim.fish; complete -C 'r1sim simulate --engine '"
        [[ "$output" == *fluid* && "$output" == *simgrid* ]]
        run -0 fish -c "source $BATS_TEST_TMPDIR/r1sim.fish; complete -C 'r1sim comp'"
        [[ "$output" == *compare* && "$output" == *completion* ]]
    fi
    refused_with 2 "did you mean 'fish'" completion fisch
}

@test "manual: the man page has no warnings, every command and every exit code" {
    "$R1SIM" manual man >"$BATS_TEST_TMPDIR/r1sim.1"
    run -0 groff -man -Tutf8 -ww -z "$BATS_TEST_TMPDIR/r1sim.1"
    [ -z "$output" ]
    if command -v mandoc; then
        # Without a date, the page is the same whenever it is made.
        run mandoc -T lint -W warning "$BATS_TEST_TMPDIR/r1sim.1"
        [ -z "$(grep -v 'missing date' <<<"$output")" ]
    fi
    run -0 bash -c 'groff -man -Tascii -P -c "$1" | sed "s/.\x08//g"' bash \
        "$BATS_TEST_TMPDIR/r1sim.1"
    for command in simulate sweep plan run replay validate compare model schedule topology eval generate calibrate \
        report schema doctor completion manual; do
        holds "
   $command"
    done
    holds "--fail-above"
    holds "130 +interrupted"
}

@test "manual: docs/cli.md is what the program makes" {
    "$R1SIM" manual markdown >"$BATS_TEST_TMPDIR/cli.md"
    diff docs/cli.md "$BATS_TEST_TMPDIR/cli.md" || {
        echo "make it anew: r1sim manual markdown >docs/cli.md"
        false
    }
    refused_with 2 "did you mean 'markdown'" manual markdwn
}
