#include "kernels/rope_backward.hpp"

#include "kernels/cuda/rope.cuh"

namespace r1::cuda {

namespace {

struct RopeBackward {
    RopeBackwardArgs args;
    Rows q_rope_grad, k_grad, v_grad, q_grad, kv_grad, k_rope_grad;
};

__device__ void turn_heads_back(const RopeBackward& p, std::int64_t t) {
    const RopeBackwardArgs& a = p.args;
    const std::int64_t qk_dim = a.nope_dim + a.rope_dim;
    const std::int64_t kv_dim = a.nope_dim + a.v_dim;
    for_each_head_group(a.heads, a.nope_dim, [&](std::int64_t head, std::int64_t column) {
        copy_group({p.q_rope_grad, head * qk_dim}, {p.q_grad, head * qk_dim}, t, column,
                   a.nope_dim);
        copy_group({p.k_grad, head * qk_dim}, {p.kv_grad, head * kv_dim}, t, column, a.nope_dim);
    });
    for_each_head_group(a.heads, a.v_dim, [&](std::int64_t head, std::int64_t column) {
        copy_group({p.v_grad, head * a.v_dim}, {p.kv_grad, head * kv_dim + a.nope_dim}, t, column,
                   a.v_dim);
    });
    for_each_head_group(a.heads, a.rope_dim, [&](std::int64_t head, std::int64_t column) {
        const std::int64_t first = head * qk_dim + a.nope_dim;
        rotate_group({p.q_rope_grad, first}, {p.q_grad, first}, t, column, a.rope_dim);
    });
}

// Sums over the heads in double, pair by pair.
__device__ void turn_shared_key_back(const RopeBackward& p, std::int64_t t) {
    const RopeBackwardArgs& a = p.args;
    const std::int64_t qk_dim = a.nope_dim + a.rope_dim;
    const auto* turns = reinterpret_cast<const Rotation*>(dynamic_shared());
    for (std::int64_t j = threadIdx.x; j < a.rope_dim / 2; j += blockDim.x) {
        double x = 0;
        double y = 0;
        for (std::int64_t head = 0; head < a.heads; ++head) {
            const std::int64_t column = head * qk_dim + a.nope_dim + 2 * j;
            x += element(p.k_grad, t, column);
            y += element(p.k_grad, t, column + 1);
        }
        const double cosine = turns[j].cos;
        const double sine = turns[j].sin;
        set_element(p.k_rope_grad, t, 2 * j, static_cast<float>(x * cosine - y * sine));
        set_element(p.k_rope_grad, t, 2 * j + 1, static_cast<float>(x * sine + y * cosine));
    }
}

__global__ void rope_backward_kernel(RopeBackward p) {
    const RopeBackwardArgs& a = p.args;
    for_each_rotated_token(a.tokens, a.rope_dim / 2, a.positions, a.frequencies, a.magnitude, -1,
                           [&](std::int64_t t) {
                               turn_heads_back(p, t);
                               turn_shared_key_back(p, t);
                           });
}

}  // namespace

void rope_backward(const RopeBackwardArgs& args, const Launch& launch) {
    launch_kernel(
        rope_backward_kernel, grid_for(args.tokens, launch), dim3{kThreads, 1, 1},
        rotations_bytes(args.rope_dim), launch,
        RopeBackward{args, rows_of(args.q_rope_grad), rows_of(args.k_grad), rows_of(args.v_grad),
                     rows_of(args.q_grad), rows_of(args.kv_grad), rows_of(args.k_rope_grad)});
}

}  // namespace r1::cuda
