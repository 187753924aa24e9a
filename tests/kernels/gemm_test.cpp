#include <cmath>
#include <cstring>
#include <numeric>
#include <tuple>
#include <vector>

#include "kernels/cpu/threads.hpp"
#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/grouped_gemm_bf16.hpp"
#include "kernels/grouped_gemm_fp8.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/gemm_operands.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::GemmShape;
using test::random_scales;
using test::Workspace;

// Odd, empty, a single row, around the tile, panel and depth borders.
const std::vector<GemmShape>& forward_shapes() {
    static const std::vector<GemmShape> list = {{1, 1, 1},       {0, 5, 7},      {3, 0, 4},
                                                {3, 5, 0},       {1, 33, 257},   {2, 31, 16},
                                                {15, 64, 96},    {14, 32, 256},  {29, 130, 300},
                                                {113, 100, 127}, {400, 40, 513}, {7, 300, 700}};
    return list;
}

// Sums of k products of values below 1 in float32: each of k additions rounds by at most half a
// unit of the running sum, |sum| <= k; in practice errors go as a walk. 4 sqrt(k) units of the
// typical sum sqrt(k) / 3, and the rounding of the result.
double product_tolerance(std::int64_t k, DType out) {
    const auto terms = static_cast<double>(k);
    return 4 * terms * 0x1p-24 + test::epsilon(out) * std::sqrt(terms) * 4;
}

void check_gemm(const GemmShape& s, DType x_type, DType w_type, DType y_type) {
    INFO(s.m << "x" << s.n << "x" << s.k);
    Buffer x = Buffer::random(s.m, s.k, x_type, 1, s.k + 3);
    Buffer w = Buffer::random(s.n, s.k, w_type, 2, s.k + 1);
    Buffer want(s.m, s.n, y_type, s.n + 5);
    Buffer got(s.m, s.n, y_type, s.n + 5);
    GemmBf16Args args{s.m, s.n, s.k, x.view(), w.view(), want.view(), {}};
    reference::gemm_bf16(args);
    Workspace workspace(cpu::gemm_bf16_workspace_bytes(args));
    args.workspace = workspace.span();
    args.y = got.view();
    cpu::gemm_bf16(args);
    CHECK(distance(want, got) <= product_tolerance(s.k, y_type));
}

}  // namespace

TEST_CASE("gemm_bf16: sums by hand", "[kernels][gemm]") {
    // [1 2; 3 4] [5 6; 7 8]^T = [17 23; 39 53]
    std::vector<float> x = {1, 2, 3, 4};
    std::vector<float> w = {5, 6, 7, 8};
    std::vector<float> y(4);
    GemmBf16Args args{
        2, 2, 2, {x.data(), DType::f32, 2}, {w.data(), DType::f32, 2}, {y.data(), DType::f32, 2},
        {}};
    reference::gemm_bf16(args);
    CHECK(y == std::vector<float>{17, 23, 39, 53});
    Workspace workspace(cpu::gemm_bf16_workspace_bytes(args));
    args.workspace = workspace.span();
    std::fill(y.begin(), y.end(), 0.0F);
    cpu::gemm_bf16(args);
    CHECK(y == std::vector<float>{17, 23, 39, 53});
}

TEST_CASE("gemm_bf16: cpu agrees with the reference", "[kernels][gemm]") {
    for (const GemmShape& shape : forward_shapes()) {
        check_gemm(shape, DType::bf16, DType::bf16, DType::bf16);
        check_gemm(shape, DType::f32, DType::f32, DType::f32);
        check_gemm(shape, DType::bf16, DType::bf16, DType::f32);
        check_gemm(shape, DType::f32, DType::bf16, DType::f32);
    }
}

TEST_CASE("gemm_bf16: a row is the same bytes alone and in a batch", "[kernels][gemm]") {
    const GemmShape s{37, 70, 600};
    for (const DType type : {DType::f32, DType::bf16}) {
        Buffer x = Buffer::random(s.m, s.k, type, 3);
        Buffer w = Buffer::random(s.n, s.k, type, 4);
        Buffer all(s.m, s.n, DType::f32);
        GemmBf16Args args{s.m, s.n, s.k, x.view(), w.view(), all.view(), {}};
        Workspace workspace(cpu::gemm_bf16_workspace_bytes(args));
        args.workspace = workspace.span();
        cpu::gemm_bf16(args);
        for (const std::int64_t row : {0, 13, 36}) {
            Buffer alone(1, s.n, DType::f32);
            const std::int64_t bytes = type == DType::bf16 ? 2 : 4;
            GemmBf16Args one = args;
            one.m = 1;
            one.x.data = x.codes() + row * s.k * bytes;
            one.y = alone.view();
            cpu::gemm_bf16(one);
            CHECK(std::memcmp(alone.codes(), all.codes() + row * s.n * 4,
                              static_cast<std::size_t>(s.n) * 4) == 0);
        }
    }
}

