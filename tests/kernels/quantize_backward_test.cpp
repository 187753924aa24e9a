#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/dequantize_fp8.hpp"
#include "kernels/quantize_fp8.hpp"
#include "kernels/quantize_weight_fp8.hpp"
#include "kernels/requantize_transpose_fp8.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/golden_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/safetensors.hpp"

namespace r1 {
namespace {

using test::Buffer;

// Codes with their scales.
struct Quantized {
    std::vector<std::uint8_t> codes;
    std::vector<float> scales;

    Quantized(std::int64_t code_count, std::int64_t scale_count)
        : codes(static_cast<std::size_t>(code_count), 0xFF),
          scales(static_cast<std::size_t>(scale_count), -1) {}
    friend bool operator==(const Quantized&, const Quantized&) = default;
};

// x[rows, width] in tiles along the columns, by the kernel that is tested elsewhere.
Quantized quantized(Buffer& x, std::int64_t rows, std::int64_t width) {
    Quantized result(rows * width, rows * tiles(width));
    reference::quantize_fp8({rows, width, x.view(), result.codes.data(), result.scales.data()});
    return result;
}

Buffer transposed(Buffer& from, std::int64_t rows, std::int64_t width, DType dtype,
                  std::int64_t stride = 0) {
    Buffer to(width, rows, dtype, stride);
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t i = 0; i < width; ++i) {
            store(to.view(), i, row, from.at(row, i));
        }
    }
    return to;
}

// Values of many magnitudes, with a column of zeros: its scale is the smallest.
Buffer uneven(std::int64_t rows, std::int64_t width, DType dtype) {
    Buffer x = Buffer::random(rows, width, dtype, 3, width + 9);
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t i = 0; i < width; ++i) {
            const int exponent = static_cast<int>((row / 50 + i) % 17) - 12;
            store(x.view(), row, i, i == 1 ? 0 : std::ldexp(x.at(row, i), exponent));
        }
    }
    return x;
}

using Requantize = void (*)(const RequantizeTransposeFp8Args&);
using QuantizeWeight = void (*)(const QuantizeWeightFp8Args&);

void check_requantize(Requantize requantize, std::int64_t rows, std::int64_t width, DType dtype) {
    Buffer x = uneven(rows, width, dtype);
    // Straight from values: what quantize_fp8 makes of the transposed matrix.
    Buffer x_t = transposed(x, rows, width, dtype, rows + 3);
    Buffer y(width, rows, dtype, rows + 3);
    Quantized got(rows * width, width * tiles(rows));
    RequantizeTransposeFp8Args args;
    args.rows = rows;
    args.width = width;
    args.x = x.view();
    args.transposed_codes = got.codes.data();
    args.transposed_scales = got.scales.data();
    args.y = y.view();
    requantize(args);
    CHECK(got == quantized(x_t, width, rows));
    CHECK(y.bytes() == x_t.bytes());

    // From codes: what it makes of their values, transposed.
    const Quantized input = quantized(x, rows, width);
    Buffer values(rows, width, DType::f32);
    reference::dequantize_fp8(
        {rows, width, 1, input.codes.data(), input.scales.data(), values.view()});
    Buffer values_t = transposed(values, rows, width, DType::f32);
    args.x = {};
    args.codes = input.codes.data();
    args.scales = input.scales.data();
    args.y = {};
    requantize(args);
    CHECK(got == quantized(values_t, width, rows));

    Buffer plain(width, rows, DType::f32);
    args.transposed_codes = nullptr;
    args.transposed_scales = nullptr;
    args.y = plain.view();
    requantize(args);
    CHECK(plain.bytes() == values_t.bytes());
}

void check_golden_weight(const test::SafeTensors& file, const std::string& name,
                         const std::string& codes, const std::string& scales,
                         QuantizeWeight quantize) {
    std::vector<float> x = file.as_f32(name);
    const std::int64_t rows = file.at(name).shape[0];
    const std::int64_t columns = file.at(name).shape[1];
    Quantized got(rows * columns, tiles(rows) * tiles(columns));
    quantize({rows, columns, {x.data(), DType::f32, columns}, got.codes.data(), got.scales.data()});
    CHECK(got.codes == file.at(codes).bytes);
    CHECK(got.scales == file.as_f32(scales));
}

}  // namespace

TEST_CASE("requantize_transpose_fp8: quantize_fp8 of the transposed values", "[kernels][fp8]") {
    for (const std::int64_t rows : {0, 1, 17, 127, 128, 129, 300}) {
        for (const std::int64_t width : {0, 1, 16, 63, 64, 130, 257}) {
            INFO(rows << "x" << width);
            for (const DType dtype : {DType::f32, DType::bf16}) {
                check_requantize(reference::requantize_transpose_fp8, rows, width, dtype);
                check_requantize(cpu::requantize_transpose_fp8, rows, width, dtype);
            }
        }
    }
}

