#include "kernels/cross_entropy.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace r1::cpu {

namespace {

constexpr std::int64_t kLossLanes = 16;

float largest_logit(const CrossEntropyArgs& args, std::int64_t t) {
    Piece piece;
    float largest = -INFINITY;
    for_pieces(args.vocabulary, [&](std::int64_t column, std::int64_t count) {
        load_row(args.logits, t, column, count, piece.data());
        largest = std::max(largest, *std::max_element(piece.data(), piece.data() + count));
    });
    return largest;
}

// Sum of e^(logit - largest): float32 over sixteen lanes of a piece, double over pieces.
double sum_of_exponentials(const CrossEntropyArgs& args, std::int64_t t, float largest) {
    Piece piece;
    double sum = 0;
    for_pieces(args.vocabulary, [&](std::int64_t column, std::int64_t count) {
        load_row(args.logits, t, column, count, piece.data());
        const std::int64_t padded = (count + kLossLanes - 1) / kLossLanes * kLossLanes;
        std::fill(piece.data() + count, piece.data() + padded, -INFINITY);
        std::array<float, kLossLanes> lanes{};
        const float* values = piece.data();
        vectorized([&]() R1_INLINE {
            for (std::int64_t i = 0; i < padded; i += kLossLanes) {
#pragma omp simd
                for (std::int64_t lane = 0; lane < kLossLanes; ++lane) {
                    lanes[static_cast<std::size_t>(lane)] += exp_f32(values[i + lane] - largest);
                }
            }
        });
        for (const float lane : lanes) {
            sum += static_cast<double>(lane);
        }
    });
    return sum;
}

}  // namespace

void cross_entropy(const CrossEntropyArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        R1_CHECK(args.labels[t] < args.vocabulary);
    }
    parallel_for(args.tokens, args.vocabulary * 4, [&](std::int64_t t) {
        const float largest = largest_logit(args, t);
        const double lse =
            static_cast<double>(largest) + std::log(sum_of_exponentials(args, t, largest));
        const std::int32_t label = args.labels[t];
        args.log_sum_exp[t] = static_cast<float>(lse);
        args.nll[t] =
            label < 0 ? 0.0F
                      : static_cast<float>(lse - static_cast<double>(load(args.logits, t, label)));
    });
}

}  // namespace r1::cpu
