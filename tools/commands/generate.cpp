#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <r1_version.hpp>

#include "model/base/json.hpp"
#include "model/timeline/timeline_json.hpp"
#include "runtime/generate.hpp"
#include "runtime/process_memory.hpp"
#include "tools/model_options.hpp"
#include "tools/prompts.hpp"
#include "tools/report/measured_report.hpp"
#include "tools/report/text_line.hpp"

namespace r1 {

namespace {

constexpr std::int64_t kDefaultNewTokens = 128;
constexpr std::int64_t kNewTokensMax = 1 << 30;  // positions are 32 bits

void check_usage(const Invocation& invocation) {
    if (!invocation.has("model")) {
        throw UsageError("missing --model DIR");
    }
    int sources = 0;
    for (const char* source : {"prompt", "prompts", "messages", "tokens", "input"}) {
        sources += invocation.has(source) ? 1 : 0;
    }
    if (sources != 1) {
        throw UsageError("give one of --prompt, --prompts, --messages, --tokens and --input");
    }
    if (invocation.flag("chat") && !invocation.has("prompt") && !invocation.has("prompts")) {
        throw UsageError("--chat goes with --prompt or --prompts");
    }
    const auto temperature = invocation.get<double>("temperature");
    const auto top_p = invocation.get<double>("top-p");
    if (!(temperature >= 0 && temperature <= 1e6)) {
        throw UsageError("--temperature must be a number from 0 to 1000000");
    }
    if (!(top_p > 0 && top_p <= 1)) {
        throw UsageError("--top-p must be above 0 and at most 1");
    }
    if (invocation.has("max-new-tokens")) {
        const auto tokens = invocation.get<std::int64_t>("max-new-tokens");
        if (tokens < 1 || tokens > kNewTokensMax) {
            throw UsageError(fmt::format("--max-new-tokens must be from 1 to {}", kNewTokensMax));
        }
    }
    if (invocation.get<std::int64_t>("prefill-chunk") < 1) {
        throw UsageError("--prefill-chunk must be at least 1");
    }
}

GenerateOptions options_of(const Invocation& invocation, const ModelConfig& config,
                           const std::optional<TextCodec>& codec, const Prompts& prompts) {
    GenerateOptions options;
    options.policy = policy_of(invocation);
    options.policy.sampling = {invocation.get<double>("temperature"),
                               invocation.get<double>("top-p")};
    options.speculative = invocation.flag("speculative");
    options.prompt_source = prompts.source;
    options.prefill_chunk = invocation.get<std::int64_t>("prefill-chunk");
    options.record = invocation.has("binding") || invocation.has("timeline");
    if (invocation.has("seed")) {
        options.seed = static_cast<std::uint64_t>(invocation.get<std::int64_t>("seed"));
    }
    if (!invocation.flag("ignore-eos")) {
        for (const std::int64_t id : config.eos_token_ids) {
            options.end_tokens.push_back(static_cast<std::int32_t>(id));
        }
        if (codec && codec->end_token()) {
            options.end_tokens.push_back(*codec->end_token());
        }
    }
    if (invocation.has("max-new-tokens")) {
        options.max_new_tokens = invocation.get<std::int64_t>("max-new-tokens");
        return options;
    }
    // Not asked for: as many as there is room for.
    options.max_new_tokens = kDefaultNewTokens;
    if (config.max_position_embeddings > 0) {
        for (const TokenIds& prompt : prompts.tokens) {
            const auto room =
                config.max_position_embeddings - static_cast<std::int64_t>(prompt.size());
            options.max_new_tokens = std::clamp<std::int64_t>(room, 1, options.max_new_tokens);
        }
    }
    return options;
}

// The answer as it comes: text, or ids where there is no text. Only for one sequence.
class TokenPrinter {
public:
    explicit TokenPrinter(const std::optional<TextCodec>& codec) : codec_(codec) {}