TEST_CASE("quantize_weight_fp8: the golden quantisation cases", "[kernels][fp8][golden]") {
    for (const auto& path : test::golden_cases("fp8_quant")) {
        INFO(path.filename().string());
        const test::SafeTensors file(path);
        for (const QuantizeWeight quantize :
             {reference::quantize_weight_fp8, cpu::quantize_weight_fp8}) {
            check_golden_weight(file, "weight.w", "weight.q", "weight.scale_inv", quantize);
            check_golden_weight(file, "gemm.w", "gemm.w_q", "gemm.w_scale_inv", quantize);
        }
    }
}

TEST_CASE("gradients of any magnitude become the same codes", "[kernels][fp8]") {
    constexpr std::int64_t kRows = 130;
    constexpr std::int64_t kWidth = 200;
    constexpr float kFactor = 0x1p-60F;
    Buffer large = Buffer::random(kRows, kWidth, DType::f32, 3, kWidth);
    Buffer small(kRows, kWidth, DType::f32);
    for (std::int64_t i = 0; i < kRows * kWidth; ++i) {
        store(small.view(), i / kWidth, i % kWidth, kFactor * large.at(i / kWidth, i % kWidth));
    }
    const auto quantize = [&](auto kernel, Buffer& x) {
        Quantized result(kRows * kWidth, kRows * tiles(kWidth));
        kernel(
            {kRows, kWidth, x.view(), result.codes.data(), result.scales.data(), kGradientAmaxMin});
        return result;
    };
    const auto transpose = [&](auto kernel, Buffer& x) {
        Quantized result(kRows * kWidth, kWidth * tiles(kRows));
        RequantizeTransposeFp8Args args;
        args.rows = kRows;
        args.width = kWidth;
        args.x = x.view();
        args.transposed_codes = result.codes.data();
        args.transposed_scales = result.scales.data();
        args.amax_min = kGradientAmaxMin;
        kernel(args);
        return result;
    };
    const auto check = [&](const Quantized& want, const Quantized& got) {
        CHECK(got.codes == want.codes);
        for (std::size_t i = 0; i < want.scales.size(); ++i) {
            CHECK(got.scales[i] == kFactor * want.scales[i]);
        }
    };
    check(quantize(reference::quantize_fp8, large), quantize(reference::quantize_fp8, small));
    check(quantize(reference::quantize_fp8, large), quantize(cpu::quantize_fp8, small));
    check(transpose(reference::requantize_transpose_fp8, large),
          transpose(reference::requantize_transpose_fp8, small));
    check(transpose(reference::requantize_transpose_fp8, large),
          transpose(cpu::requantize_transpose_fp8, small));
}

TEST_CASE("quantize_weight_fp8: one scale for each block, by its largest value", "[kernels][fp8]") {
    for (const std::int64_t rows : {0, 1, 128, 131, 300}) {
        for (const std::int64_t columns : {0, 1, 127, 128, 300}) {
            for (const DType dtype : {DType::f32, DType::bf16}) {
                INFO(rows << "x" << columns);
                Buffer x = uneven(rows, columns, dtype);
                Quantized want(rows * columns, tiles(rows) * tiles(columns));
                Quantized got = want;
                reference::quantize_weight_fp8(
                    {rows, columns, x.view(), want.codes.data(), want.scales.data()});
                cpu::quantize_weight_fp8(
                    {rows, columns, x.view(), got.codes.data(), got.scales.data()});
                CHECK(got == want);
                std::vector<float> amax(want.scales.size(), kQuantizeAmaxMin);
                Buffer values(rows, columns, DType::f32);
                reference::dequantize_fp8(
                    {rows, columns, kTile, got.codes.data(), got.scales.data(), values.view()});
                const auto block = [&](std::int64_t row, std::int64_t i) {
                    return static_cast<std::size_t>(row / kTile * tiles(columns) + i / kTile);
                };
                for (std::int64_t row = 0; row < rows; ++row) {
                    for (std::int64_t i = 0; i < columns; ++i) {
                        float& largest = amax[block(row, i)];
                        largest = std::max(largest, std::abs(x.at(row, i)));
                    }
                }
                int wrong = 0;
                for (std::int64_t row = 0; row < rows; ++row) {
                    for (std::int64_t i = 0; i < columns; ++i) {
                        // Half a step of 3 bits of mantissa, or of the smallest subnormal.
                        const double scale = amax[block(row, i)] / kE4m3Max;
                        const double step =
                            std::max(std::abs(x.at(row, i)) * 0x1p-4, scale * 0x1p-10);
                        const double error = std::abs(values.at(row, i) - x.at(row, i));
                        wrong += error <= step * (1 + 1e-6) ? 0 : 1;
                    }
                }
                CHECK(wrong == 0);
                for (std::size_t i = 0; i < amax.size(); ++i) {
                    CHECK(want.scales[i] == amax[i] / kE4m3Max);
                }
            }
        }
    }
}

}  // namespace r1
