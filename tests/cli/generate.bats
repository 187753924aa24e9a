#!/usr/bin/env bats
# generate: the decode graph over the latent cache.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
    model=tests/golden/tiny_a
}

@test "generate: prints the ids of a model without text as they come" {
    run -0 --separate-stderr "$R1SIM" generate --model "$model" --tokens 5,9,2,77 \
        --max-new-tokens 5 --ignore-eos
    [[ "$output" =~ ^[0-9]+(\ [0-9]+){4}$ ]]
}

@test "generate: json has tokens, text, drafts and the graph" {
    run -0 --separate-stderr "$R1SIM" generate --model "$model" --tokens 5,9,2,77 \
        --max-new-tokens 5 --json --ignore-eos
    json '.schema == "r1sim.generate/1" and (.tokens | length) == 5 and .text == null'
    json '.accepted_drafts == 0 and (.graph.hash | test("^[0-9a-f]{32}$"))'
    json '[.graphs[] | select(.name == "decode") | .runs] == [5]'
    json '.run_info.memory | .total_bytes == .weights_bytes + .cache_bytes + .activations_bytes
        + .workspace_bytes'
    json '.sequences[0].finish_reason == "length"'
}

@test "generate: same inputs and seed, same bytes but for run_info" {
    for temperature in 0 1.2; do
        for i in 1 2; do
            "$R1SIM" generate --model "$model" --tokens 5,9 --max-new-tokens 20 --seed 7 \
                --temperature $temperature --jobs "$i" --json | jq 'del(.run_info)' >"$BATS_TEST_TMPDIR/$i"
        done
        same "$BATS_TEST_TMPDIR/1" "$BATS_TEST_TMPDIR/2"
    done
    "$R1SIM" generate --model "$model" --tokens 5,9 --max-new-tokens 20 --seed 8 \
        --temperature 1.2 --json | jq 'del(.run_info)' >"$BATS_TEST_TMPDIR/3"
    ! cmp -s "$BATS_TEST_TMPDIR/2" "$BATS_TEST_TMPDIR/3"
}

@test "generate: speculative gives the greedy tokens and reports acceptance" {
    run -0 --separate-stderr "$R1SIM" generate --model "$model" --tokens 5,9,2,77 \
        --max-new-tokens 60 --ignore-eos --json
    plain=$(jq -c .tokens <<<"$output")
    run -0 --separate-stderr "$R1SIM" generate --model "$model" --tokens 5,9,2,77 \
        --max-new-tokens 60 --ignore-eos --json --speculative
    [ "$(jq -c .tokens <<<"$output")" = "$plain" ]
    json '.drafts > 0 and .accepted_drafts <= .drafts'
    json '.graphs[0].runs + .accepted_drafts == 60'
    [[ "$stderr" == *"drafts: "*" accepted"* ]]
}

@test "generate: a token in the end list ends the text" {
    run -0 --separate-stderr "$R1SIM" generate --model "$model" --tokens 5,9,2,77 \
        --max-new-tokens 40 --json
    json '.sequences[0].finish_reason == "end_token" and .tokens[-1] == 1'
}

@test "generate: writes the binding and the timeline of the run" {
    run -0 --separate-stderr "$R1SIM" generate --model "$model" --tokens 5,9,2,77 --json \
        --max-new-tokens 3 --ignore-eos --binding "$BATS_TEST_TMPDIR/binding.json" \
        --timeline "$BATS_TEST_TMPDIR/timeline.json"
    hash=$(jq -r .graph.hash <<<"$output")
    ops=$(jq '[.graphs[] | .ops * .runs] | add' <<<"$output")
    run -0 jq . "$BATS_TEST_TMPDIR/binding.json"
    json '[.steps[] | .symbols.past_tokens] == [0, 3, 4, 5]'
    json '.steps[1].graph.hash == $hash' --arg hash "$hash"
    # tiny_a: four experts a token; the prompt had three tokens before its last.
    json '[.steps[] | .expert_rows["layers.2"] | add] == [12, 4, 4, 4]'
    run -0 jq . "$BATS_TEST_TMPDIR/timeline.json"
    json '(.intervals | length) == $ops' --argjson ops "$ops"
    json 'all(.intervals[]; .[6] >= .[5]) and .measured'
    json '.lanes == [{rank: 0, program: 0, multiplicity: 1}]'
}

# keys_of FILE KIND FILTER SCHEMA-FILTER ('' for its root): no key of the file lacks in the schema,
# and none is missing.
keys_of() {
    jq -e --slurpfile schema <("$R1SIM" schema "$2") \
        '('"$3"' | keys) - ($schema[0] | '"$4"'.properties | keys) == []
            and ($schema[0] | '"$4"'.required) - ('"$3"' | keys) == []' "$1"
}

