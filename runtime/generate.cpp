#include "runtime/generate.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"
#include "model/base/rng.hpp"
#include "model/workload/train.hpp"
#include "runtime/repeated_run.hpp"
#include "runtime/required_kernels.hpp"
#include "runtime/token_check.hpp"

namespace r1 {

namespace {

constexpr const char* kNextTokens = "next_tokens";
constexpr const char* kDraft = "mtp.draft";
constexpr const char* kLogits = "logits";

void check(const ModelConfig& config, const std::vector<TokenIds>& prompts,
           const GenerateOptions& options) {
    if (options.speculative && config.num_nextn_predict_layers == 0) {
        throw InputError("--speculative", "needs an MTP module, and the model has none");
    }
    if (prompts.empty()) {
        throw InputError(options.prompt_source, "holds no prompt");
    }
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        const std::string name = prompts.size() == 1
                                     ? options.prompt_source
                                     : fmt::format("{}, prompt {}", options.prompt_source, i + 1);
        check_token_ids(config, prompts[i], name);
        check_length(config, static_cast<std::int64_t>(prompts[i].size()) + options.max_new_tokens,
                     name + " and new tokens");
    }
}

SymbolValues symbols_of(const ModelConfig& config, std::int64_t tokens, double past,
                        std::int64_t capacity) {
    SymbolValues values = local_binding(config, tokens);
    values[static_cast<std::size_t>(Symbol::past_tokens)] = past;
    values[static_cast<std::size_t>(Symbol::cache_capacity)] = static_cast<double>(capacity);
    return values;
}

// What is known of one sequence between steps.
struct Progress {
    std::int32_t pending = 0;   // the newest token, not in the cache yet
    std::int64_t position = 0;  // its place
    std::optional<std::int32_t> draft;
    bool done = false;
};

class Generator {
public:
    Generator(const Checkpoint& checkpoint, const std::vector<TokenIds>& prompts,
              const GenerateOptions& options)
        : options_(options),
          prompts_(prompts),
          config_(checkpoint.config()),
          rows_(options.speculative ? 2 : 1),
          weights_(options.policy, *options.device.memory) {
        std::int64_t longest = 0;
        for (const TokenIds& prompt : prompts) {
            longest = std::max(longest, static_cast<std::int64_t>(prompt.size()));
        }
        // The row behind the last token is for a draft that is not taken.
        capacity_ = longest + options.max_new_tokens + rows_ - 1;
        add_graph("decode", CacheUse::decode, batch(), rows_);
        for (const TokenIds& prompt : prompts) {
            const std::int64_t read = static_cast<std::int64_t>(prompt.size()) - 1;
            for (const std::int64_t tokens :
                 {std::min(read, options.prefill_chunk), read % options.prefill_chunk}) {
                if (tokens > 0) {
                    add_graph("prefill", CacheUse::prefill, 1, tokens);
                }
            }
        }
        std::vector<std::reference_wrapper<const ExecutionGraph>> graphs;
        for (const GenerationGraph& each : result_.graphs) {
            graphs.emplace_back(each.graph);
        }
        require_kernels(graphs, config_, options.policy, options.device);
        device_ = options.device.make(config_);
        result_.device = device_->name();
        load(checkpoint);
    }

    Generation run() && {
        LatentCache cache(chunk(0), batch(), capacity_, options_.policy, device_->memory());
        Arena arena(result_.memory.activations + result_.memory.workspace, device_->memory());
        prefill(cache, arena);
        RepeatedRun repeated(executors_[0], largest_symbols(0), cache, arena);
        while (std::any_of(progress_.begin(), progress_.end(),
                           [](const Progress& p) { return !p.done; })) {
            decode(repeated, cache, arena);
        }
        result_.recorded_runs = repeated.recorded_runs();
        return std::move(result_);
    }

private:
    struct Key {
        CacheUse use;
        std::int64_t tokens;
        auto operator<=>(const Key&) const = default;
    };

    [[nodiscard]] std::int64_t batch() const { return static_cast<std::int64_t>(prompts_.size()); }
    [[nodiscard]] const ChunkTemplate& chunk(std::size_t graph) const {
        return result_.graphs[graph].graph.templates().front();
    }

    void add_graph(const char* name, CacheUse use, std::int64_t sequences, std::int64_t tokens) {
        if (index_.try_emplace({use, tokens}, result_.graphs.size()).second) {
            result_.graphs.push_back({name,
                                      build_forward_graph(generation_setup(
                                          config_, use, sequences, tokens, options_.speculative)),
                                      0});
            tokens_.push_back(sequences * tokens);
        }
    }

