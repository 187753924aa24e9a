// What every layer emits with: the model's sizes, and names that carry the layer's prefix.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/config/model_config.hpp"
#include "model/graph/chunk_builder.hpp"
#include "model/plan/parallel_plan.hpp"

namespace r1 {

// Whether attention works on the latent cache of its sequences, and in which form.
enum class CacheUse : std::uint8_t {
    none,     // whole sequences, no cache
    prefill,  // new tokens of a prompt: fills the cache, predicts nothing
    decode,   // the next tokens, sampled from logits; absorbed attention
};

// Sizes of one micro-batch on one rank of a tensor-parallel group. Fixed for a graph.
struct LayerSizes {
    ModelConfig config;
    Precision precision;
    Recompute recompute;
    std::int64_t tensor_parallel = 1;  // ranks that share a micro-batch, and layers' weights
    std::int64_t sequences = 1;        // of a micro-batch
    std::int64_t sequence_length = 0;  // with a cache: the new tokens of each sequence
    std::int64_t local_experts = 0;    // (routed + redundant) / expert_parallel
    // No backward pass follows: nothing is stored for one, and kv_b_proj runs in BF16, as serving
    // engines hold it dequantised for the absorbed form.
    bool inference = false;
    CacheUse cache = CacheUse::none;

    // The rank's own, where each token is one rank's; and where heads or columns of weights are
    // shared out instead, those of its whole tensor-parallel group.
    [[nodiscard]] std::int64_t tokens() const { return group_tokens() / tensor_parallel; }
    [[nodiscard]] std::int64_t group_tokens() const { return sequences * sequence_length; }
    [[nodiscard]] bool fp8() const { return precision.gemm == DType::e4m3; }

    bool operator==(const LayerSizes&) const = default;
};

// A matrix that a GEMM multiplies: BF16, or FP8 with its scales.
struct Operand {
    TensorId data;
    TensorId scale;  // invalid: BF16
    Extent rows;
    std::int64_t width = 0;
    [[nodiscard]] bool fp8() const { return scale.valid(); }
};

class Emitter {
public:
    Emitter(ChunkBuilder& builder, const LayerSizes& sizes, std::string prefix)
        : builder_(builder), sizes_(sizes), prefix_(std::move(prefix)) {}

    [[nodiscard]] const LayerSizes& sizes() const { return sizes_; }
    [[nodiscard]] const ModelConfig& config() const { return sizes_.config; }
    [[nodiscard]] ChunkBuilder& builder() { return builder_; }
    [[nodiscard]] const std::string& prefix() const { return prefix_; }
    // The same chunk under a longer prefix.
    [[nodiscard]] Emitter sub(const std::string& name) const {
        return {builder_, sizes_, prefix_ + name};
    }

    TensorId activation(const std::string& name, DType dtype, std::vector<Extent> shape) {
        return builder_.tensor(prefix_ + name, dtype, std::move(shape));
    }
    // BF16 [rows, width]
    TensorId activation(const std::string& name, Extent rows, std::int64_t width) {
        return activation(name, DType::bf16, {rows, width});
    }
    TensorId parameter(const std::string& name, DType dtype, std::vector<Extent> shape) {
        return builder_.tensor(prefix_ + name, dtype, std::move(shape), TensorRole::parameter);
    }
    TensorId cache(const std::string& name, DType dtype, std::vector<Extent> shape) {
        return builder_.tensor(prefix_ + name, dtype, std::move(shape), TensorRole::cache);
    }
    TensorId gradient(const std::string& name, std::vector<Extent> shape) {
        return builder_.tensor(prefix_ + name + ".grad", DType::f32, std::move(shape),
                               TensorRole::gradient);
    }
    void compute(KernelId kernel, std::vector<Extent> dims, std::vector<TensorId> inputs,
                 std::vector<TensorId> outputs) {
        builder_.compute(kernel, std::move(dims), std::move(inputs), std::move(outputs));
    }

private:
    ChunkBuilder& builder_;
    const LayerSizes& sizes_;
    std::string prefix_;
};

// ---- Tensor parallelism with sequence parallelism (arXiv 2205.05198) ---------------------------
// Both are `own` or `partial` as they are where the group is one rank.
// Rows of all ranks of the group, "<name>.gathered".
TensorId gather_tokens(Emitter& e, const std::string& name, TensorId own);
TensorId gathered(Emitter& e, const std::string& name, TensorId own);  // made elsewhere
// Sums over the group, of which the rank gets its own tokens' rows: `name`.
TensorId scatter_tokens(Emitter& e, const std::string& name, TensorId partial);
// Of what is to be scattered under that name: "<name>.partial", or the name itself.
std::string partial_name(const Emitter& e, const std::string& name);
// Any of the group's collectives, several tensors at once.
void tensor_collective(Emitter& e, Collective collective, std::vector<TensorId> inputs,
                       std::vector<TensorId> outputs);

// y = x * rsqrt(mean(x^2) + eps) * weight. x, y: [rows, width] BF16.
TensorId rms_norm(Emitter& e, const std::string& weight, const std::string& output, TensorId input,
                  std::int64_t width);
// Gradient of the input, plus `residual` if valid; accumulates the weight's gradient.
TensorId rms_norm_backward(Emitter& e, const std::string& weight, const std::string& output,
                           TensorId input, TensorId grad, std::int64_t width,
                           TensorId residual = {});
TensorId residual_add(Emitter& e, const std::string& output, std::vector<TensorId> terms,
                      std::int64_t width);

// ---- Linear layers: y = x W^T, W [out, in] --------------------------------------------------
// FP8 where the operand is FP8: weights E4M3 with 128x128 block scales, accumulation promoted to
// FP32 every 128 elements (arXiv 2412.19437, sec. 3.3). Grouped: one W an expert, rows sorted by
// expert, `offsets` [experts + 1] says where each begins.

// The operand made of a BF16 tensor: quantised in 1x128 tiles if `fp8`, else itself.
Operand quantize(Emitter& e, const std::string& name, TensorId input, Extent rows,
                 std::int64_t width, bool fp8);
// Refers to an operand that quantize() or a fused kernel of the same name makes elsewhere.
Operand operand(Emitter& e, const std::string& name, Extent rows, std::int64_t width, bool fp8);
// Bytes of one row of an operand, scales included.
double row_bytes(std::int64_t width, bool fp8);
// The operand for a weight gradient: FP8 tiles run along the tokens, so the matrix is requantised
// and transposed. BF16 GEMMs take either layout: no op. Rows stay the tokens.
Operand transpose(Emitter& e, const std::string& name, const Operand& input);
// The same from a BF16 tensor.
Operand transpose_bf16(Emitter& e, const std::string& name, TensorId input, Extent rows,
                       std::int64_t width, bool fp8);
// Refers to an operand that one of the two made. In BF16 it is the tensor `bf16`, or the
// activation `name` if that is invalid.
Operand transposed_operand(Emitter& e, const std::string& name, Extent rows, std::int64_t width,
                           bool fp8, TensorId bf16 = {});

struct Grouping {
    std::int64_t experts = 0;  // 0: not grouped
    TensorId offsets;
};
TensorId linear(Emitter& e, const std::string& weight, const std::string& output,
                const Operand& input, std::int64_t out_features, Grouping grouping = {});
TensorId linear_backward_input(Emitter& e, const std::string& weight, const std::string& output,
                               const Operand& grad, std::int64_t in_features,
                               Grouping grouping = {});
void linear_backward_weight(Emitter& e, const std::string& weight, const Operand& grad_transposed,
                            const Operand& input_transposed, Grouping grouping = {});

}  // namespace r1