    void put(std::int32_t token) {
        if (codec_) {
            write_stdout(utf8_.put(codec_->bytes(token)));
        } else {
            write_stdout((is_first_ ? "" : " ") + std::to_string(token));
        }
        is_first_ = false;
    }
    void finish() { write_stdout(utf8_.finish() + "\n"); }

private:
    const std::optional<TextCodec>& codec_;
    Utf8Stream utf8_;
    bool is_first_ = true;
};

Json sequence_json(const GeneratedSequence& sequence, const TokenIds& prompt,
                   const std::optional<TextCodec>& codec) {
    return {{"prompt_tokens", prompt.size()},
            {"tokens", sequence.tokens},
            {"text", codec ? Json(codec->decode(sequence.tokens)) : Json()},
            {"finish_reason", sequence.ended ? "end_token" : "length"},
            {"drafts", sequence.drafts},
            {"accepted_drafts", sequence.accepted_drafts}};
}

Json memory_json(const GenerationMemory& memory) {
    return {{"weights_bytes", memory.weights},
            {"cache_bytes", memory.cache},
            {"activations_bytes", memory.activations},
            {"workspace_bytes", memory.workspace},
            {"total_bytes", memory.total()},
            {"cache_bytes_per_token", memory.cache_bytes_per_token}};
}

Json generation_json(const Generation& generation, const Prompts& prompts,
                     const std::optional<TextCodec>& codec) {
    Json json;
    json["schema"] = "r1sim.generate/1";
    json["graph"] = {{"hash", generation.graphs.front().graph.hash().hex()}};
    json["graphs"] = Json::array();
    for (const GenerationGraph& graph : generation.graphs) {
        json["graphs"].push_back({{"name", graph.name},
                                  {"hash", graph.graph.hash().hex()},
                                  {"ops", graph.graph.ops()},
                                  {"runs", graph.runs}});
    }
    Json sequences = Json::array();
    std::int64_t drafts = 0;
    std::int64_t accepted = 0;
    for (std::size_t i = 0; i < generation.sequences.size(); ++i) {
        const GeneratedSequence& sequence = generation.sequences[i];
        sequences.push_back(sequence_json(sequence, prompts.tokens[i], codec));
        drafts += sequence.drafts;
        accepted += sequence.accepted_drafts;
    }
    for (const char* key : {"tokens", "text"}) {
        json[key] = prompts.list ? Json::array() : sequences[0][key];
        for (const Json& sequence : prompts.list ? sequences : Json::array()) {
            json[key].push_back(sequence[key]);
        }
    }
    json["drafts"] = drafts;
    json["accepted_drafts"] = accepted;
    json["sequences"] = std::move(sequences);
    return json;
}

void write_records(const Invocation& invocation, const Generation& generation) {
    std::vector<BoundStep> bound;
    std::vector<TimelinePart> parts;
    for (const GenerationStep& step : generation.steps) {
        const ExecutionGraph& graph = generation.graphs[step.graph].graph;
        bound.push_back(step.bound);
        parts.push_back({graph, step.intervals});
    }
    if (invocation.has("binding")) {
        write_file_atomically(invocation.text("binding"), binding_json(bound).dump(2) + "\n");
    }
    if (invocation.has("timeline")) {
        const std::vector<Lane> lanes = {{RankId(std::size_t{0}), 0, 1}};
        write_file_atomically(invocation.text("timeline"), timeline_text(parts, lanes, true));
    }
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void print_table(const Json& json, const Prompts& prompts) {
    if (!prompts.list) {
        return;  // streamed
    }
    std::size_t number = 0;
    for (const Json& sequence : json["sequences"]) {
        const std::string text =
            sequence["text"].is_null()
                ? fmt::format("{}", fmt::join(sequence["tokens"].get<TokenIds>(), " "))
                : sequence["text"].get<std::string>();
        write_stdout(fmt::format("[{}] {}\n", ++number, text));
    }
}

// What people want to know and scripts find in the JSON.
void print_summary(const Invocation& invocation, const Json& json) {
    if (invocation.flag("quiet")) {
        return;
    }
    const auto drafts = json["drafts"].get<std::int64_t>();
    const auto accepted = json["accepted_drafts"].get<std::int64_t>();
    if (invocation.flag("speculative")) {
        std::cerr << fmt::format(
            "drafts: {} of {} accepted{}\n", accepted, drafts,
            drafts == 0 ? ""
                        : fmt::format(" ({:.0f} %)", 100.0 * static_cast<double>(accepted) /
                                                         static_cast<double>(drafts)));
    }
    invocation.detail(fmt::format("graph {}, {} tokens/s, {:.1f} MB",
                                  json["graph"]["hash"].get<std::string>(),
                                  short_number(json["run_info"]["tokens_per_s"].get<double>(), 4),
                                  1e-6 * json["run_info"]["memory"]["total_bytes"].get<double>()));
}

int run_generate(const Invocation& invocation) {
    check_usage(invocation);
    refuse_overrides(invocation);
    const std::int64_t baseline = resident_memory_bytes();
    const Checkpoint checkpoint = Checkpoint::open(invocation.text("model"));
    const std::optional<TextCodec> codec = codec_of(invocation, checkpoint.config());
    const Prompts prompts = read_prompts(invocation, codec);
    GenerateOptions options = options_of(invocation, checkpoint.config(), codec, prompts);
    for (const std::string& note : checkpoint.notes()) {
        invocation.detail(note);
    }
    TokenPrinter stream(codec);
    const bool streams = !invocation.flag("json") && !prompts.list;
    const auto begin = std::chrono::steady_clock::now();
    auto prefilled = begin;
    options.on_prefill = [&](std::int64_t done, std::int64_t total) {
        prefilled = std::chrono::steady_clock::now();
        invocation.progress(done == total ? ""
                                          : fmt::format("prompt {} of {} tokens", done, total));
    };
    options.on_token = [&](std::size_t, std::int32_t token) {
        if (streams) {
            stream.put(token);
        }
    };
    options.device = device_of(invocation);
    const Generation generation = generate(checkpoint, prompts.tokens, options);
    if (streams) {
        stream.finish();
    }
    Json json = generation_json(generation, prompts, codec);
    std::size_t count = 0;
    for (const GeneratedSequence& sequence : generation.sequences) {
        count += sequence.tokens.size();
    }
    const double decode_s = seconds_since(prefilled);
    json["run_info"] = {
        {"measured", true},
        {"device", generation.device},
        {"implementations", implementations_json(generation.graphs.front().graph, generation.device,
                                                 generation.device)},
        {"version", R1_VERSION},
        {"prefill_s", std::chrono::duration<double>(prefilled - begin).count()},
        {"decode_s", decode_s},
        {"tokens_per_s", static_cast<double>(count) / decode_s},
        {"recorded_steps", generation.recorded_runs},
        {"memory", memory_json(generation.memory)},
        {"peak_memory_bytes", peak_memory_bytes()},
        {"baseline_memory_bytes", baseline}};
    write_records(invocation, generation);
    if (invocation.has("output")) {
        write_file_atomically(invocation.text("output"), json.dump(2) + "\n");
    }
    if (invocation.flag("json")) {
        write_stdout(json.dump(2) + "\n");
    } else {
        print_table(json, prompts);
    }
    print_summary(invocation, json);
    return kOk;
}

}  // namespace

Command generate_command() {
    Command command;
    command.name = "generate";
    command.summary = "Continues prompts by executing the decode graph over the latent cache.";
    command.arguments = "--model DIR";
    command.examples = {"generate --model DIR --prompt 'What is a rail?' --chat",
                        "generate --model DIR --tokens 5,6,7 --max-new-tokens 32 --json",
                        "generate --model DIR --prompts questions.txt --speculative"};
    command.outputs = {"binding", "timeline"};
    command.inputs = {"input", "prompts", "messages", "model"};
    command.add_options = [](po::options_description& options) {
        options.add_options()  //
            ("model", po::value<std::string>()->value_name("DIR"),
             "Hugging Face checkpoint: config.json and safetensors")                      //
            ("prompt", po::value<std::string>()->value_name("TEXT"), "what to continue")  //
            ("prompts", po::value<std::string>()->value_name("FILE"),
             "one prompt a line, continued together")  //
            ("messages", po::value<std::string>()->value_name("FILE"),
             "a conversation, as JSON: [{\"role\", \"content\"}]")                              //
            ("chat", po::bool_switch(), "put prompts into R1's chat template")                  //
            ("tokens", po::value<std::string>()->value_name("1,2,3"), "token ids to continue")  //
            ("input", po::value<std::string>()->value_name("FILE"),
             "safetensors file with tokens [T] or [B, T]")  //
            ("max-new-tokens", po::value<std::int64_t>()->value_name("N"),
             "at most so many; 128, or what the model's positions leave room for")  //
            ("temperature", po::value<double>()->default_value(0)->value_name("T"),
             "0: the most probable token")  //
            ("top-p", po::value<double>()->default_value(1)->value_name("P"),
             "sample among the most probable tokens of this share")  //
            ("speculative", po::bool_switch(),
             "the MTP module drafts a token a step; same output in fewer steps")  //
            ("ignore-eos", po::bool_switch(), "go on behind an end token")        //
            ("prefill-chunk", po::value<std::int64_t>()->default_value(4096)->value_name("N"),
             "tokens of a prompt in one step");
        add_execution_options(options);
    };
    command.run = run_generate;
    return command;
}

}  // namespace r1
