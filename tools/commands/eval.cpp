#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "model/base/diagnostics.hpp"
#include "model/base/json.hpp"
#include "model/checkpoint/safetensors.hpp"
#include "model/timeline/timeline_json.hpp"
#include "runtime/evaluate.hpp"
#include "runtime/gradients.hpp"
#include "tools/model_options.hpp"
#include "tools/report/measured_report.hpp"

namespace r1 {

namespace {

TokenBatch tokens_of(const Invocation& invocation) {
    if (invocation.has("tokens") == invocation.has("input")) {
        throw UsageError("give either --tokens or --input");
    }
    if (invocation.has("tokens")) {
        return {parse_tokens(invocation.text("tokens")), 1};
    }
    return read_tokens(invocation.text("input"));
}

EvaluateOptions options_of(const Invocation& invocation) {
    EvaluateOptions options;
    options.policy = policy_of(invocation);
    options.expert_rows = invocation.has("binding");
    std::istringstream dump(invocation.text("dump"));
    std::string what;
    while (std::getline(dump, what, ',')) {
        bool* const flag = what == "hidden"   ? &options.hidden
                           : what == "router" ? &options.router
                           : what == "mtp"    ? &options.mtp
                                              : nullptr;
        if (flag == nullptr) {
            throw UsageError("--dump takes hidden, router and mtp, not '" + what + "'" +
                             did_you_mean(what, {"hidden", "router", "mtp"}));
        }
        *flag = true;
    }
    return options;
}

std::optional<GradientLoss> gradient_loss(const Invocation& invocation) {
    if (!invocation.has("gradients")) {
        return std::nullopt;
    }
    for (const char* other : {"binding", "dump"}) {
        if (!invocation.text(other).empty()) {
            throw UsageError(std::string("--gradients does not go with --") + other);
        }
    }
    const std::string loss = invocation.text("gradients");
    if (loss != "main" && loss != "mtp") {
        throw UsageError("--gradients takes main or mtp, not '" + loss + "'" +
                         did_you_mean(loss, {"main", "mtp"}));
    }
    return loss == "main" ? GradientLoss::main : GradientLoss::mtp;
}

void write_tensors(const std::string& file, const Evaluation& evaluation,
                   const std::vector<std::int32_t>& tokens) {
    std::vector<TensorView> views;
    const auto add = [&](const std::string& name, StoredType type, std::vector<std::int64_t> shape,
                         const void* data, std::size_t bytes) {
        views.push_back(
            {name, type, std::move(shape), {static_cast<const std::byte*>(data), bytes}});
    };
    add("tokens", StoredType::i32, {static_cast<std::int64_t>(tokens.size())}, tokens.data(),
        tokens.size() * 4);
    for (const auto& [name, tensor] : evaluation.tensors) {
        if (!tensor.is_integer) {
            add(name, StoredType::f32, tensor.shape, tensor.f32.data(), tensor.f32.size() * 4);
        } else {
            add(name, StoredType::i32, tensor.shape, tensor.i32.data(), tensor.i32.size() * 4);
        }
    }
    write_safetensors(file, views, {});
}

Json evaluation_json(const Evaluation& evaluation, const std::string& device) {
    Json json;
    json["schema"] = "r1sim.eval/1";
    json["graph"] = {{"hash", evaluation.graph.hash().hex()}};
    json["loss"] = evaluation.tensors.at("loss").f32.front();
    Json tensors = Json::object();
    for (const auto& [name, tensor] : evaluation.tensors) {
        tensors[name] = tensor.shape;
    }
    json["tensors"] = tensors;
    json["run_info"] = {
        {"measured", true},
        {"device", device},
        {"version", R1_VERSION},
        {"implementations", implementations_json(evaluation.graph, device, device)}};
    if (evaluation.tensors.count("logits") == 0) {
        return json;
    }
    const NamedTensor& logits = evaluation.tensors.at("logits");
    const auto vocabulary = static_cast<std::ptrdiff_t>(logits.shape.back());
    Json top = Json::array();
    for (auto row = logits.f32.begin(); row != logits.f32.end(); row += vocabulary) {
        top.push_back(std::max_element(row, row + vocabulary) - row);
    }
    json["top1"] = top;
    return json;
}

// One token has no label.
std::string loss_text(float loss) {
    return std::isnan(loss) ? "none" : fmt::format("{:.6f}", loss);
}

void warn_of(const Invocation& invocation, const Checkpoint& checkpoint,
             const Evaluation& evaluation, const EvaluateOptions& options) {
    for (const std::string& note : checkpoint.notes()) {
        invocation.detail(note);
    }
    if (options.mtp && checkpoint.config().num_nextn_predict_layers == 0) {
        invocation.warn("--dump mtp: the model has no MTP module");
    }
    if (evaluation.tensors.count("logits") == 0) {
        return;
    }
    const std::vector<float>& logits = evaluation.tensors.at("logits").f32;
    if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) {
        invocation.warn("some logits are not finite: the weights overflow what they compute in");
    }
}

int run_eval(const Invocation& invocation) {
    if (!invocation.has("model")) {
        throw UsageError("missing --model DIR");
    }
    refuse_overrides(invocation);
    EvaluateOptions options = options_of(invocation);
    const TokenBatch tokens = tokens_of(invocation);
    options.token_source = invocation.has("input") ? invocation.text("input") : "--tokens";
    const Checkpoint checkpoint = Checkpoint::open(invocation.text("model"));
    options.device = device_of(invocation);
    const std::optional<GradientLoss> loss = gradient_loss(invocation);
    const Evaluation evaluation =
        loss ? evaluate_gradients(checkpoint, tokens.ids, tokens.sequences, *loss, options)
             : evaluate(checkpoint, tokens.ids, tokens.sequences, options);
    warn_of(invocation, checkpoint, evaluation, options);
    if (invocation.has("output")) {
        write_tensors(invocation.text("output"), evaluation, tokens.ids);
    }
    if (invocation.has("binding")) {
        write_file_atomically(invocation.text("binding"),
                              binding_json({evaluation.bound}).dump(2) + "\n");
    }
    if (invocation.has("timeline")) {
        const std::vector<Lane> lanes = {{RankId(std::size_t{0}), 0, 1}};
        write_file_atomically(
            invocation.text("timeline"),
            timeline_text({{evaluation.graph, evaluation.intervals}}, lanes, true));
    }
    const Json json = evaluation_json(evaluation, options.device.name);
    write_stdout(invocation.flag("json")
                     ? json.dump(2) + "\n"
                     : fmt::format("tokens   {}\nloss     {}\n{}graph    {}\n", tokens.ids.size(),
                                   loss_text(evaluation.tensors.at("loss").f32.front()),
                                   loss ? fmt::format("gradients of {} tensors\n",
                                                      json["tensors"].size() - 1)
                                        : fmt::format("top-1    {} after the last token\n",
                                                      json["top1"].back().get<std::int64_t>()),
                                   evaluation.graph.hash().hex()));
    return kOk;
}

}  // namespace

