#include "kernels/adamw.hpp"

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

namespace {

struct Adamw {
    std::int64_t elements;
    float gradient_scale;
    Rows grad, master, exp_avg, exp_avg_sq, updated;
};

__global__ void adamw_kernel(Adamw p, AdamwFactors f) {
    for_each_group(1, p.elements, [&](std::int64_t, std::int64_t column) {
        const Group grad = load_group(p.grad, 0, column, p.elements);
        Group master = load_group(p.master, 0, column, p.elements);
        Group m = load_group(p.exp_avg, 0, column, p.elements);
        Group v = load_group(p.exp_avg_sq, 0, column, p.elements);
        for (int i = 0; i < kGroup; ++i) {
            const float g = p.gradient_scale * grad.v[i];
            m.v[i] = f.beta1 * m.v[i] + f.rest1 * g;
            v.v[i] = f.beta2 * v.v[i] + f.rest2 * g * g;
            const float direction =
                m.v[i] / f.correction1 / (sqrtf(v.v[i] / f.correction2) + f.epsilon);
            master.v[i] = master.v[i] * f.decay - f.lr * direction;
        }
        store_group(p.master, 0, column, p.elements, master);
        store_group(p.exp_avg, 0, column, p.elements, m);
        store_group(p.exp_avg_sq, 0, column, p.elements, v);
        if (p.updated.data != nullptr) {
            store_group(p.updated, 0, column, p.elements, master);
        }
    });
}

}  // namespace

void adamw(const AdamwArgs& args, const Launch& launch) {
    const auto stride = ceil_div(args.elements, kGroup) * kGroup;  // of the only row
    const auto row = [stride](ConstMatrix matrix) {
        matrix.stride = stride;
        return rows_of(matrix);
    };
    launch_kernel(adamw_kernel, grid_for_groups(1, args.elements, launch), dim3{kThreads, 1, 1}, 0,
                  launch,
                  Adamw{args.elements, args.gradient_scale, row({args.grad, DType::f32, 0}),
                        row({args.master, DType::f32, 0}), row(args.exp_avg), row(args.exp_avg_sq),
                        row(args.updated)},
                  AdamwFactors(args));
}

}  // namespace r1::cuda
