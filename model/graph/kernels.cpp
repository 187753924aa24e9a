#include "model/graph/kernels.hpp"

#include <array>

#include "model/base/check.hpp"

namespace r1 {

namespace {

using Dims = std::vector<std::string_view>;

const std::array<KernelSignature, kKernelCount>& table() {
    using K = KernelId;
    using C = KernelClass;
    // id, name, class, dims, inputs from-to, outputs from-to
    static const Dims gemm = {"m", "n", "k"};
    static const Dims grouped = {"groups", "m", "n", "k"};
    static const Dims rows = {"rows", "width"};
    static const Dims attention = {"sequences", "tokens", "heads", "qk_head_dim", "v_head_dim"};
    static const Dims cached = {
        "sequences",        "queries",    "heads",        "qk_nope_head_dim",
        "qk_rope_head_dim", "v_head_dim", "kv_lora_rank", "past"};
    static const Dims count = {"elements"};
    static const std::array<KernelSignature, kKernelCount> signatures = {{
        {K::none, "", C::memory, {}, 0, 0, 0, 0},
        {K::embedding, "embedding", C::memory, rows, 2, 2, 1, 1},
        {K::embedding_backward, "embedding_backward", C::memory, rows, 2, 3, 1, 1},
        {K::rms_norm, "rms_norm", C::memory, rows, 2, 2, 1, 1},
        {K::rms_norm_backward, "rms_norm_backward", C::memory, rows, 3, 4, 2, 2},
        {K::quantize_fp8, "quantize_fp8", C::memory, rows, 1, 1, 1, 2},
        {K::requantize_transpose_fp8, "requantize_transpose_fp8", C::memory, rows, 1, 2, 2, 2},
        {K::dequantize_fp8, "dequantize_fp8", C::memory, rows, 1, 2, 1, 1},
        {K::quantize_weight_fp8, "quantize_weight_fp8", C::memory, count, 1, 1, 1, 4096},
        {K::gemm_fp8, "gemm_fp8", C::gemm, gemm, 4, 4, 1, 1},
        {K::gemm_bf16, "gemm_bf16", C::gemm, gemm, 2, 2, 1, 1},
        {K::gemm_fp8_wgrad, "gemm_fp8_wgrad", C::gemm, gemm, 4, 4, 1, 1},
        {K::gemm_bf16_wgrad, "gemm_bf16_wgrad", C::gemm, gemm, 2, 2, 1, 1},
        {K::grouped_gemm_fp8, "grouped_gemm_fp8", C::grouped_gemm, grouped, 5, 5, 1, 1},
        {K::grouped_gemm_bf16, "grouped_gemm_bf16", C::grouped_gemm, grouped, 3, 3, 1, 1},
        {K::grouped_gemm_fp8_wgrad, "grouped_gemm_fp8_wgrad", C::grouped_gemm, grouped, 5, 5, 1, 1},
        {K::grouped_gemm_bf16_wgrad, "grouped_gemm_bf16_wgrad", C::grouped_gemm, grouped, 3, 3, 1,
         1},
        {K::rope, "rope", C::memory, rows, 3, 3, 2, 2},
        {K::rope_backward, "rope_backward", C::memory, rows, 3, 3, 3, 3},
        {K::mla_attention, "mla_attention", C::attention, attention, 3, 3, 2, 2},
        {K::mla_attention_backward, "mla_attention_backward", C::attention, attention, 6, 6, 3, 3},
        {K::rope_query, "rope_query", C::memory, rows, 2, 2, 1, 1},
        {K::cache_latent, "cache_latent", C::memory, rows, 3, 3, 1, 1},
        {K::mla_prefill, "mla_prefill", C::attention, cached, 4, 4, 1, 1},
        {K::mla_decode, "mla_decode", C::attention, cached, 4, 4, 1, 1},
        {K::router_topk, "router_topk", C::memory, rows, 1, 2, 2, 3},
        {K::router_topk_backward, "router_topk_backward", C::memory, rows, 4, 4, 1, 1},
        {K::permute, "permute", C::memory, rows, 2, 3, 1, 5},
        {K::unpermute, "unpermute", C::memory, rows, 2, 2, 1, 1},
        {K::swiglu, "swiglu", C::memory, rows, 1, 2, 1, 2},
        {K::swiglu_backward, "swiglu_backward", C::memory, rows, 2, 3, 1, 3},
        {K::residual_add, "residual_add", C::memory, rows, 2, 4, 1, 1},
        {K::concat, "concat", C::memory, rows, 2, 2, 1, 1},
        {K::split, "split", C::memory, rows, 1, 1, 2, 2},
        {K::cross_entropy, "cross_entropy", C::memory, rows, 2, 2, 2, 2},
        {K::cross_entropy_backward, "cross_entropy_backward", C::memory, rows, 3, 3, 1, 1},
        {K::sample, "sample", C::memory, rows, 2, 2, 1, 1},
        {K::argmax, "argmax", C::memory, rows, 1, 1, 1, 1},
        {K::gradient_norm, "gradient_norm", C::memory, count, 1, 4, 1, 1},
        {K::adamw, "adamw", C::memory, count, 5, 5, 4, 4},
        {K::ema_update, "ema_update", C::memory, count, 2, 2, 1, 1},
        {K::bias_update, "bias_update", C::memory, count, 2, 4096, 1, 4096},
    }};
    return signatures;
}

}  // namespace

std::string_view name(Symbol symbol) {
    static constexpr std::array<std::string_view, kSymbolCount> names = {
        "routed_rows", "received_tokens", "past_tokens", "cache_capacity"};
    return names[static_cast<std::size_t>(symbol)];
}

const KernelSignature* kernel_signature(KernelId id) {
    const auto index = static_cast<std::size_t>(id);
    if (id == KernelId::none || index >= kKernelCount) {
        return nullptr;
    }
    const KernelSignature& signature = table()[index];
    R1_CHECK(signature.id == id);
    return &signature;
}

std::optional<KernelId> parse_kernel(std::string_view name) {
    for (const KernelSignature& signature : table()) {
        if (!signature.name.empty() && signature.name == name) {
            return signature.id;
        }
    }
    return std::nullopt;
}

std::string_view name(KernelId id) {
    const KernelSignature* signature = kernel_signature(id);
    return signature == nullptr ? "none" : signature->name;
}

namespace {

// An extent times others, of which all but `varying` are constants.
Extent product(Extent varying, std::initializer_list<Extent> constants) {
    for (const Extent& factor : constants) {
        R1_CHECK(factor.is_constant());
        varying *= factor.constant;
    }
    return varying;
}

// Both forms of attention over the latent cache, for dims as `cached` names them.
Extent cached_attention_flops(KernelId id, const std::vector<Extent>& dims) {
    const double sequences = dims[0].constant;
    const double queries = dims[1].constant;
    const double heads = dims[2].constant;
    const double nope = dims[3].constant;
    const double rope = dims[4].constant;
    const double v = dims[5].constant;
    const double lora = dims[6].constant;
    const Extent& past = dims[7];
    // Query i of the step sees what was before the step, and i + 1 tokens of it.
    const Extent pairs = past * queries + Extent(queries * (queries + 1) / 2);
    // Keys and values made from the latents that are seen; or queries and outputs moved to the
    // latents' space (the absorbed form of arXiv 2405.04434, sec. 2.1.2).
    const bool absorbed = id == KernelId::mla_decode;
    const Extent projected = absorbed ? Extent(queries) : past + Extent(queries);
    const double widths = absorbed ? 2 * lora + rope : nope + rope + v;
    return (projected * (lora * (nope + v)) + pairs * widths) * (2 * sequences * heads);
}

}  // namespace

Extent matrix_flops(KernelId id, const std::vector<Extent>& dims) {
    const KernelSignature* signature = kernel_signature(id);
    R1_CHECK(signature != nullptr && dims.size() == signature->dims.size());
    switch (signature->cost_class) {
        case KernelClass::memory: return 0;
        case KernelClass::gemm: return product(dims[0], {dims[1], dims[2], 2});
        case KernelClass::grouped_gemm:
            // A weight gradient sums over the routed rows: they are its k, not its m.
            return dims[1].is_constant() ? product(dims[3], {dims[1], dims[2], 2})
                                         : product(dims[1], {dims[2], dims[3], 2});
        case KernelClass::attention: {
            if (id == KernelId::mla_prefill || id == KernelId::mla_decode) {
                return cached_attention_flops(id, dims);
            }
            const double qk = dims[3].constant;
            const double v = dims[4].constant;
            // Forward: QK', PV. Backward: QK' again, dOV', P'dO, dSK, dS'Q.
            const double widths = id == KernelId::mla_attention ? qk + v : 3 * qk + 2 * v;
            const double causal_pairs = dims[1].constant * dims[1].constant / 2;
            return Extent(2 * dims[0].constant * dims[2].constant * widths * causal_pairs);
        }
    }
    return 0;
}

}  // namespace r1
