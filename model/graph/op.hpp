// Ops, tensors and chunk templates: what one chunk of one stage does, once for all micro-batches.
// An op carries work and bytes, never time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/base/dtype.hpp"
#include "model/base/ids.hpp"
#include "model/graph/extent.hpp"
#include "model/graph/kernels.hpp"

namespace r1 {

// Ops of one stream of a rank run one after the other, in program order. `wgrad` is the second
// compute stream of the published trace: weight gradients of routed experts, beside whatever the
// first one goes on with. Both share the rank's SMs.
enum class Stream : std::uint8_t { compute, wgrad, comm, send, recv, collective };
inline constexpr std::size_t kStreamCount = 6;
std::string_view name(Stream stream);
constexpr bool computes(Stream stream) {
    return stream == Stream::compute || stream == Stream::wgrad;
}

enum class Phase : std::uint8_t { forward, backward_input, backward_weight, optimizer };
std::string_view name(Phase phase);

// Of whom a tensor is a part, which decides how long it lives.
enum class TensorRole : std::uint8_t {
    activation,       // of one micro-batch on one stage: from its producer to its last reader
    input,            // token ids and labels, given by the workload
    parameter,        // of the stage
    gradient,         // accumulated over micro-batches
    optimizer_state,  // sharded as ZeRO says
    cache,            // of the sequences, from step to step: [sequences x capacity, width]
};
std::string_view name(TensorRole role);

struct Tensor {
    std::string name;  // unique within (template, context); "layers.0.…" counts within the stage
    DType dtype = DType::bf16;
    TensorRole role = TensorRole::activation;
    std::uint8_t context = 0;  // which of the chunk's contexts it belongs to
    std::vector<Extent> shape;
    bool operator==(const Tensor&) const = default;
};
// Whether it belongs to the whole model ("model.…", "lm_head.…": embedding, final norm, head): a
// rank holds it once, whichever of its stages use it.
bool is_global(const Tensor& tensor);
Extent elements(const Tensor& tensor);
Extent bytes(const Tensor& tensor);

// Work of a compute op: matrix FLOPs run on tensor cores; bytes are those of the op's tensors.
struct Work {
    Extent matrix_flops;
    Extent read_bytes;
    Extent written_bytes;
    DType dtype = DType::bf16;  // of the matrix operands
    bool operator==(const Work&) const = default;
};

struct ComputeOp {
    KernelId kernel = KernelId::none;
    std::vector<Extent> dims;  // in the order of the kernel's signature
    Work work;
    bool operator==(const ComputeOp&) const = default;
};

enum class Collective : std::uint8_t {
    send,
    recv,
    dispatch,  // tokens to their experts, FP8 or BF16; the backward of combine too
    combine,   // expert outputs back to their tokens, BF16; the backward of dispatch too
    notify,    // before either: ranks wait for each other and exchange counts; moves no tokens
    reduce_scatter,
    all_gather,
    all_reduce,
    // The same with DeepEP's low-latency kernels: for each chosen expert one copy, straight from
    // GPU to GPU.
    low_latency_dispatch,
    low_latency_combine,
};
inline constexpr std::size_t kCollectiveCount = 10;
std::string_view name(Collective collective);
constexpr bool low_latency(Collective collective) {
    return collective == Collective::low_latency_dispatch ||
           collective == Collective::low_latency_combine;
}

enum class GroupKind : std::uint8_t {
    pipeline,              // sender and receiver of one message
    expert_parallel,       // the ranks that share one set of routed experts
    data_parallel,         // all holders of a stage's dense parameters
    expert_data_parallel,  // all holders of the same routed experts
    embedding,             // first and last stage of a pipeline, where both hold the embedding
    world,
    tensor_parallel,       // the ranks that share the weights of one copy of a layer
    tensor_data_parallel,  // all holders of the same part of such weights
};
inline constexpr std::size_t kGroupKindCount = 8;
std::string_view name(GroupKind kind);
// Groups of a stage's ranks, which may be of several programs.
constexpr bool is_staged(GroupKind kind) {
    return kind == GroupKind::data_parallel || kind == GroupKind::expert_data_parallel ||
           kind == GroupKind::tensor_data_parallel;
}
// Groups whose ranks run the same program.
constexpr bool is_of_one_program(GroupKind kind) {
    return kind == GroupKind::expert_parallel || kind == GroupKind::tensor_parallel;
}

struct CommOp {
    Collective collective = Collective::send;
    GroupKind group = GroupKind::pipeline;
    // send, recv: the message. reduce_scatter, all_gather, all_reduce: the whole buffer.
    // dispatch, combine: bytes of one copy of one token; how many copies go where is the
    // traffic of the op's layer and micro-batch, which the binding gives. notify: what each member
    // tells each other one.
    Extent payload_bytes;
    // dispatch, combine: what goes with the data of such a copy: experts and weights of the token.
    Extent metadata_bytes;
    std::int64_t tokens = 0;  // dispatch, combine: source tokens of the rank
    bool operator==(const CommOp&) const = default;
};

struct Op {
    std::variant<ComputeOp, CommOp> body;
    Stream stream = Stream::compute;
    Phase phase = Phase::forward;
    std::uint8_t context = 0;
    std::int16_t layer = -1;  // slot within the stage, -1: no layer
    std::vector<TensorId> inputs;
    std::vector<TensorId> outputs;
    bool operator==(const Op&) const = default;

    [[nodiscard]] const ComputeOp* compute() const { return std::get_if<ComputeOp>(&body); }
    [[nodiscard]] const CommOp* comm() const { return std::get_if<CommOp>(&body); }
};
// "gemm_fp8", "dispatch", …
std::string_view kind_name(const Op& op);

struct ChunkTemplate {
    std::string name;  // for people: "FB(0,15)"; outside the hash
    std::uint8_t contexts = 1;
    std::vector<Tensor> tensors;
    std::vector<Op> ops;  // in issue order; a stream runs its ops in this order
    bool operator==(const ChunkTemplate&) const = default;
};

// For each op, the ops of the template that it waits for: the producers of its inputs and the op
// before it on its stream. Sorted, without duplicates.
std::vector<std::vector<OpIndex>> predecessors(const ChunkTemplate& chunk);

// Activations that the template reads and no op of it produces: chunks before it must have.
std::vector<TensorId> external_activations(const ChunkTemplate& chunk);
// The op that produces each tensor; invalid for tensors that come from outside.
std::vector<OpIndex> producers(const ChunkTemplate& chunk);

}  // namespace r1
