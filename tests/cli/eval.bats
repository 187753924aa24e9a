#!/usr/bin/env bats
# eval: the executed forward graph.

load common

model=tests/golden/tiny_a

@test "eval: prints the loss and the graph of three tokens" {
    run "$R1SIM" eval --model "$model" --tokens 1,2,3
    [ "$status" -eq 0 ]
    [[ "$output" == *"tokens   3"* ]]
}

@test "eval: runs the graph that simulate replays" {
    local executed replayed
    executed=$("$R1SIM" eval --model "$model" --tokens 1,2,3,4,5 --json | jq -r .graph.hash)
    replayed=$("$R1SIM" simulate scenarios/tiny_prefill_cpu.json --set model="$PWD/$model" \
        --set workload.sequence_length=5 --json | jq -r .graph.hash)
    [ -n "$executed" ]
    [ "$executed" = "$replayed" ]
}

@test "eval: writes logits, hidden states, routing and MTP" {
    run "$R1SIM" eval --model "$model" --tokens 1,2,3 --dump hidden,router,mtp --json \
        -o "$BATS_TEST_TMPDIR/out.safetensors"
    [ "$status" -eq 0 ]
    [ "$(jq -c '.tensors.logits' <<<"$output")" = "[3,192]" ]
    [ "$(jq -c '.tensors["layers.2.router.indices"]' <<<"$output")" = "[3,4]" ]
    [ "$(jq -c '.tensors["mtp.logits"]' <<<"$output")" = "[2,192]" ]
    [ -s "$BATS_TEST_TMPDIR/out.safetensors" ]
}

@test "eval: a token outside the vocabulary, no token and no model are refused" {
    run "$R1SIM" eval --model "$model" --tokens 1,192
    [ "$status" -eq 3 ]
    [[ "$output" == *"token 192 at position 1"* ]]
    run "$R1SIM" eval --model "$model" --tokens 1,x
    [ "$status" -eq 3 ]
    run "$R1SIM" eval --model tests/golden/nothing --tokens 1
    [ "$status" -eq 3 ]
    run "$R1SIM" eval --tokens 1
    [ "$status" -eq 2 ]
}

@test "eval: a truncated checkpoint is refused by name" {
    cp -r "$model" "$BATS_TEST_TMPDIR/cut"
    head -c 500000 "$model/model.safetensors" >"$BATS_TEST_TMPDIR/cut/model.safetensors"
    run "$R1SIM" eval --model "$BATS_TEST_TMPDIR/cut" --tokens 1
    [ "$status" -eq 3 ]
    [[ "$output" == *"model.safetensors"* ]]
}
