#include "kernels/gradient_norm.hpp"

#include <algorithm>
#include <array>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

namespace {

// Sums of blocks are added in their order, whichever thread made them. They wait on the stack, a
// round of blocks at a time.
constexpr std::int64_t kBlock = 1 << 14;
constexpr std::int64_t kRound = 256;

double sum_of_squares(const float* values, std::int64_t count) {
    std::array<double, kRound> sums;
    const std::int64_t blocks = (count + kBlock - 1) / kBlock;
    parallel_for(blocks, kBlock, [&](std::int64_t block) {
        const float* begin = values + block * kBlock;
        sums[static_cast<std::size_t>(block)] =
            sum_of_products(begin, begin, std::min(kBlock, count - block * kBlock));
    });
    double sum = 0;
    for (std::int64_t block = 0; block < blocks; ++block) {
        sum += sums[static_cast<std::size_t>(block)];
    }
    return sum;
}

}  // namespace

void gradient_norm(const GradientNormArgs& args) {
    double sum = args.carried;
    for (const std::span<const float> gradient : args.gradients) {
        const auto size = static_cast<std::int64_t>(gradient.size());
        for (std::int64_t at = 0; at < size; at += kRound * kBlock) {
            sum += sum_of_squares(gradient.data() + at, std::min(kRound * kBlock, size - at));
        }
    }
    *args.sum_of_squares = static_cast<float>(sum);
}

}  // namespace r1::cpu
