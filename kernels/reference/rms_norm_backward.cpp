#include "kernels/rms_norm_backward.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace r1::reference {

namespace {

struct RowSums {
    double factor = 0;      // 1 / rms
    double projection = 0;  // sum of grad * weight * x
};

RowSums row_sums(const RmsNormBackwardArgs& args, std::int64_t row) {
    double squares = 0;
    double projection = 0;
    for (std::int64_t i = 0; i < args.width; ++i) {
        const double x = load(args.x, row, i);
        squares += x * x;
        projection += static_cast<double>(load(args.grad, row, i)) * load(args.weight, 0, i) * x;
    }
    const double mean = squares / static_cast<double>(args.width);
    return {1 / std::sqrt(mean + static_cast<double>(args.epsilon)), projection};
}

void input_gradient(const RmsNormBackwardArgs& args, std::int64_t row, const RowSums& sums) {
    const double factor = sums.factor;
    const double along =
        factor * factor * factor * sums.projection / static_cast<double>(args.width);
    for (std::int64_t i = 0; i < args.width; ++i) {
        const double scaled =
            static_cast<double>(load(args.grad, row, i)) * load(args.weight, 0, i) * factor;
        const double residual = args.residual.data == nullptr ? 0 : load(args.residual, row, i);
        const double x = load(args.x, row, i);
        store(args.dx, row, i, static_cast<float>(scaled - x * along + residual));
    }
    for (std::int64_t i = 0; i < args.tail_width; ++i) {
        store(args.dx, row, args.width + i, load(args.tail, row, i));
    }
}

constexpr std::int64_t kGradColumns = 256;  // of weight_grad that are summed at a time

void weight_gradient(const RmsNormBackwardArgs& args, std::int64_t begin, std::int64_t end) {
    std::array<double, kGradColumns> sums{};
    for (std::int64_t row = 0; row < args.rows; ++row) {
        const double factor = row_sums(args, row).factor;
        for (std::int64_t i = begin; i < end; ++i) {
            sums[static_cast<std::size_t>(i - begin)] +=
                static_cast<double>(load(args.grad, row, i)) * load(args.x, row, i) * factor;
        }
    }
    for (std::int64_t i = begin; i < end; ++i) {
        args.weight_grad[i] += static_cast<float>(sums[static_cast<std::size_t>(i - begin)]);
    }
}

}  // namespace

void rms_norm_backward(const RmsNormBackwardArgs& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        input_gradient(args, row, row_sums(args, row));
    }
    for (std::int64_t i = 0; i < args.width; i += kGradColumns) {
        weight_gradient(args, i, std::min(i + kGradColumns, args.width));
    }
}

}  // namespace r1::reference