@test "generate: its files have the keys of their schemas" {
    "$R1SIM" generate --model "$model" --tokens 5,9 --max-new-tokens 2 --ignore-eos \
        -o "$BATS_TEST_TMPDIR/answer.json" --binding "$BATS_TEST_TMPDIR/binding.json" \
        --timeline "$BATS_TEST_TMPDIR/timeline.json"
    keys_of "$BATS_TEST_TMPDIR/answer.json" generate . ''
    keys_of "$BATS_TEST_TMPDIR/answer.json" generate .graph .properties.graph
    keys_of "$BATS_TEST_TMPDIR/answer.json" generate .run_info.memory \
        .properties.run_info.properties.memory
    for part in graphs sequences; do
        keys_of "$BATS_TEST_TMPDIR/answer.json" generate ".${part}[0]" ".properties.$part.items"
    done
    keys_of "$BATS_TEST_TMPDIR/binding.json" binding . ''
    keys_of "$BATS_TEST_TMPDIR/binding.json" binding '.steps[0]' .properties.steps.items
    keys_of "$BATS_TEST_TMPDIR/timeline.json" timeline . ''
    output=$(<"$BATS_TEST_TMPDIR/timeline.json")
    conforms timeline
}

@test "generate: bad prompts are refused by name" {
    refused_with 3 '--tokens: token 192 at position 1' generate --model "$model" --tokens 1,192
    refused_with 3 '--tokens' generate --model "$model" --tokens ''
    refused_with 3 "'x' is not a token id" generate --model "$model" --tokens 1,x
    refused_with 3 '1281 tokens exceed the model.s 1280 positions' \
        generate --model "$model" --tokens 1,2 \
        --max-new-tokens 1279
    refused_with 3 'vocabulary of 192' generate --model "$model" --prompt hello
    refused_with 3 "no-such.safetensors" \
        generate --model "$model" --input "$BATS_TEST_TMPDIR/no-such.safetensors"
}

@test "generate: damaged checkpoints are refused by name" {
    cp -r "$model" "$BATS_TEST_TMPDIR/cut"
    head -c 500000 "$model/model.safetensors" >"$BATS_TEST_TMPDIR/cut/model.safetensors"
    refused_with 3 'cut/model.safetensors' generate --model "$BATS_TEST_TMPDIR/cut" --tokens 1
    jq '.hidden_size = 100' "$model/config.json" >"$BATS_TEST_TMPDIR/cut/config.json"
    cp "$model/model.safetensors" "$BATS_TEST_TMPDIR/cut/model.safetensors"
    refused_with 3 'model.embed_tokens.weight' generate --model "$BATS_TEST_TMPDIR/cut" --tokens 1
    jq '.num_nextn_predict_layers = 0' "$model/config.json" >"$BATS_TEST_TMPDIR/cut/config.json"
    refused_with 3 'model.layers.4' generate --model "$BATS_TEST_TMPDIR/cut" --tokens 1
}

@test "generate: outputs that cannot be written are refused before the run" {
    refused_with 3 'no-such/b.json' generate --model "$model" --tokens 1 \
        --binding "$BATS_TEST_TMPDIR/no-such/b.json"
    refused_with 3 'is a folder' generate --model "$model" --tokens 1 -o "$BATS_TEST_TMPDIR"
    refused_with 3 '--timeline: needs the name' generate --model "$model" --tokens 1 --timeline ''
    refused_with 2 'one file' generate --model "$model" --tokens 1 \
        --binding "$BATS_TEST_TMPDIR/x" --timeline "$BATS_TEST_TMPDIR/x"
    [ ! -e "$BATS_TEST_TMPDIR/x" ]
    refused_with 2 '--set' generate --model "$model" --tokens 1 --set a=1
    refused_with 2 '--set' eval --model "$model" --tokens 1 --set a=1
}

@test "generate: wrong flags exit 2" {
    for arguments in "--tokens 1" "--model $model" "--model $model --tokens 1 --prompt x" \
        "--model $model --tokens 1 --chat" "--model $model --tokens 1 --temperature -1" \
        "--model $model --tokens 1 --top-p 0" "--model $model --tokens 1 --max-new-tokens 0" \
        "--model $model --tokens 1 --max-new-tokens 9223372036854775807" \
        "--model $model --tokens 1 --temperature inf" \
        "--model $model --tokens 1 --compute fp64" "--model $model --tokens 1 --prefill-chunk 0"; do
        # shellcheck disable=SC2086  # several words
        run -2 "$R1SIM" generate $arguments
    done
}
