#include "kernels/swiglu_backward.hpp"

#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/swiglu.cuh"

namespace r1::cuda {

namespace {

struct SwigluBackward {
    SwigluBackwardArgs args;
    Rows gate_up, d_act, d_gate_up, act;
};

// Returns the group's share of route_grad.
__device__ double backward_group(const SwigluBackward& p, std::int64_t row, std::int64_t column,
                                 float weight) {
    const std::int64_t width = p.args.width;
    const Group gate = load_group(p.gate_up, row, column, width);
    const Group up = load_group(p.gate_up, row, width + column, 2 * width);
    const Group grad = load_group(p.d_act, row, column, width);
    Group d_gate;
    Group d_up;
    Group act;
    double route_grad = 0;
    for (int i = 0; i < kGroup && column + i < width; ++i) {
        const float s = sigmoid(gate.v[i]);
        const float silu = gate.v[i] * s;
        d_gate.v[i] = grad.v[i] * weight * up.v[i] * s * (1.0F + gate.v[i] * (1.0F - s));
        d_up.v[i] = grad.v[i] * weight * silu;
        act.v[i] = swiglu_of(gate.v[i], up.v[i]) * weight;
        route_grad += static_cast<double>(grad.v[i] * silu * up.v[i]);
    }
    store_group(p.d_gate_up, row, column, width, d_gate);
    store_group(p.d_gate_up, row, width + column, 2 * width, d_up);
    if (p.args.act.data != nullptr) {
        store_group(p.act, row, column, width, act);
    }
    return route_grad;
}

__global__ void swiglu_backward_kernel(SwigluBackward p) {
    for (std::int64_t row = blockIdx.x; row < p.args.rows; row += gridDim.x) {
        const float weight = p.args.row_weights != nullptr ? p.args.row_weights[row] : 1.0F;
        double route_grad = 0;
        for (std::int64_t column = threadIdx.x * kGroup; column < p.args.width;
             column += kThreads * kGroup) {
            route_grad += backward_group(p, row, column, weight);
        }
        if (p.args.route_grad != nullptr) {
            route_grad = block_reduce(route_grad, Add{});
            if (threadIdx.x == 0) {
                p.args.route_grad[row] = static_cast<float>(route_grad);
            }
        }
    }
}

}  // namespace

void swiglu_backward(const SwigluBackwardArgs& args, const Launch& launch) {
    launch_kernel(swiglu_backward_kernel, grid_for(args.rows, launch), dim3{kThreads, 1, 1}, 0,
                  launch,
                  SwigluBackward{args, rows_of(args.gate_up), rows_of(args.d_act),
                                 rows_of(args.d_gate_up), rows_of(args.act)});
}

}  // namespace r1::cuda
