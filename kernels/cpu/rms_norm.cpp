#include "kernels/rms_norm.hpp"

#include <array>
#include <cmath>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

namespace {

// Sixteen running sums, whatever the width of the registers: the same bytes on every machine.
constexpr std::int64_t kLanes = 16;

double sum_of_squares(const float* values, std::int64_t count) {
    std::array<double, kLanes> lanes{};
    const std::int64_t whole = count / kLanes * kLanes;
    vectorized([&]() R1_INLINE {
        for (std::int64_t i = 0; i < whole; i += kLanes) {
#pragma omp simd
            for (std::int64_t lane = 0; lane < kLanes; ++lane) {
                const double x = values[i + lane];
                lanes[static_cast<std::size_t>(lane)] += x * x;
            }
        }
    });
    for (std::int64_t i = whole; i < count; ++i) {
        lanes[0] += static_cast<double>(values[i]) * values[i];
    }
    double sum = 0;
    for (const double lane : lanes) {
        sum += lane;
    }
    return sum;
}

void norm_row(const RmsNormArgs& args, std::int64_t row) {
    Piece x;
    Piece weight;
    double sum = 0;
    for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
        load_row(args.x, row, column, count, x.data());
        sum += sum_of_squares(x.data(), count);
    });
    // From here on in float32, step by step as the reference model: what FP8 makes of an element
    // between two codes depends on its last bit.
    const auto mean = static_cast<float>(sum / static_cast<double>(args.width));
    const float factor = 1.0F / std::sqrt(mean + args.epsilon);
    for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
        load_row(args.x, row, column, count, x.data());
        load_row(args.weight, 0, column, count, weight.data());
        float* values = x.data();
        const float* scales = weight.data();
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < count; ++i) {
                values[i] = values[i] * factor * scales[i];
            }
        });
        store_row(args.y, row, column, count, x.data());
    });
}

}  // namespace

void rms_norm(const RmsNormArgs& args) {
    parallel_for(args.rows, args.width, [&](std::int64_t row) { norm_row(args, row); });
}

}  // namespace r1::cpu
