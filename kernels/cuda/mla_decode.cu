// Queries into the space of the latents, attention over the cache with all heads of a query as rows
// of one tile, and what they found through kv_b's value half. Intermediate values are stored in the
// type of the queries. Contexts are shared out among blocks in splits of one size: a token's bytes
// do not depend on how long the contexts beside its are.
#include "kernels/mla_decode.hpp"

#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/product.hpp"
#include "kernels/workspace.hpp"

namespace r1::cuda {

namespace {

constexpr std::int64_t kSplitKeys = 1024;

struct DecodePlan {
    explicit DecodePlan(const MlaCachedArgs& args)
        : keys(std::min(args.context_max, args.cache_rows)),
          splits(std::max<std::int64_t>(1, ceil_div(keys, kSplitKeys))),
          tokens(args.sequences * args.queries),
          rows(tokens * args.heads),
          latent_dim(args.kv_lora_rank + args.rope_dim),
          element_bytes(static_cast<std::int64_t>(bits(args.q.dtype) / 8)) {}

    std::int64_t keys, splits;
    std::int64_t tokens, rows;  // a row is one head of a token
    std::int64_t latent_dim;
    std::int64_t element_bytes;
};

struct DecodeMemory {
    DecodeMemory(const MlaCachedArgs& args, const DecodePlan& plan) {
        Carver carver(args.workspace);
        q_latent = {carver.take<std::byte>(plan.rows * plan.latent_dim * plan.element_bytes),
                    args.q.dtype, plan.latent_dim};
        o_latent = {carver.take<std::byte>(plan.rows * args.kv_lora_rank * plan.element_bytes),
                    args.q.dtype, args.kv_lora_rank};
        if (plan.splits > 1) {
            split_o = carver.take<float>(plan.splits * plan.rows * args.kv_lora_rank);
            split_lse = carver.take<float>(plan.splits * plan.rows);
        }
    }

    Matrix q_latent;  // [tokens * heads, kv_lora_rank + rope_dim]
    Matrix o_latent;  // [tokens * heads, kv_lora_rank]
    float* split_o = nullptr;
    float* split_lse = nullptr;
};

__global__ void copy_rotary_kernel(std::int64_t rows, std::int64_t heads, std::int64_t qk_dim,
                                   std::int64_t nope_dim, std::int64_t lora_rank, Rows q,
                                   Rows q_latent) {
    const std::int64_t rope_dim = qk_dim - nope_dim;
    for_each_group(rows, rope_dim, [&](std::int64_t row, std::int64_t column) {
        const std::int64_t first = row % heads * qk_dim + nope_dim;
        store_group(q_latent, row, lora_rank + column, lora_rank + rope_dim,
                    load_group(q, row / heads, first + column, first + rope_dim));
    });
}

// A product for each head, of the tokens' rows with the head's rows of kv_b.
Product by_head(const MlaCachedArgs& args, const DecodePlan& plan) {
    Product p;
    p.m = plan.tokens;
    p.groups = args.heads;
    p.b.matrix = args.kv_b;
    p.b.group_stride = (args.nope_dim + args.v_dim) * args.kv_b.stride;
    return p;
}

void absorb(const MlaCachedArgs& args, const DecodePlan& plan, const DecodeMemory& memory,
            const Launch& launch) {
    Product p = by_head(args, plan);
    p.n = args.kv_lora_rank;
    p.k = args.nope_dim;
    p.a.matrix = args.q;
    p.a.group_stride = args.qk_dim();
    p.b.transposed = true;
    p.y = {memory.q_latent.data, memory.q_latent.dtype, args.heads * plan.latent_dim};
    p.y_group_stride = plan.latent_dim;
    product(p, launch);
    launch_kernel(copy_rotary_kernel, grid_for_groups(plan.rows, args.rope_dim, launch),
                  dim3{kThreads, 1, 1}, 0, launch, plan.rows, args.heads, args.qk_dim(),
                  args.nope_dim, args.kv_lora_rank, rows_of(args.q), rows_of(memory.q_latent));
}

void attend(const MlaCachedArgs& args, const DecodePlan& plan, const DecodeMemory& memory,
            const Launch& launch) {
    Attention a;
    a.sequences = args.sequences;
    a.queries = args.queries;
    a.rows_per_query = args.heads;
    a.qk_dim = plan.latent_dim;
    a.v_dim = args.kv_lora_rank;
    a.scale = args.scale;
    a.keys_max = plan.keys;
    a.positions = args.positions;
    a.key_rows = args.cache_rows;
    a.q.matrix = memory.q_latent;
    a.k.matrix = args.latent;
    a.k_dim = plan.latent_dim;
    a.v.matrix = args.latent;
    a.v_is_k = true;
    a.o = memory.o_latent;
    a.splits = plan.splits;
    a.split_keys = kSplitKeys;
    a.split_o = memory.split_o;
    a.split_lse = memory.split_lse;
    attention(a, launch);
}

void project_values(const MlaCachedArgs& args, const DecodePlan& plan, const DecodeMemory& memory,
                    const Launch& launch) {
    Product p = by_head(args, plan);
    p.n = args.v_dim;
    p.k = args.kv_lora_rank;
    p.a.matrix = {memory.o_latent.data, memory.o_latent.dtype, args.heads * args.kv_lora_rank};
    p.a.group_stride = args.kv_lora_rank;
    p.b.matrix = rows_from(args.kv_b, args.nope_dim);
    p.y = args.o;
    p.y_group_stride = args.v_dim;
    product(p, launch);
}

}  // namespace

std::size_t mla_decode_workspace_bytes(const MlaCachedArgs& args) {
    const DecodePlan plan(args);
    const std::size_t splits =
        plan.splits == 1 ? 0
                         : workspace_bytes_of<float>(plan.splits * plan.rows * args.kv_lora_rank) +
                               workspace_bytes_of<float>(plan.splits * plan.rows);
    return splits +
           workspace_bytes_of<std::byte>(plan.rows * plan.latent_dim * plan.element_bytes) +
           workspace_bytes_of<std::byte>(plan.rows * args.kv_lora_rank * plan.element_bytes);
}

void mla_decode(const MlaCachedArgs& args, const Launch& launch) {
    const DecodePlan plan(args);
    const DecodeMemory memory(args, plan);
    absorb(args, plan, memory, launch);
    attend(args, plan, memory, launch);
    project_values(args, plan, memory, launch);
}

}  // namespace r1::cuda
