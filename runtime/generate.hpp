// Text by the token: prompts into the latent cache, then steps of the decode graph, each of which
// samples the next token of every sequence; with the MTP module, each also drafts the one after,
// which the next step verifies in the same forward pass.
//
// A prefill graph reads a prompt's tokens but the last, in chunks; it fills caches and predicts
// nothing. The last token is the first that the decode graph takes. So everything that predicts is
// one graph, whatever the prompt.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/checkpoint/checkpoint.hpp"
#include "runtime/binding.hpp"
#include "runtime/executor.hpp"

namespace r1 {

using TokenIds = std::vector<std::int32_t>;

struct GenerateOptions {
    ExecutionPolicy policy;
    DeviceKind device = cpu_devices();
    std::int64_t max_new_tokens = 128;
    TokenIds end_tokens;       // each ends a sequence, and is the last of its tokens
    bool speculative = false;  // needs an MTP module
    std::uint64_t seed = 0;
    std::int64_t prefill_chunk = 4096;     // tokens of a prompt in one step
    bool keep_logits = false;              // those that chose each token
    bool record = false;                   // intervals of all ops, and rows routed to each expert
    std::string prompt_source = "prompt";  // names the prompts in messages
    std::function<void(std::size_t sequence, std::int32_t token)> on_token;
    std::function<void(std::int64_t done, std::int64_t total)> on_prefill;  // tokens
};

struct GeneratedSequence {
    TokenIds tokens;          // without the prompt
    bool ended = false;       // by an end token
    std::int64_t drafts = 0;  // that a later step looked at
    std::int64_t accepted_drafts = 0;
    std::vector<float> logits;  // [tokens, vocabulary], if kept
};

// Bytes that a run holds at once, known before it loads or allocates anything.
struct GenerationMemory {
    std::size_t weights = 0;
    std::size_t cache = 0;
    std::size_t activations = 0;  // of the largest graph
    std::size_t workspace = 0;    // of the largest kernel
    std::size_t cache_bytes_per_token = 0;
    [[nodiscard]] std::size_t total() const { return weights + cache + activations + workspace; }
};

// One execution of one of the graphs.
struct GenerationStep {
    std::size_t graph = 0;  // into Generation::graphs
    BoundStep bound;
    std::vector<Interval> intervals;
};

struct GenerationGraph {
    std::string name;  // "prefill", "decode"
    ExecutionGraph graph;
    std::int64_t runs = 0;
};

struct Generation {
    std::vector<GeneratedSequence> sequences;
    std::vector<GenerationGraph> graphs;  // the decode graph first
    std::vector<GenerationStep> steps;    // if recorded
    GenerationMemory memory;              // planned
    std::string device;
    std::int64_t recorded_runs = 0;  // steps of the decode graph that the device started as one
};

// Throws InputError for empty prompts, token ids out of range, and lengths beyond the model's
// positions, and for speculation without an MTP module.
Generation generate(const Checkpoint& checkpoint, const std::vector<TokenIds>& prompts,
                    const GenerateOptions& options);

}  // namespace r1