Command eval_command() {
    Command command;
    command.name = "eval";
    command.summary = "Computes the logits of every position by executing the forward graph.";
    command.arguments = "--model DIR";
    command.examples = {
        "eval --model path/to/checkpoint --tokens 1,2,3",
        "eval --model DIR --input prompt.safetensors --gradients main -o gradients.safetensors",
        "eval --model DIR --tokens 5,6,7 --dump hidden,router,mtp -o all.safetensors"};
    command.outputs = {"binding", "timeline"};
    command.inputs = {"input", "model"};
    command.add_options = [](po::options_description& options) {
        options.add_options()  //
            ("model", po::value<std::string>()->value_name("DIR"),
             "Hugging Face checkpoint: config.json and safetensors")                //
            ("tokens", po::value<std::string>()->value_name("1,2,3"), "token ids")  //
            ("input", po::value<std::string>()->value_name("FILE"),
             "safetensors file with tokens [T] or [B, T]")  //
            ("dump", po::value<std::string>()->default_value("")->value_name("hidden,router,mtp"),
             "what else to write with -o FILE (a safetensors file here)")  //
            ("gradients", po::value<std::string>()->value_name("main|mtp"),
             "the loss of the trunk or of the MTP module alone, and its gradient by each tensor");
        add_execution_options(options);
    };
    command.run = run_eval;
    return command;
}

}  // namespace r1
