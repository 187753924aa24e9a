#include "kernels/rope.hpp"

#include "kernels/cuda/rope.cuh"

namespace r1::cuda {

namespace {

struct Rope {
    RopeArgs args;
    Rows q, kv_a, kv, q_rope, k;
};

__device__ void rope_query(const Rope& p, std::int64_t t) {
    const RopeArgs& a = p.args;
    const std::int64_t qk_dim = a.nope_dim + a.rope_dim;
    for_each_head_group(a.heads, a.nope_dim, [&](std::int64_t head, std::int64_t column) {
        copy_group({p.q, head * qk_dim}, {p.q_rope, head * qk_dim}, t, column, a.nope_dim);
    });
    for_each_head_group(a.heads, a.rope_dim, [&](std::int64_t head, std::int64_t column) {
        const std::int64_t first = head * qk_dim + a.nope_dim;
        rotate_group({p.q, first}, {p.q_rope, first}, t, column, a.rope_dim);
    });
}

__device__ void rope_key(const Rope& p, std::int64_t t) {
    const RopeArgs& a = p.args;
    const std::int64_t qk_dim = a.nope_dim + a.rope_dim;
    for_each_head_group(a.heads, a.nope_dim, [&](std::int64_t head, std::int64_t column) {
        copy_group({p.kv, head * (a.nope_dim + a.v_dim)}, {p.k, head * qk_dim}, t, column,
                   a.nope_dim);
    });
    for_each_head_group(a.heads, a.rope_dim, [&](std::int64_t head, std::int64_t column) {
        const Columns from{p.kv_a, a.kv_lora_rank};
        const Columns to{p.k, head * qk_dim + a.nope_dim};
        if (a.keys_rotated) {
            copy_group(from, to, t, column, a.rope_dim);
        } else {
            rotate_group(from, to, t, column, a.rope_dim);
        }
    });
}

__global__ void rope_kernel(Rope p) {
    const RopeArgs& a = p.args;
    for_each_rotated_token(a.tokens, a.rope_dim / 2, a.positions, a.frequencies, a.magnitude, 1,
                           [&](std::int64_t t) {
                               if (p.q_rope.data != nullptr) {
                                   rope_query(p, t);
                               }
                               if (p.k.data != nullptr) {
                                   rope_key(p, t);
                               }
                           });
}

struct RopeLatent {
    RopeLatentArgs args;
    Rows kv_a_norm, kv_a, latent;
};

__global__ void rope_latent_kernel(RopeLatent p) {
    const RopeLatentArgs& a = p.args;
    const std::int64_t width = a.kv_lora_rank + a.rope_dim;
    for_each_rotated_token(
        a.sequences * a.tokens, a.rope_dim / 2, a.positions, a.frequencies, a.magnitude, 1,
        [&](std::int64_t t) {
            if (a.positions[t] < 0 || a.positions[t] >= a.cache_rows) {
                trap();
            }
            const std::int64_t row = t / a.tokens * a.cache_rows + a.positions[t];
            for_each_head_group(1, a.kv_lora_rank, [&](std::int64_t, std::int64_t column) {
                store_group(p.latent, row, column, a.kv_lora_rank,
                            load_group(p.kv_a_norm, t, column, a.kv_lora_rank));
            });
            for_each_head_group(1, a.rope_dim, [&](std::int64_t, std::int64_t column) {
                const Group key = load_group(p.kv_a, t, a.kv_lora_rank + column, width);
                store_group(p.latent, row, a.kv_lora_rank + column, width,
                            rotated(key, column, a.rope_dim));
            });
        });
}

}  // namespace

void rope(const RopeArgs& args, const Launch& launch) {
    launch_kernel(rope_kernel, grid_for(args.tokens, launch), dim3{kThreads, 1, 1},
                  rotations_bytes(args.rope_dim), launch,
                  Rope{args, rows_of(args.q), rows_of(args.kv_a), rows_of(args.kv),
                       rows_of(args.q_rope), rows_of(args.k)});
}

void rope_latent(const RopeLatentArgs& args, const Launch& launch) {
    launch_kernel(
        rope_latent_kernel, grid_for(args.sequences * args.tokens, launch), dim3{kThreads, 1, 1},
        rotations_bytes(args.rope_dim), launch,
        RopeLatent{args, rows_of(args.kv_a_norm), rows_of(args.kv_a), rows_of(args.latent)});
}

}  // namespace r1::cuda