    // The plan of all memory, and weights. Graphs stay where they are from here on.
    void load(const Checkpoint& checkpoint) {
        GenerationMemory& memory = result_.memory;
        // A decode graph names every tensor that a prefill graph does.
        memory.weights = StageWeights::planned_bytes(chunk(0), options_.policy);
        memory.cache = LatentCache::planned_bytes(chunk(0), batch(), capacity_, options_.policy);
        for (const Tensor& tensor : chunk(0).tensors) {
            if (tensor.role == TensorRole::cache) {
                memory.cache_bytes_per_token += stored_row_bytes(tensor, options_.policy);
            }
        }
        weights_.plan(chunk(0));
        for (std::size_t i = 0; i < result_.graphs.size(); ++i) {
            executors_.emplace_back(
                ExecutionSetup{result_.graphs[i].graph, config_, options_.policy, 0,
                               [this](const Tensor& tensor) { return keeps(tensor); }},
                weights_, largest_symbols(i), *device_);
            memory.activations =
                std::max(memory.activations, executors_[i].plan().activation_bytes);
            memory.workspace = std::max(memory.workspace, executors_[i].plan().workspace_bytes);
        }
        const auto bytes = [](std::size_t count) { return static_cast<double>(count); };
        reserve_memory(options_.device, "",
                       {{"weights", bytes(memory.weights)},
                        {"cache", bytes(memory.cache)},
                        {"activations", bytes(memory.activations)},
                        {"workspace", bytes(memory.workspace)}});
        weights_.load(chunk(0), checkpoint, 0);
    }

    // Of a graph's last step that the caches have room for.
    [[nodiscard]] SymbolValues largest_symbols(std::size_t graph) const {
        const std::int64_t past = capacity_ - (graph == 0 ? rows_ : tokens_[graph]);
        return symbols_of(config_, tokens_[graph], static_cast<double>(past), capacity_);
    }

    [[nodiscard]] bool keeps(const Tensor& tensor) const {
        return tensor.name == kNextTokens || tensor.name == kDraft ||
               (options_.keep_logits && tensor.name == kLogits) ||
               (options_.record && is_expert_offsets(tensor));
    }

    TensorValues step(std::size_t graph, const InputValues& inputs, double past,
                      const LatentCache& cache, std::int64_t first_sequence, Arena& arena) {
        const SymbolValues symbols = symbols_of(config_, tokens_[graph], past, capacity_);
        GenerationStep record{graph, {result_.graphs[graph].graph.hash(), symbols, {}}, {}};
        // The mean over sequences says what a step costs, not what its longest one needs.
        const SymbolValues& largest = graph == 0 ? largest_symbols(0) : symbols;
        const auto iteration = static_cast<std::int32_t>(result_.graphs[graph].runs++);
        TensorValues values =
            executors_[graph].run({inputs, largest, &cache, first_sequence}, arena,
                                  options_.record ? &record.intervals : nullptr, iteration);
        if (options_.record) {
            record.bound.expert_rows = expert_rows(values);
            result_.steps.push_back(std::move(record));
        }
        return values;
    }

    TensorValues repeat(RepeatedRun& repeated, const InputValues& inputs) {
        ++result_.graphs[0].runs;
        return repeated.run(inputs);
    }

    void prefill(const LatentCache& cache, Arena& arena) {
        std::int64_t total = 0;
        for (const TokenIds& prompt : prompts_) {
            total += static_cast<std::int64_t>(prompt.size()) - 1;
        }
        std::int64_t done = 0;
        for (std::size_t s = 0; s < prompts_.size(); ++s) {
            const TokenIds& prompt = prompts_[s];
            const std::int64_t read = static_cast<std::int64_t>(prompt.size()) - 1;
            for (std::int64_t first = 0; first < read; first += options_.prefill_chunk) {
                const std::int64_t tokens = std::min(options_.prefill_chunk, read - first);
                InputValues inputs;
                const auto begin = prompt.begin() + first;
                inputs["tokens"].assign(begin, begin + tokens);
                inputs["mtp.tokens"].assign(begin + 1, begin + 1 + tokens);
                for (std::int64_t i = 0; i < tokens; ++i) {
                    inputs["positions"].push_back(static_cast<std::int32_t>(first + i));
                }
                step(index_.at({CacheUse::prefill, tokens}), inputs, static_cast<double>(first),
                     cache, static_cast<std::int64_t>(s), arena);
                done += tokens;
                if (options_.on_prefill) {
                    options_.on_prefill(done, total);
                }
            }
            progress_.push_back({prompt.back(), read, std::nullopt, options_.max_new_tokens == 0});
            result_.sequences.emplace_back();
        }
    }

