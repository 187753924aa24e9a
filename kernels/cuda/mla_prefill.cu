// Keys and values of some heads of a sequence at a time, as many as the workspace is meant for.
#include "kernels/mla_prefill.hpp"

#include <algorithm>

#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/blas.hpp"
#include "kernels/cuda/product.hpp"
#include "kernels/workspace.hpp"

namespace r1::cuda {

namespace {

constexpr std::int64_t kWorkspaceBytes = 1 << 30;

std::int64_t keys_of(const MlaCachedArgs& args) {
    return std::min(args.context_max, args.cache_rows);
}

std::int64_t bytes_per_head(const MlaCachedArgs& args) {
    return keys_of(args) * (args.nope_dim + args.v_dim) *
           static_cast<std::int64_t>(bits(args.latent.dtype) / 8);
}

std::int64_t heads_at_once(const MlaCachedArgs& args) {
    const std::int64_t fit = kWorkspaceBytes / std::max<std::int64_t>(1, bytes_per_head(args));
    return std::clamp<std::int64_t>(fit, 1, std::max<std::int64_t>(1, args.heads));
}

// kv[keys, heads * (nope + v)] = latents kv_b^T of heads [first, first + count).
void project(const MlaCachedArgs& args, std::int64_t sequence, std::int64_t first,
             std::int64_t count, const Matrix& kv, const Launch& launch) {
    const std::int64_t kv_dim = args.nope_dim + args.v_dim;
    const ConstMatrix latent = rows_from(args.latent, sequence * args.cache_rows);
    const ConstMatrix weights = rows_from(args.kv_b, first * kv_dim);
    if (blas_product({keys_of(args), count * kv_dim, args.kv_lora_rank, latent, weights, kv},
                     launch)) {
        return;
    }
    Product p;
    p.m = keys_of(args);
    p.n = count * kv_dim;
    p.k = args.kv_lora_rank;
    p.a.matrix = latent;
    p.b.matrix = weights;
    p.y = kv;
    product(p, launch);
}

}  // namespace

// Grows with the context, as heads_at_once() * bytes_per_head() does not: what the longest one
// needs is enough for all.
std::size_t mla_prefill_workspace_bytes(const MlaCachedArgs& args) {
    const std::int64_t head = bytes_per_head(args);
    return workspace_bytes_of<std::byte>(
        std::min(args.heads * head, std::max(kWorkspaceBytes, head)));
}

void mla_prefill(const MlaCachedArgs& args, const Launch& launch) {
    const std::int64_t kv_dim = args.nope_dim + args.v_dim;
    const std::int64_t at_once = heads_at_once(args);
    Carver carver(args.workspace);
    const Matrix kv{carver.take<std::byte>(at_once * bytes_per_head(args)), args.latent.dtype,
                    at_once * kv_dim};
    for (std::int64_t sequence = 0; sequence < args.sequences; ++sequence) {
        for (std::int64_t first = 0; first < args.heads; first += at_once) {
            const std::int64_t count = std::min(at_once, args.heads - first);
            project(args, sequence, first, count, kv, launch);
            const auto bytes = static_cast<std::int64_t>(bits(args.o.dtype) / 8);
            Attention a;
            a.queries = args.queries;
            a.heads = count;
            a.qk_dim = args.qk_dim();
            a.v_dim = args.v_dim;
            a.scale = args.scale;
            a.keys_max = keys_of(args);
            a.positions = args.positions + sequence * args.queries;
            a.q = {rows_from(args.q, sequence * args.queries), first * args.qk_dim(),
                   args.qk_dim()};
            a.k = {kv, 0, kv_dim};
            a.k_dim = args.nope_dim;
            a.k_shared = {rows_from(args.latent, sequence * args.cache_rows), args.kv_lora_rank, 0};
            a.v = {kv, args.nope_dim, kv_dim};
            a.o = rows_from(args.o, sequence * args.queries);
            a.o.data = static_cast<char*>(a.o.data) + first * args.v_dim * bytes;
            attention(a, launch);
        }
    }
}

}  // namespace r1::cuda