TEST_CASE("gemm_fp8: cpu agrees with the reference to the bit", "[kernels][gemm][fp8]") {
    for (const GemmShape& s : forward_shapes()) {
        INFO(s.m << "x" << s.n << "x" << s.k);
        Buffer x = Buffer::random(s.m, s.k, DType::e4m3, 5);
        Buffer w = Buffer::random(s.n, s.k, DType::e4m3, 6);
        const auto x_scales = random_scales(s.m * tiles(s.k), 7);
        const auto w_scales = random_scales(tiles(s.n) * tiles(s.k), 8);
        for (const DType type : {DType::f32, DType::bf16}) {
            Buffer want(s.m, s.n, type, s.n + 2);
            Buffer got(s.m, s.n, type, s.n + 2);
            GemmFp8Args args{
                s.m,         s.n, s.k, x.codes(), x_scales.data(), w.codes(), w_scales.data(),
                want.view(), {}};
            reference::gemm_fp8(args);
            Workspace workspace(cpu::gemm_fp8_workspace_bytes(args));
            args.workspace = workspace.span();
            args.y = got.view();
            cpu::gemm_fp8(args);
            CHECK(want.bytes() == got.bytes());
        }
    }
}

TEST_CASE("gemm_fp8: every code multiplies as its value", "[kernels][gemm][fp8]") {
    // x = one row of each code, W = 1: y = the value, NaN where the code is NaN.
    std::vector<std::uint8_t> x(256 * 16, 0);
    std::vector<std::uint8_t> w(32 * 16, 0);
    for (std::size_t code = 0; code < 256; ++code) {
        x[code * 16] = static_cast<std::uint8_t>(code);
    }
    for (std::size_t column = 0; column < 32; ++column) {
        w[column * 16] = 0x38;  // 1.0
    }
    const std::vector<float> scales(256, 1.0F);
    // The codes are the rows of x in one product and those of W in the other.
    for (const bool swap : {false, true}) {
        Buffer y(swap ? 32 : 256, swap ? 256 : 32, DType::f32);
        GemmFp8Args args{swap ? 32 : 256,
                         swap ? 256 : 32,
                         16,
                         swap ? w.data() : x.data(),
                         scales.data(),
                         swap ? x.data() : w.data(),
                         scales.data(),
                         y.view(),
                         {}};
        Workspace workspace(cpu::gemm_fp8_workspace_bytes(args));
        args.workspace = workspace.span();
        cpu::gemm_fp8(args);
        for (int code = 0; code < 256; ++code) {
            const float want = float_from_e4m3(static_cast<std::uint8_t>(code));
            const float got = swap ? y.at(7, code) : y.at(code, 7);
            INFO("code " << code);
            CHECK(((std::isnan(want) && std::isnan(got)) || want == got));
        }
    }
}

TEST_CASE("grouped gemm: each expert's rows by its weights", "[kernels][gemm]") {
    const std::int64_t n = 45;
    const std::int64_t k = 200;
    // Empty experts at both ends and in the middle; one larger than a tile.
    for (const std::vector<std::int32_t>& offsets :
         {std::vector<std::int32_t>{0, 0, 3, 3, 20, 21, 21}, std::vector<std::int32_t>{0, 0, 0},
          std::vector<std::int32_t>{0, 450, 460}}) {
        const auto experts = static_cast<std::int64_t>(offsets.size()) - 1;
        const std::int64_t rows = offsets.back();
        Buffer x = Buffer::random(rows, k, DType::bf16, 9);
        Buffer w = Buffer::random(experts * n, k, DType::bf16, 10);
        Buffer want(rows, n, DType::bf16);
        Buffer got(rows, n, DType::bf16);
        GroupedGemmBf16Args args{experts,  n,        k,           offsets.data(),
                                 x.view(), w.view(), want.view(), {}};
        reference::grouped_gemm_bf16(args);
        Workspace workspace(cpu::grouped_gemm_bf16_workspace_bytes(args));
        args.workspace = workspace.span();
        args.y = got.view();
        cpu::grouped_gemm_bf16(args);
        CHECK(distance(want, got) <= product_tolerance(k, DType::bf16));

        Buffer x8 = Buffer::random(rows, k, DType::e4m3, 11);
        Buffer w8 = Buffer::random(experts * n, k, DType::e4m3, 12);
        const auto x_scales = random_scales(rows * tiles(k), 13);
        const auto w_scales = random_scales(experts * tiles(n) * tiles(k), 14);
        GroupedGemmFp8Args fp8{experts,
                               rows,
                               n,
                               k,
                               offsets.data(),
                               x8.codes(),
                               x_scales.data(),
                               w8.codes(),
                               w_scales.data(),
                               want.view(),
                               workspace.span()};
        reference::grouped_gemm_fp8(fp8);
        fp8.y = got.view();
        cpu::grouped_gemm_fp8(fp8);
        CHECK(want.bytes() == got.bytes());
    }
}

TEST_CASE("gemm: the same bytes for any number of threads", "[kernels][gemm]") {
    const GemmShape s{50, 500, 300};
    Buffer x = Buffer::random(s.m, s.k, DType::f32, 15);
    Buffer w = Buffer::random(s.n, s.k, DType::f32, 16);
    const std::int64_t before = cpu::thread_count();
    std::vector<std::vector<std::uint8_t>> results;
    for (const int threads : {1, 2, 3, 7}) {
        cpu::set_thread_count(threads);
        Buffer y(s.m, s.n, DType::f32);
        GemmBf16Args args{s.m, s.n, s.k, x.view(), w.view(), y.view(), {}};
        Workspace workspace(cpu::gemm_bf16_workspace_bytes(args));
        args.workspace = workspace.span();
        cpu::gemm_bf16(args);
        results.push_back(y.bytes());
    }
    cpu::set_thread_count(before);
    for (const auto& result : results) {
        CHECK(result == results.front());
    }
}

}  // namespace r1
