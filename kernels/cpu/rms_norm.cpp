#include "kernels/rms_norm.hpp"

#include <cmath>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

namespace {

void norm_row(const RmsNormArgs& args, std::int64_t row) {
    Piece x;
    Piece weight;
    double sum = 0;
    for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
        load_row(args.x, row, column, count, x.data());
        sum += sum_of_products(x.data(), x.data(), count);
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
