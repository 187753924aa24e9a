#!/usr/bin/env bats
# r1sim model: the published numbers of DeepSeek-R1.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154  # jq programs; bats sets output and stderr

setup() {
    load common
    config=tests/golden/configs/deepseek-r1
}

# Total and active parameters, MTP, cache and FLOPs of DeepSeek-V3 and R1.
r1_numbers='.parameters == {total: 671026419200, active_per_token: 37552297472,
        active_per_token_without_embedding: 36625618432, mtp: 11610068224}
    and .kv_cache.bytes_per_token == 70272
    and (.flops_per_token.training / 250e9 - 1 | fabs) < 0.01
    and (.flops_per_token.training / .flops_per_token.forward - 3 | fabs) < 1e-9
    and .schema == "r1sim.model/1"'

@test "model: exact numbers of the released config, folder and file" {
    for argument in "$config" "$config/" "$config/config.json"; do
        run -0 --separate-stderr "$R1SIM" model "$argument" --json
        json "$r1_numbers"
        [ -z "$stderr" ]
    done
}

@test "model: presets" {
    for preset in deepseek-r1 deepseek-v3; do
        run -0 "$R1SIM" model "$preset" --json
        json "$r1_numbers"
    done
    run -0 "$R1SIM" model tiny-r1 --json
    json '.parameters.total > 0 and .parameters.total < 10000000'
}

@test "model: the table holds the same numbers" {
    run -0 "$R1SIM" model deepseek-r1
    holds 671026419200
    holds 70272
}

@test "model: -o writes the JSON, stdout stays the table" {
    run -0 "$R1SIM" model deepseek-r1 -o "$BATS_TEST_TMPDIR/model.json"
    holds "KV cache"
    output=$(<"$BATS_TEST_TMPDIR/model.json")
    json "$r1_numbers"
}

@test "model: --tensors lists every parameter" {
    run -0 "$R1SIM" model tiny-r1 --tensors --json
    json '.tensors | length > 10'
}

@test "model: longer sequences cost more FLOPs, the parameters stay" {
    run -0 "$R1SIM" model deepseek-r1 --json --sequence-length 4096
    short=$(jq .flops_per_token.forward <<<"$output")
    run -0 "$R1SIM" model deepseek-r1 --json --sequence-length 131072
    json '.flops_per_token.forward > $short and .parameters.total == 671026419200' \
        --argjson short "$short"
}

@test "model: --set changes a field" {
    run -0 "$R1SIM" model deepseek-r1 --json --set num_hidden_layers=30
    json '.layers.total == 30 and .parameters.total < 671026419200'
}

@test "model: --set of a key that nothing reads is refused" {
    refused_with 3 "--set: /num_hiden_layers: unknown key .*did you mean 'num_hidden_layers'" \
        model deepseek-r1 --set num_hiden_layers=30
    refused_with 3 "/torch_dtype: unknown key" model deepseek-r1 --set torch_dtype=float32
    refused_with 3 "/rope_scaling/mscal: unknown key .*did you mean 'mscale'" \
        model deepseek-r1 --set rope_scaling.mscal=1
}

@test "model: ignored keys are listed with --verbose only" {
    jq '.some_future_key = 1' "$config/config.json" >"$BATS_TEST_TMPDIR/config.json"
    run -0 --separate-stderr "$R1SIM" model "$BATS_TEST_TMPDIR" --json
    json "$r1_numbers"
    [ -z "$stderr" ]
    run -0 --separate-stderr "$R1SIM" model "$BATS_TEST_TMPDIR" --json --verbose
    [[ "$stderr" == *some_future_key* ]]
}

# bad REGEXP JQ-EDIT: the edited config is refused with exit 3 and the message.
bad() {
    jq "$2" "$config/config.json" >"$BATS_TEST_TMPDIR/bad.json"
    run -3 timeout 20 "$R1SIM" model "$BATS_TEST_TMPDIR/bad.json"
    holds "$1"
}

@test "model: bad configs exit 3 with pointer and line" {
    bad "bad.json:[0-9]+:[0-9]+: /hidden_size: expects a whole number" '.hidden_size = "big"'
    bad "/hidden_size: must be from 1" '.hidden_size = -7168'
    bad "missing key 'num_hidden_layers'" 'del(.num_hidden_layers)'
    bad "/num_hidden_layers: must be from 1 to 1000" '.num_hidden_layers = 1e9'
    bad "/model_type: model type 'llama' is not supported" '.model_type = "llama"'
    bad "/n_group: must divide" '.n_group = 7'
    bad "/topk_group: must not exceed" '.topk_group = 9'
    bad "/num_experts_per_tok: exceeds" '.num_experts_per_tok = 200'
    bad "/n_routed_experts" '.n_routed_experts = 1e18'
    bad "/rope_scaling/type" '.rope_scaling.type = "linear"'
    bad "/scoring_func.*did you mean 'sigmoid'" '.scoring_func = "sigmoids"'
    bad "expects an object" '[.]'
    # All at once.
    bad "/vocab_size.*/hidden_size.*/v_head_dim" '.vocab_size=0 | .hidden_size=null | .v_head_dim=1.5'
}

@test "model: files that cannot be read exit 3" {
    run -3 "$R1SIM" model no_such_config.json
    holds "no such file, and no model preset"
    run -3 "$R1SIM" model deepseek-r2
    holds "did you mean 'deepseek-r1'"
    run -3 "$R1SIM" model "$BATS_TEST_TMPDIR" # a folder without config.json
    holds "config.json"
    run -3 "$R1SIM" model "$(printf 'x%.0s' {1..5000})"
    run -3 "$R1SIM" model deepseek-r1 --set num_hidden_layers
    holds "has no '='"
}
