#include <algorithm>
#include <cstring>
#include <sstream>

#include <fmt/format.h>

#include "model/checkpoint/safetensors.hpp"
#include "runtime/evaluate.hpp"
#include "tools/cli.hpp"

namespace r1 {

namespace {

struct Tokens {
    std::vector<std::int32_t> ids;
    std::int64_t sequences = 1;
};

Tokens parse_tokens(const std::string& text) {
    Tokens tokens;
    std::istringstream stream(text);
    std::string piece;
    while (std::getline(stream, piece, ',')) {
        try {
            std::size_t used = 0;
            const int id = std::stoi(piece, &used);
            if (used != piece.size()) {
                throw std::invalid_argument(piece);
            }
            tokens.ids.push_back(id);
        } catch (const std::exception&) {
            throw InputError("--tokens", "'" + piece + "' is not a token id");
        }
    }
    return tokens;
}

// "tokens" [T] or [B, T], I32 or I64.
Tokens read_tokens(const std::string& file) {
    const SafetensorsFile input(file);
    const TensorView& view = input.at("tokens");
    if (view.shape.empty() || view.shape.size() > 2 ||
        (view.dtype != StoredType::i32 && view.dtype != StoredType::i64)) {
        throw InputError(file, "tensor 'tokens' must be I32 or I64 of shape [T] or [B, T], found " +
                                   std::string(name(view.dtype)) + " " + shape_text(view.shape));
    }
    Tokens tokens;
    tokens.sequences = view.shape.size() == 2 ? view.shape.front() : 1;
    const auto count = static_cast<std::size_t>(view.count());
    for (std::size_t i = 0; i < count; ++i) {
        if (view.dtype == StoredType::i32) {
            std::int32_t id = 0;
            std::memcpy(&id, view.data.data() + 4 * i, 4);
            tokens.ids.push_back(id);
        } else {
            std::int64_t id = 0;
            std::memcpy(&id, view.data.data() + 8 * i, 8);
            // Out of range of every vocabulary either way; the check names the position.
            tokens.ids.push_back(id < 0 || id > INT32_MAX ? -1 : static_cast<std::int32_t>(id));
        }
    }
    return tokens;
}

Tokens tokens_of(const Invocation& invocation) {
    if (invocation.has("tokens") == invocation.has("input")) {
        throw UsageError("give either --tokens or --input");
    }
    return invocation.has("tokens") ? parse_tokens(invocation.text("tokens"))
                                    : read_tokens(invocation.text("input"));
}

EvaluateOptions options_of(const Invocation& invocation) {
    EvaluateOptions options;
    const std::string compute = invocation.text("compute");
    const std::string fp8 = invocation.text("fp8");
    if (compute != "fp32" && compute != "bf16") {
        throw UsageError("--compute takes fp32 or bf16, not '" + compute + "'");
    }
    if (fp8 != "simulate" && fp8 != "dequantize") {
        throw UsageError("--fp8 takes simulate or dequantize, not '" + fp8 + "'");
    }
    options.policy.compute = compute == "fp32" ? DType::f32 : DType::bf16;
    options.policy.fp8 = fp8 == "simulate" ? Fp8Mode::simulate : Fp8Mode::dequantize;
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
        if (tensor.i32.empty()) {
            add(name, StoredType::f32, tensor.shape, tensor.f32.data(), tensor.f32.size() * 4);
        } else {
            add(name, StoredType::i32, tensor.shape, tensor.i32.data(), tensor.i32.size() * 4);
        }
    }
    write_safetensors(file, views, {});
}

Json evaluation_json(const Evaluation& evaluation) {
    Json json;
    json["schema"] = "r1sim.eval/1";
    json["graph"] = {{"hash", evaluation.graph_hash.hex()}};
    json["loss"] = evaluation.tensors.at("loss").f32.front();
    Json tensors = Json::object();
    for (const auto& [name, tensor] : evaluation.tensors) {
        tensors[name] = tensor.shape;
    }
    json["tensors"] = tensors;
    const NamedTensor& logits = evaluation.tensors.at("logits");
    const auto vocabulary = static_cast<std::ptrdiff_t>(logits.shape.back());
    Json top = Json::array();
    for (auto row = logits.f32.begin(); row != logits.f32.end(); row += vocabulary) {
        top.push_back(std::max_element(row, row + vocabulary) - row);
    }
    json["top1"] = top;
    return json;
}

int run(const Invocation& invocation) {
    if (invocation.has("gradients")) {
        throw FeatureError("eval --gradients is not implemented in this version");
    }
    if (!invocation.has("model")) {
        throw UsageError("missing --model DIR");
    }
    const EvaluateOptions options = options_of(invocation);
    const Tokens tokens = tokens_of(invocation);
    const Checkpoint checkpoint = Checkpoint::open(invocation.text("model"));
    const Evaluation evaluation = evaluate(checkpoint, tokens.ids, tokens.sequences, options);
    if (invocation.has("output")) {
        write_tensors(invocation.text("output"), evaluation, tokens.ids);
    }
    const Json json = evaluation_json(evaluation);
    write_stdout(
        invocation.flag("json")
            ? json.dump(2) + "\n"
            : fmt::format("tokens   {}\nloss     {:.6f}\ntop-1    {} after the last token\n"
                          "graph    {}\n",
                          tokens.ids.size(), json["loss"].get<double>(),
                          json["top1"].back().get<std::int64_t>(), evaluation.graph_hash.hex()));
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
        "eval --model DIR --input prompt.safetensors -o logits.safetensors",
        "eval --model DIR --tokens 5,6,7 --dump hidden,router,mtp -o all.safetensors"};
    command.add_options = [](po::options_description& options) {
        options.add_options()  //
            ("model", po::value<std::string>()->value_name("DIR"),
             "Hugging Face checkpoint: config.json and safetensors")                //
            ("tokens", po::value<std::string>()->value_name("1,2,3"), "token ids")  //
            ("input", po::value<std::string>()->value_name("FILE"),
             "safetensors file with tokens [T] or [B, T]")  //
            ("dump", po::value<std::string>()->default_value("")->value_name("hidden,router,mtp"),
             "what else to write with -o FILE (a safetensors file here)")  //
            ("compute", po::value<std::string>()->default_value("fp32")->value_name("fp32|bf16"),
             "what BF16 tensors of the graph are computed in")  //
            ("fp8",
             po::value<std::string>()->default_value("simulate")->value_name("simulate|dequantize"),
             "FP8 weights: quantise activations too, or expand the weights")  //
            ("gradients", po::value<std::string>(), "not in this version");
    };
    command.run = run;
    return command;
}

}  // namespace r1
