#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/cpu/vector_math.hpp"
#include "kernels/dequantize_fp8.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/quantize_e5m6.hpp"
#include "kernels/quantize_fp8.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/golden_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/safetensors.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::Workspace;

using Quantize = void (*)(const QuantizeFp8Args&);
using Dequantize = void (*)(const DequantizeFp8Args&);
using Gemm = void (*)(const GemmFp8Args&);

std::vector<std::uint8_t> bytes_of(const test::SafeTensors& file, const std::string& name) {
    return file.at(name).bytes;
}

// |got - want| <= atol + rtol * |want|
void check_close(const std::vector<float>& got, const std::vector<float>& want, double atol,
                 double rtol) {
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double distance = std::abs(static_cast<double>(got[i]) - want[i]);
        if (!(distance <= atol + rtol * std::abs(static_cast<double>(want[i])))) {
            INFO("element " << i);
            CHECK(got[i] == want[i]);
        }
    }
}

void check_activations(const test::SafeTensors& file, Quantize quantize) {
    std::vector<float> x = file.as_f32("act.x");
    const std::int64_t rows = file.at("act.x").shape[0];
    const std::int64_t width = file.at("act.x").shape[1];
    std::vector<std::uint8_t> codes(x.size());
    std::vector<float> scales(static_cast<std::size_t>(rows * tiles(width)));
    quantize({rows, width, {x.data(), DType::f32, width}, codes.data(), scales.data()});
    CHECK(codes == bytes_of(file, "act.q"));
    check_close(scales, file.as_f32("act.scale"), 0, 1.2e-7);
}

void check_weights(const test::SafeTensors& file, Dequantize dequantize) {
    const std::vector<std::uint8_t> codes = bytes_of(file, "weight.q");
    const std::vector<float> scales = file.as_f32("weight.scale_inv");
    const std::int64_t rows = file.at("weight.q").shape[0];
    const std::int64_t width = file.at("weight.q").shape[1];
    std::vector<float> y(codes.size());
    dequantize({rows, width, kTile, codes.data(), scales.data(), {y.data(), DType::f32, width}});
    check_close(y, file.as_f32("weight.dequant"), 0, 1.2e-7);
}

std::vector<float> golden_gemm(const test::SafeTensors& file, Gemm gemm) {
    const std::int64_t m = file.at("act.q").shape[0];
    const std::int64_t k = file.at("act.q").shape[1];
    const std::int64_t n = file.at("gemm.w_q").shape[0];
    const auto x = bytes_of(file, "act.q");
    const auto w = bytes_of(file, "gemm.w_q");
    const auto x_scales = file.as_f32("act.scale");
    const auto w_scales = file.as_f32("gemm.w_scale_inv");
    std::vector<float> y(static_cast<std::size_t>(m * n));
    GemmFp8Args args{
        m, n, k, x.data(), x_scales.data(), w.data(), w_scales.data(), {y.data(), DType::f32, n},
        {}};
    Workspace workspace(cpu::gemm_fp8_workspace_bytes(args));
    args.workspace = workspace.span();
    gemm(args);
    return y;
}

}  // namespace

TEST_CASE("fp8: the golden quantisation cases", "[kernels][fp8][golden]") {
    for (const auto& path : test::golden_cases("fp8_quant")) {
        INFO(path.filename().string());
        const test::SafeTensors file(path);
        check_activations(file, reference::quantize_fp8);
        check_activations(file, cpu::quantize_fp8);
        check_weights(file, reference::dequantize_fp8);
        check_weights(file, cpu::dequantize_fp8);
        const std::vector<float> y = golden_gemm(file, reference::gemm_fp8);
        check_close(y, file.as_f32("gemm.y"), 0.0066, 1e-5);
        CHECK(golden_gemm(file, cpu::gemm_fp8) == y);
    }
}

