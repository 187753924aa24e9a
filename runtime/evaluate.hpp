// Logits and everything on the way to them, for whole sequences: the forward graph, executed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/checkpoint/checkpoint.hpp"
#include "runtime/binding.hpp"
#include "runtime/executor.hpp"

namespace r1 {

struct EvaluateOptions {
    ExecutionPolicy policy;
    DeviceKind device = cpu_devices();
    bool hidden = false;       // embed, layers.N.attn_out, layers.N.hidden, final_norm
    bool router = false;       // layers.N.router.{scores, indices, weights, weights_dense}
    bool mtp = false;          // mtp.*
    bool expert_rows = false;  // into Evaluation::bound
    std::string token_source = "tokens";  // names the tokens in messages
};

struct NamedTensor {
    std::vector<std::int64_t> shape;
    std::vector<float> f32;
    std::vector<std::int32_t> i32;
    bool is_integer = false;  // i32 holds the values
};

struct Evaluation {
    std::map<std::string, NamedTensor> tensors;  // named as in the golden sets
    ExecutionGraph graph;
    BoundStep bound;                  // the symbols; expert rows if asked for
    std::vector<Interval> intervals;  // of all ops, by clock_ps()
};

// tokens: [sequences, sequence_length]. Throws InputError for token ids out of range, and for
// lengths beyond the model's positions.
Evaluation evaluate(const Checkpoint& checkpoint, const std::vector<std::int32_t>& tokens,
                    std::int64_t sequences, const EvaluateOptions& options);

}  // namespace r1
