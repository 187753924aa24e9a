#include "kernels/rms_norm_backward.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/workspace.hpp"

namespace r1::cpu {

namespace {

// Rows whose weight gradients are summed by one task, into a row of the workspace.
constexpr std::int64_t kBlockRowsMin = 16;
constexpr std::int64_t kBlocksMax = 64;

std::int64_t block_rows(std::int64_t rows) {
    return std::max(kBlockRowsMin, (rows + kBlocksMax - 1) / kBlocksMax);
}
std::int64_t block_count(std::int64_t rows) {
    return (rows + block_rows(rows) - 1) / block_rows(rows);
}

// The terms of a piece of a row: x, and the gradient of what the weight scales.
struct Terms {
    Piece x;
    Piece grad;
    Piece scaled;  // grad * weight
    Piece residual;

    void load(const RmsNormBackwardArgs& args, std::int64_t row, std::int64_t column,
              std::int64_t count) {
        load_row(args.x, row, column, count, x.data());
        load_row(args.grad, row, column, count, grad.data());
        load_row(args.weight, 0, column, count, scaled.data());
        float* to = scaled.data();
        const float* from = grad.data();
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < count; ++i) {
                to[i] *= from[i];
            }
        });
    }
};

// residual += scaled * factor - x * along; sums += grad * x * factor
void finish_piece(Terms& terms, std::int64_t count, float factor, float along, float* sums) {
    const float* x = terms.x.data();
    const float* grad = terms.grad.data();
    const float* scaled = terms.scaled.data();
    float* dx = terms.residual.data();
    vectorized([&]() R1_INLINE {
#pragma omp simd
        for (std::int64_t i = 0; i < count; ++i) {
            dx[i] += scaled[i] * factor - x[i] * along;
            sums[i] += grad[i] * (x[i] * factor);
        }
    });
}

void row_backward(const RmsNormBackwardArgs& args, std::int64_t row, float* weight_sums) {
    Terms terms;
    double squares = 0;
    double projection = 0;
    for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
        terms.load(args, row, column, count);
        squares += sum_of_products(terms.x.data(), terms.x.data(), count);
        projection += sum_of_products(terms.x.data(), terms.scaled.data(), count);
    });
    const auto width = static_cast<double>(args.width);
    const double factor = 1 / std::sqrt(squares / width + static_cast<double>(args.epsilon));
    const double along = factor * factor * factor * projection / width;
    for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
        terms.load(args, row, column, count);
        if (args.residual.data == nullptr) {
            std::fill_n(terms.residual.data(), count, 0.0F);
        } else {
            load_row(args.residual, row, column, count, terms.residual.data());
        }
        finish_piece(terms, count, static_cast<float>(factor), static_cast<float>(along),
                     weight_sums + column);
        store_row(args.dx, row, column, count, terms.residual.data());
    });
    copy_columns(args.tail, row, 0, args.dx, args.width, args.tail_width);
}

// weight_grad += the blocks' sums, in order.
void add_blocks(const RmsNormBackwardArgs& args, const float* sums, std::int64_t column,
                std::int64_t count) {
    Piece total{};
    float* to = total.data();
    for (std::int64_t block = 0; block < block_count(args.rows); ++block) {
        const float* from = sums + block * args.width + column;
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < count; ++i) {
                to[i] += from[i];
            }
        });
    }
    for (std::int64_t i = 0; i < count; ++i) {
        args.weight_grad[column + i] += to[i];
    }
}

}  // namespace

std::size_t rms_norm_backward_workspace_bytes(const RmsNormBackwardArgs& args) {
    return workspace_bytes_of<float>(block_count(args.rows) * args.width);
}

void rms_norm_backward(const RmsNormBackwardArgs& args) {
    const std::int64_t blocks = block_count(args.rows);
    const std::int64_t height = block_rows(args.rows);
    auto* sums = Carver(args.workspace).take<float>(blocks * args.width);
    parallel_for(blocks, height * args.width, [&](std::int64_t block) {
        float* own = sums + block * args.width;
        std::fill_n(own, args.width, 0.0F);
        const std::int64_t end = std::min((block + 1) * height, args.rows);
        for (std::int64_t row = block * height; row < end; ++row) {
            row_backward(args, row, own);
        }
    });
    for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
        add_blocks(args, sums, column, count);
    });
}

}  // namespace r1::cpu