TEST_CASE("vector math: conversions agree with model/base", "[kernels]") {
    for (int code = 0; code < 256; ++code) {
        const auto byte = static_cast<std::uint8_t>(code);
        const float want = float_from_e4m3(byte);
        const float got = cpu::float_of_e4m3(byte);
        INFO("code " << code);
        CHECK(((std::isnan(want) && std::isnan(got)) || want == got));
        CHECK((std::signbit(want) == std::signbit(got) || std::isnan(want)));
    }
    // Every sign, exponent and leading mantissa bits, with what decides rounding below them.
    int wrong = 0;
    for (std::uint32_t high = 0; high < 1U << 16U; ++high) {
        for (const std::uint32_t low : {0U, 1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
            const auto value = std::bit_cast<float>(high << 16U | low);
            if (std::isnan(value)) {
                wrong += (cpu::e4m3_of_float(value) & 0x7FU) != 0x7FU ? 1 : 0;
                wrong += std::isnan(cpu::float_of_bf16(cpu::bf16_of_float(value))) ? 0 : 1;
                continue;
            }
            wrong += cpu::e4m3_of_float(value) != e4m3_from_float(value) ? 1 : 0;
            wrong += cpu::bf16_of_float(value) != bf16_from_float(value) ? 1 : 0;
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("vector math: exp", "[kernels]") {
    double largest = 0;
    for (double x = -87; x < 88.7; x += 0.0037) {
        const double want = std::exp(static_cast<double>(static_cast<float>(x)));
        const double got = cpu::exp_f32(static_cast<float>(x));
        largest = std::max(largest, std::abs(got / want - 1));
    }
    CHECK(largest <= 2 * 0x1p-23);
    CHECK(cpu::exp_f32(0) == 1);
    CHECK(cpu::exp_f32(-INFINITY) == 0);
    CHECK(cpu::exp_f32(-1000) == 0);
    CHECK(cpu::exp_f32(INFINITY) == INFINITY);
    CHECK(std::isnan(cpu::exp_f32(NAN)));
}

TEST_CASE("quantize_fp8: cpu agrees with the reference to the bit", "[kernels][fp8]") {
    for (const std::int64_t width : {0, 1, 127, 128, 129, 1024, 1100, 2500}) {
        for (const std::int64_t rows : {0, 1, 7}) {
            for (const DType type : {DType::f32, DType::bf16}) {
                INFO(rows << "x" << width);
                Buffer x = Buffer::random(rows, width, type, 1, width + 9);
                // A tile of zeros and one of tiny values: both have the smallest scale.
                for (std::int64_t i = 0; i < width && rows > 1; ++i) {
                    store(x.view(), 0, i, 0);
                    store(x.view(), 1, i, 1e-6F);
                }
                const auto count = static_cast<std::size_t>(rows * width);
                const auto tile_count = static_cast<std::size_t>(rows * tiles(width));
                std::vector<std::uint8_t> codes(count);
                std::vector<std::uint8_t> want_codes(count);
                std::vector<float> scales(tile_count);
                std::vector<float> want_scales(tile_count);
                reference::quantize_fp8(
                    {rows, width, x.view(), want_codes.data(), want_scales.data()});
                cpu::quantize_fp8({rows, width, x.view(), codes.data(), scales.data()});
                CHECK(codes == want_codes);
                CHECK(scales == want_scales);
                Buffer want(rows, width, type);
                Buffer got(rows, width, type);
                reference::dequantize_fp8(
                    {rows, width, 1, codes.data(), scales.data(), want.view()});
                cpu::dequantize_fp8({rows, width, 1, codes.data(), scales.data(), got.view()});
                CHECK(want.bytes() == got.bytes());
                // Half a step of 3 mantissa bits, or of the smallest subnormal.
                CHECK(distance(x, got) <= 0x1p-4 + 0x1p-9 + test::epsilon(type));
            }
        }
    }
}

TEST_CASE("quantize_e5m6: rounds to six bits of mantissa", "[kernels]") {
    // 1 + 1/128 lies between 1 and 1 + 1/64 (tie to even), 1 + 3/128 between 1/64 and 2/64; the
    // smallest subnormal is 2^-20, the largest value 65024.
    std::vector<float> x = {1.0078125F, 1.0234375F, -0.3F, 0x1p-20F, 0x1p-21F, 1e9F, -INFINITY};
    std::vector<std::uint8_t> packed(11);
    std::vector<float> y(x.size());
    const auto width = static_cast<std::int64_t>(x.size());
    reference::quantize_e5m6({1, width, {x.data(), DType::f32, width}, packed.data()});
    reference::dequantize_e5m6({1, width, packed.data(), {y.data(), DType::f32, width}});
    CHECK(y == std::vector<float>{1.0F, 1.03125F, -0.30078125F, 0x1p-20F, 0, 65024, -65024});
}

TEST_CASE("quantize_e5m6: cpu agrees with the reference to the bit", "[kernels]") {
    for (const std::int64_t width : {0, 1, 3, 64, 700, 3001}) {
        Buffer x = Buffer::random(3, width, DType::f32, 2);
        for (std::int64_t i = 0; i < width; ++i) {  // all exponents, in one row
            store(x.view(), 1, i, std::ldexp(x.at(1, i), static_cast<int>(i % 44) - 25));
        }
        const auto bytes = static_cast<std::size_t>((3 * width * 3 + 1) / 2);
        std::vector<std::uint8_t> want(bytes);
        std::vector<std::uint8_t> got(bytes);
        reference::quantize_e5m6({3, width, x.view(), want.data()});
        cpu::quantize_e5m6({3, width, x.view(), got.data()});
        CHECK(want == got);
        Buffer want_y(3, width, DType::bf16);
        Buffer got_y(3, width, DType::bf16);
        reference::dequantize_e5m6({3, width, want.data(), want_y.view()});
        cpu::dequantize_e5m6({3, width, want.data(), got_y.view()});
        CHECK(want_y.bytes() == got_y.bytes());
    }
}

}  // namespace r1
