// Chunks of rows are a block each, which sums its share of weight_grad in shared memory; the shares
// are added in their order. Chunks depend on `rows` only, so the bytes do not depend on the device.
#include "kernels/rms_norm_backward.hpp"

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/workspace.hpp"

namespace r1::cuda {

namespace {

constexpr std::int64_t kChunksMax = 264;  // two for each multiprocessor of an H100

std::int64_t chunks_of(std::int64_t rows) { return std::min(rows, kChunksMax); }

struct RmsNormBackward {
    std::int64_t rows, width, tail_width, chunks;
    double epsilon;
    Rows x, grad, weight, residual, tail, dx;
    float* shares;  // [chunks, width]
    float* weight_grad;
};

__device__ void backward_row(const RmsNormBackward& p, std::int64_t row, float* share) {
    double squares = 0;
    double projection = 0;
    for (std::int64_t column = threadIdx.x * kGroup; column < p.width;
         column += kThreads * kGroup) {
        const Group x = load_group(p.x, row, column, p.width);
        const Group grad = load_group(p.grad, row, column, p.width);
        const Group weight = load_group(p.weight, 0, column, p.width);
        for (int i = 0; i < kGroup; ++i) {
            squares += static_cast<double>(x.v[i]) * static_cast<double>(x.v[i]);
            projection += static_cast<double>(grad.v[i]) * static_cast<double>(weight.v[i]) *
                          static_cast<double>(x.v[i]);
        }
    }
    squares = block_reduce(squares, Add{});
    projection = block_reduce(projection, Add{});
    const double exact = 1 / sqrt(squares / static_cast<double>(p.width) + p.epsilon);
    const auto factor = static_cast<float>(exact);
    const auto along =
        static_cast<float>(exact * exact * exact * projection / static_cast<double>(p.width));
    for (std::int64_t column = threadIdx.x * kGroup; column < p.width;
         column += kThreads * kGroup) {
        const Group x = load_group(p.x, row, column, p.width);
        const Group grad = load_group(p.grad, row, column, p.width);
        const Group weight = load_group(p.weight, 0, column, p.width);
        Group dx{};
        if (p.residual.data != nullptr) {
            dx = load_group(p.residual, row, column, p.width);
        }
        for (int i = 0; i < kGroup; ++i) {
            dx.v[i] += grad.v[i] * weight.v[i] * factor - x.v[i] * along;
            if (column + i < p.width) {
                share[column + i] += grad.v[i] * x.v[i] * factor;
            }
        }
        store_group(p.dx, row, column, p.width, dx);
    }
    for (std::int64_t column = threadIdx.x * kGroup; column < p.tail_width;
         column += kThreads * kGroup) {
        copy_group({p.tail, 0}, {p.dx, p.width}, row, column, p.tail_width);
    }
}

__global__ void rms_norm_backward_kernel(RmsNormBackward p) {
    auto* share = reinterpret_cast<float*>(dynamic_shared());  // a column is one thread's
    for (std::int64_t chunk = blockIdx.x; chunk < p.chunks; chunk += gridDim.x) {
        for (std::int64_t column = threadIdx.x * kGroup; column < p.width;
             column += kThreads * kGroup) {
            for (std::int64_t i = column; i < std::min(column + kGroup, p.width); ++i) {
                share[i] = 0;
            }
        }
        for (std::int64_t row = chunk * p.rows / p.chunks; row < (chunk + 1) * p.rows / p.chunks;
             ++row) {
            backward_row(p, row, share);
        }
        for (std::int64_t column = threadIdx.x * kGroup; column < p.width;
             column += kThreads * kGroup) {
            for (std::int64_t i = column; i < std::min(column + kGroup, p.width); ++i) {
                p.shares[chunk * p.width + i] = share[i];
            }
        }
    }
}

__global__ void add_shares_kernel(RmsNormBackward p) {
    for_each_index(p.width, [&](std::int64_t i) {
        double sum = 0;
        for (std::int64_t chunk = 0; chunk < p.chunks; ++chunk) {
            sum += p.shares[chunk * p.width + i];
        }
        p.weight_grad[i] += static_cast<float>(sum);
    });
}

}  // namespace

std::size_t rms_norm_backward_workspace_bytes(const RmsNormBackwardArgs& args) {
    return workspace_bytes_of<float>(chunks_of(args.rows) * args.width);
}

void rms_norm_backward(const RmsNormBackwardArgs& args, const Launch& launch) {
    Carver carver(args.workspace);
    const std::int64_t chunks = chunks_of(args.rows);
    const RmsNormBackward p{args.rows,
                            args.width,
                            args.tail_width,
                            chunks,
                            static_cast<double>(args.epsilon),
                            rows_of(args.x),
                            rows_of(args.grad),
                            rows_of(args.weight),
                            rows_of(args.residual),
                            rows_of(args.tail),
                            rows_of(args.dx),
                            carver.take<float>(chunks * args.width),
                            args.weight_grad};
    launch_kernel(rms_norm_backward_kernel, grid_for(chunks, launch), dim3{kThreads, 1, 1},
                  static_cast<std::size_t>(args.width) * sizeof(float), launch, p);
    launch_kernel(add_shares_kernel, grid_for_indices(args.width, launch), dim3{kThreads, 1, 1}, 0,
                  launch, p);
}

}  // namespace r1::cuda
