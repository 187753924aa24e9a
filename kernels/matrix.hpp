// What kernels read and write: row-major matrices in the storage type of the run. BF16 runs hold
// activations as BF16, FP32 runs hold the same tensors as F32.
#pragma once

#include <cstdint>

#include "model/base/check.hpp"
#include "model/base/dtype.hpp"

namespace r1 {

// Element (row, column) is element row * stride + column. f32, bf16 or, where said, e4m3.
struct ConstMatrix {
    const void* data = nullptr;
    DType dtype = DType::f32;
    std::int64_t stride = 0;
};

struct Matrix {
    void* data = nullptr;
    DType dtype = DType::f32;
    std::int64_t stride = 0;

    // NOLINTNEXTLINE(google-explicit-constructor): what can be written can be read
    operator ConstMatrix() const { return {data, dtype, stride}; }
};

// FP8 values share one scale for each 128 columns of a row (activations), or for each 128x128
// block (weights).
inline constexpr std::int64_t kTile = 128;
inline constexpr std::int64_t tiles(std::int64_t width) { return (width + kTile - 1) / kTile; }

// The matrix that begins at a later row.
inline Matrix rows_from(Matrix matrix, std::int64_t row) {
    const auto bytes = static_cast<std::int64_t>(bits(matrix.dtype) / 8);
    matrix.data = static_cast<char*>(matrix.data) + row * matrix.stride * bytes;
    return matrix;
}
inline ConstMatrix rows_from(ConstMatrix matrix, std::int64_t row) {
    const auto bytes = static_cast<std::int64_t>(bits(matrix.dtype) / 8);
    matrix.data = static_cast<const char*>(matrix.data) + row * matrix.stride * bytes;
    return matrix;
}

inline float load(const ConstMatrix& matrix, std::int64_t row, std::int64_t column) {
    const std::int64_t at = row * matrix.stride + column;
    switch (matrix.dtype) {
        case DType::f32: return static_cast<const float*>(matrix.data)[at];
        case DType::bf16:
            return float_from_bf16(static_cast<const std::uint16_t*>(matrix.data)[at]);
        case DType::e4m3: return float_from_e4m3(static_cast<const std::uint8_t*>(matrix.data)[at]);
        default: check_failed(__FILE__, __LINE__, "kernels read f32, bf16 and e4m3");
    }
}

inline void store(const Matrix& matrix, std::int64_t row, std::int64_t column, float value) {
    const std::int64_t at = row * matrix.stride + column;
    switch (matrix.dtype) {
        case DType::f32: static_cast<float*>(matrix.data)[at] = value; return;
        case DType::bf16:
            static_cast<std::uint16_t*>(matrix.data)[at] = bf16_from_float(value);
            return;
        case DType::e4m3:
            static_cast<std::uint8_t*>(matrix.data)[at] = e4m3_from_float(value);
            return;
        default: check_failed(__FILE__, __LINE__, "kernels write f32, bf16 and e4m3");
    }
}

}  // namespace r1