    // The rows of each sequence: its newest token, and the draft behind it. Sequences that are done
    // go along unread.
    void decode(RepeatedRun& repeated, const LatentCache& cache, Arena& arena) {
        InputValues inputs;
        double past = 0;
        for (std::size_t s = 0; s < progress_.size(); ++s) {
            const Progress& p = progress_[s];
            const Rng rng(options_.seed, s);
            for (std::int64_t row = 0; row < rows_; ++row) {
                inputs["tokens"].push_back(row == 0 ? p.pending : p.draft.value_or(0));
                inputs["positions"].push_back(static_cast<std::int32_t>(p.position + row));
                const auto next = static_cast<std::uint64_t>(p.position + row + 1);
                inputs["randoms"].push_back(static_cast<std::int32_t>(rng.bits(next) >> 33U));
            }
            past += static_cast<double>(p.position) / static_cast<double>(batch());
        }
        const TensorValues values =
            options_.record ? step(0, inputs, past, cache, 0, arena) : repeat(repeated, inputs);
        const TokenIds next = values.at(kNextTokens).i32();
        const TokenIds drafts =
            options_.speculative ? values.at(kDraft).i32() : TokenIds(next.size());
        const std::vector<float> logits =
            options_.keep_logits ? values.at(kLogits).f32() : std::vector<float>{};
        for (std::size_t s = 0; s < progress_.size(); ++s) {
            const auto row = s * static_cast<std::size_t>(rows_);
            advance(s, {next.data() + row, static_cast<std::size_t>(rows_)}, drafts.data() + row,
                    options_.keep_logits
                        ? logits.data() + row * static_cast<std::size_t>(config_.vocab_size)
                        : nullptr);
        }
    }

    // Takes the token of the first row, and that of the second if the draft was right.
    void advance(std::size_t s, std::span<const std::int32_t> next, const std::int32_t* drafts,
                 const float* logits) {
        Progress& p = progress_[s];
        GeneratedSequence& out = result_.sequences[s];
        if (p.done) {
            return;
        }
        const bool right = p.draft && *p.draft == next[0];
        out.drafts += p.draft ? 1 : 0;
        std::size_t taken = 0;
        while (!p.done && taken < (right ? 2U : 1U)) {
            const std::int32_t token = next[taken];
            if (logits != nullptr) {
                const float* row = logits + taken * static_cast<std::size_t>(config_.vocab_size);
                out.logits.insert(out.logits.end(), row, row + config_.vocab_size);
            }
            ++taken;
            out.tokens.push_back(token);
            if (options_.on_token) {
                options_.on_token(s, token);
            }
            out.ended = std::find(options_.end_tokens.begin(), options_.end_tokens.end(), token) !=
                        options_.end_tokens.end();
            p.done = out.ended ||
                     static_cast<std::int64_t>(out.tokens.size()) == options_.max_new_tokens;
        }
        out.accepted_drafts += taken == 2 ? 1 : 0;
        if (p.done) {
            return;
        }
        p.pending = next[taken - 1];
        p.position += static_cast<std::int64_t>(taken);
        if (options_.speculative) {
            p.draft = drafts[taken - 1];
        }
    }

    const GenerateOptions& options_;
    const std::vector<TokenIds>& prompts_;
    const ModelConfig& config_;
    std::int64_t rows_;  // of a sequence in a decode step
    std::int64_t capacity_ = 0;
    std::unique_ptr<Device> device_;
    StageWeights weights_;
    std::map<Key, std::size_t> index_;
    std::vector<std::int64_t> tokens_;  // by graph, of all its sequences
    std::vector<Executor> executors_;   // by graph
    std::vector<Progress> progress_;    // by sequence
    Generation result_;
};

}  // namespace

Generation generate(const Checkpoint& checkpoint, const std::vector<TokenIds>& prompts,
                    const GenerateOptions& options) {
    check(checkpoint.config(), prompts, options);
    R1_CHECK(options.max_new_tokens >= 0 && options.prefill_chunk > 0);
    return Generator(checkpoint, prompts, options).run();
}

}  // namespace r1
