#include "kernels/cpu/rows.hpp"

#include <algorithm>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace r1::cpu {

void load_row(const ConstMatrix& matrix, std::int64_t row, std::int64_t column, std::int64_t count,
              float* values) {
    const std::int64_t at = row * matrix.stride + column;
    switch (matrix.dtype) {
        case DType::f32:
            std::copy_n(static_cast<const float*>(matrix.data) + at, count, values);
            return;
        case DType::bf16: {
            const auto* source = static_cast<const std::uint16_t*>(matrix.data) + at;
            vectorized([&]() R1_INLINE {
#pragma omp simd
                for (std::int64_t i = 0; i < count; ++i) {
                    values[i] = float_of_bf16(source[i]);
                }
            });
            return;
        }
        case DType::e4m3: {
            const auto* source = static_cast<const std::uint8_t*>(matrix.data) + at;
            vectorized([&]() R1_INLINE {
#pragma omp simd
                for (std::int64_t i = 0; i < count; ++i) {
                    values[i] = float_of_e4m3(source[i]);
                }
            });
            return;
        }
        default: check_failed(__FILE__, __LINE__, "kernels read f32, bf16 and e4m3");
    }
}

void store_row(const Matrix& matrix, std::int64_t row, std::int64_t column, std::int64_t count,
               const float* values) {
    const std::int64_t at = row * matrix.stride + column;
    switch (matrix.dtype) {
        case DType::f32: std::copy_n(values, count, static_cast<float*>(matrix.data) + at); return;
        case DType::bf16: {
            auto* target = static_cast<std::uint16_t*>(matrix.data) + at;
            vectorized([&]() R1_INLINE {
#pragma omp simd
                for (std::int64_t i = 0; i < count; ++i) {
                    target[i] = bf16_of_float(values[i]);
                }
            });
            return;
        }
        case DType::e4m3: {
            auto* target = static_cast<std::uint8_t*>(matrix.data) + at;
            vectorized([&]() R1_INLINE {
#pragma omp simd
                for (std::int64_t i = 0; i < count; ++i) {
                    target[i] = e4m3_of_float(values[i]);
                }
            });
            return;
        }
        default: check_failed(__FILE__, __LINE__, "kernels write f32, bf16 and e4m3");
    }
}

void copy_columns(const ConstMatrix& x, std::int64_t row, std::int64_t column, const Matrix& y,
                  std::int64_t target, std::int64_t width) {
    Piece piece;
    for_pieces(width, [&](std::int64_t at, std::int64_t count) {
        load_row(x, row, column + at, count, piece.data());
        store_row(y, row, target + at, count, piece.data());
    });
}

double sum_of_products(const float* a, const float* b, std::int64_t count) {
    constexpr std::int64_t kLanes = 16;
    std::array<double, kLanes> lanes{};
    const std::int64_t whole = count / kLanes * kLanes;
    vectorized([&]() R1_INLINE {
        for (std::int64_t i = 0; i < whole; i += kLanes) {
#pragma omp simd
            for (std::int64_t lane = 0; lane < kLanes; ++lane) {
                const double x = a[i + lane];
                lanes[static_cast<std::size_t>(lane)] += x * b[i + lane];
            }
        }
    });
    for (std::int64_t i = whole; i < count; ++i) {
        lanes[0] += static_cast<double>(a[i]) * b[i];
    }
    double sum = 0;
    for (const double lane : lanes) {
        sum += lane;
    }
    return sum;
}

}  // namespace r1::cpu
