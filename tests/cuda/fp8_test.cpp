#include "kernels/dequantize_fp8.hpp"
#include "kernels/quantize_e5m6.hpp"
#include "kernels/quantize_fp8.hpp"
#include "kernels/quantize_weight_fp8.hpp"
#include "kernels/requantize_transpose_fp8.hpp"
#include "tests/cuda/kernel_check.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

using namespace r1::test;

namespace {

struct Fp8Shape {
    std::int64_t rows;
    std::int64_t width;
};

const std::vector<Fp8Shape> kFp8Shapes = with_random<Fp8Shape>(
    {{0, 128}, {1, 1}, {3, 128}, {5, 130}, {2, 300}, {130, 96}, {257, 200}}, [](const auto& size) {
        return Fp8Shape{size(150), size(400)};
    });
const Tolerance kExact{0, 0, 0, 0};  // division and rounding are exact operations

}  // namespace

TEST_CASE("cuda quantize_fp8: codes and scales of the reference, to the bit", "[cuda]") {
    for (const auto& [rows, width] : kFp8Shapes) {
        for (const DType type : {DType::f32, DType::bf16}) {
            for (const float floor : {kQuantizeAmaxMin, kGradientAmaxMin}) {
                INFO("rows " << rows << " width " << width);
                check_kernel(
                    [&](Place& on) {
                        return QuantizeFp8Args{
                            rows,
                            width,
                            on.matrix(random(rows, width, type, 1, 1e-3, width + 5)),
                            on.data<std::uint8_t>(empty(rows, width, DType::e4m3)),
                            on.data<float>(empty(rows, tiles(width), DType::f32)),
                            floor};
                    },
                    &reference::quantize_fp8, &cuda::quantize_fp8, kExact);
            }
        }
    }
}

TEST_CASE("cuda quantize_weight_fp8 and back: blocks at the edges too", "[cuda]") {
    for (const auto& [rows, width] : kFp8Shapes) {
        INFO("rows " << rows << " width " << width);
        check_kernel(
            [&](Place& on) {
                return QuantizeWeightFp8Args{
                    rows, width, on.matrix(random(rows, width, DType::bf16, 1)),
                    on.data<std::uint8_t>(empty(rows, width, DType::e4m3)),
                    on.data<float>(empty(tiles(rows), tiles(width), DType::f32))};
            },
            &reference::quantize_weight_fp8, &cuda::quantize_weight_fp8, kExact);
        for (const std::int64_t rows_per_scale : {1, 128}) {
            const std::int64_t scale_rows = (rows + rows_per_scale - 1) / rows_per_scale;
            check_kernel(
                [&](Place& on) {
                    return DequantizeFp8Args{
                        rows,
                        width,
                        rows_per_scale,
                        on.data<std::uint8_t>(random_codes(rows, width, 1)),
                        on.data<float>(random_scales(scale_rows, tiles(width), 2)),
                        on.matrix(empty(rows, width, DType::f32))};
                },
                &reference::dequantize_fp8, &cuda::dequantize_fp8, kExact);
        }
    }
}

TEST_CASE("cuda requantize_transpose_fp8: from codes and values, to codes and values", "[cuda]") {
    for (const auto& [rows, width] : kFp8Shapes) {
        for (const bool from_codes : {false, true}) {
            INFO("rows " << rows << " width " << width);
            check_kernel(
                [&](Place& on) {
                    RequantizeTransposeFp8Args a;
                    a.rows = rows;
                    a.width = width;
                    a.amax_min = kGradientAmaxMin;
                    if (from_codes) {
                        a.codes = on.data<std::uint8_t>(random_codes(rows, width, 1));
                        a.scales = on.data<float>(random_scales(rows, tiles(width), 2));
                    } else {
                        a.x = on.matrix(random(rows, width, DType::bf16, 3));
                        a.y = on.matrix(empty(width, rows, DType::bf16));
                    }
                    a.transposed_codes = on.data<std::uint8_t>(empty(width, rows, DType::e4m3));
                    a.transposed_scales = on.data<float>(empty(width, tiles(rows), DType::f32));
                    return a;
                },
                &reference::requantize_transpose_fp8, &cuda::requantize_transpose_fp8, kExact);
        }
    }
}

TEST_CASE("cuda quantize_e5m6 and back: pairs across rows, a last value alone", "[cuda]") {
    for (const auto& [rows, width] : kFp8Shapes) {
        const std::int64_t bytes = (rows * width * 3 + 1) / 2;
        for (const double scale : {1e-5, 1.0, 1e5}) {
            Operand x = random(rows, width, DType::f32, 1, scale);
            check_kernel(
                [&](Place& on) {
                    return QuantizeE5m6Args{rows, width, on.matrix(x),
                                            on.data<std::uint8_t>(empty(1, bytes, DType::u8))};
                },
                &reference::quantize_e5m6, &cuda::quantize_e5m6, kExact);
            Operand packed = empty(1, bytes, DType::u8);
            reference::quantize_e5m6({rows, width, x.view(), packed.as<std::uint8_t>()});
            check_kernel(
                [&](Place& on) {
                    return DequantizeE5m6Args{rows, width, on.data<std::uint8_t>(packed),
                                              on.matrix(empty(rows, width, DType::bf16))};
                },
                &reference::dequantize_e5m6, &cuda::dequantize_e5m6, kExact);
        }
    }
}

}  // namespace r1
