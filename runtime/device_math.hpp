// Kernels outside of ops: what executors do themselves with the values of a device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/device.hpp"

namespace r1 {

// y = x in another storage type, f32 or bf16.
void convert(const Device& device, std::int64_t rows, std::int64_t width, const ConstMatrix& x,
             const Matrix& y);
// sum[i] += terms[i]
void add(const Device& device, float* sum, const float* terms, std::size_t count);
// The i-th row of `to` is the rows[i]-th of `from`. `rows` is the host's.
void gather_rows(const Device& device, std::size_t row_bytes, const std::byte* from,
                 std::span<const std::int32_t> rows, std::byte* to);
// The i-th row of x, f32 or bf16, is added to the rows[i]-th of `sums`. `rows` is the host's.
void add_rows(const Device& device, std::int64_t width, const ConstMatrix& x,
              std::span<const std::int32_t> rows, float* sums);
void quantize_weight(const Device& device, const QuantizeWeightFp8Args& args);

}  // namespace r1
