#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/config/parameters.hpp"
#include "tools/cli.hpp"
#include "tools/report/text_line.hpp"

namespace r1 {

namespace {

Json model_json(const ModelConfig& config, std::int64_t sequence_length) {
    const ParameterCounts counts = count_parameters(config);
    Json json;
    json["schema"] = "r1sim.model/1";
    json["model_type"] = config.model_type;
    json["layers"] = {{"total", config.num_hidden_layers},
                      {"mtp", config.num_nextn_predict_layers}};
    std::int64_t moe = 0;
    for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
        moe += config.is_moe(layer);
    }
    json["layers"]["moe"] = moe;
    json["layers"]["dense"] = config.num_hidden_layers - moe;
    json["parameters"] = {
        {"total", counts.total},
        {"active_per_token", counts.active_per_token},
        {"active_per_token_without_embedding", counts.active_per_token_without_embedding},
        {"mtp", counts.mtp}};
    json["kv_cache"] = {
        {"bytes_per_token", static_cast<std::int64_t>(kv_cache_bytes_per_token(config).value())}};
    json["sequence_length"] = sequence_length;
    json["flops_per_token"] = {
        {"forward", forward_flops_per_token(config, sequence_length, true).value()},
        {"training", training_flops_per_token(config, sequence_length, true).value()},
        {"forward_non_causal", forward_flops_per_token(config, sequence_length, false).value()},
        {"training_non_causal", training_flops_per_token(config, sequence_length, false).value()}};
    return json;
}

Json tensors_json(const ModelConfig& config) {
    Json tensors = Json::array();
    for (const Parameter& parameter : parameter_inventory(config)) {
        tensors.push_back(
            {{"name", parameter.name}, {"shape", parameter.shape}, {"copy", parameter.copy}});
    }
    return tensors;
}

std::string model_table(const Json& json) {
    const Json& parameters = json["parameters"];
    const Json& flops = json["flops_per_token"];
    const auto count = [](const Json& value) { return value.get<double>(); };
    std::string text;
    text += fmt::format(
        "model                     {} ({} layers: {} dense, {} MoE, {} MTP)\n",
        json["model_type"].get<std::string>(), json["layers"]["total"].get<std::int64_t>(),
        json["layers"]["dense"].get<std::int64_t>(), json["layers"]["moe"].get<std::int64_t>(),
        json["layers"]["mtp"].get<std::int64_t>());
    const auto row = [&](const char* label, const Json& value) {
        const bool billions = count(value) >= 1e9;
        text += fmt::format("{:<25} {:>15}  ({:.2f} {})\n", label, value.get<std::int64_t>(),
                            count(value) / (billions ? 1e9 : 1e6), billions ? "B" : "M");
    };
    row("parameters", parameters["total"]);
    row("  active a token", parameters["active_per_token"]);
    row("  without embedding", parameters["active_per_token_without_embedding"]);
    row("  MTP module", parameters["mtp"]);
    text += fmt::format("{:<25} {:>15}  bytes a token\n", "KV cache",
                        json["kv_cache"]["bytes_per_token"].get<std::int64_t>());
    text += fmt::format("{:<25} {:>15}  GFLOP a token, causal, {} tokens\n", "forward",
                        short_number(count(flops["forward"]) / 1e9, 4),
                        json["sequence_length"].get<std::int64_t>());
    text += fmt::format("{:<25} {:>15}  GFLOP a token (3 x forward)\n", "training",
                        short_number(count(flops["training"]) / 1e9, 4));
    return text;
}

int run_model(const Invocation& invocation) {
    Document document = load_model_document(invocation.text("config"), "");
    for (const Override& override : invocation.overrides()) {
        if (!document.set(override.pointer, override.value, {"--set", 0, 0})) {
            throw InputError("--set " + override.text, "there is no such field to override");
        }
    }
    Diagnostics diagnostics;
    const ModelConfig config = read_model_config(document, "", diagnostics);
    diagnostics.throw_if_errors();
    for (const std::string& note : diagnostics.notes()) {
        invocation.detail(note);
    }
    const auto sequence_length = invocation.get<std::int64_t>("sequence-length");
    if (sequence_length < 1) {
        throw UsageError("--sequence-length must be at least 1");
    }
    Json json = model_json(config, sequence_length);
    if (invocation.flag("tensors")) {
        json["tensors"] = tensors_json(config);
    }
    invocation.answer(json, model_table(json));
    return kOk;
}

}  // namespace

Command model_command() {
    Command command;
    command.name = "model";
    command.summary = "Counts the parameters, FLOPs and cache bytes of a DeepSeek-V3-type model.";
    command.arguments = "CONFIG";
    command.positional = "config";
    command.examples = {"model deepseek-r1", "model path/to/checkpoint --json",
                        "model config.json --set num_hidden_layers=30 --tensors --json"};
    command.add_options = [](po::options_description& options) {
        options.add_options()  //
            ("config", po::value<std::string>()->value_name("CONFIG"),
             "config.json, a folder that holds one, or a preset (deepseek-r1, deepseek-v3, "
             "tiny-r1)")  //
            ("sequence-length", po::value<std::int64_t>()->default_value(4096)->value_name("N"),
             "tokens of a sequence, for the attention FLOPs")  //
            ("tensors", po::bool_switch(), "list every tensor in the JSON");
    };
    command.run = run_model;
    return command;
}

}  // namespace r1
