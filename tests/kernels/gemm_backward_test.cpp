// Products of the backward pass: gradients of inputs (W as its layer stores it) and of weights
// (sums over tokens, added to what is there). The oracle of the values is an independent sum here,
// in double; where two kernels promise the same arithmetic they are compared to the bit.
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cpu/threads.hpp"
#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_bf16_wgrad.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/gemm_fp8_wgrad.hpp"
#include "kernels/grouped_gemm_bf16.hpp"
#include "kernels/grouped_gemm_bf16_wgrad.hpp"
#include "kernels/grouped_gemm_fp8.hpp"
#include "kernels/grouped_gemm_fp8_wgrad.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/gemm_operands.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::floats;
using test::GemmShape;
using test::random_scales;
using test::Workspace;

// Odd, empty, a single row, around the block, tile, panel and depth borders.
const std::vector<GemmShape>& backward_shapes() {
    static const std::vector<GemmShape> list = {
        {1, 1, 1},    {0, 5, 7},     {3, 0, 4},      {3, 5, 0},      {1, 33, 257},  {31, 16, 2},
        {64, 96, 15}, {16, 32, 256}, {29, 130, 300}, {113, 100, 33}, {400, 33, 40}, {17, 300, 270}};
    return list;
}

// Experts without rows at both ends and between, borders inside of tiles and on them.
const std::vector<std::vector<std::int32_t>>& groups() {
    static const std::vector<std::vector<std::int32_t>> list = {
        {0, 0, 3, 3, 20, 21, 21}, {0, 0, 0}, {0, 130, 256, 390, 400}, {0, 70, 330}, {0, 300}};
    return list;
}

Buffer transposed(Buffer& from, std::int64_t rows, std::int64_t width, DType dtype) {
    Buffer to(width, rows, dtype);
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t i = 0; i < width; ++i) {
            store(to.view(), i, row, from.at(row, i));
        }
    }
    return to;
}

std::vector<float> transposed(const std::vector<float>& from, std::int64_t rows,
                              std::int64_t width) {
    std::vector<float> to(from.size());
    for (std::int64_t i = 0; i < rows * width; ++i) {
        to[static_cast<std::size_t>(i % width * rows + i / width)] =
            from[static_cast<std::size_t>(i)];
    }
    return to;
}

// Runs the kernel, giving it the workspace that it asks for and no more.
template <class Args>
void run(void (*kernel)(const Args&), std::size_t (*workspace_bytes)(const Args&), Args args) {
    Workspace workspace(workspace_bytes(args));
    args.workspace = workspace.span();
    kernel(args);
}

// Compares [rows, columns] of y with the products of x_at(row, i) and w_at(i, column) for i in
// [begin, end), in double, plus `before`. Float32 sums of k products below 1 round by at most half
// a unit of the running sum in each addition.
struct ProductOracle {
    std::function<double(std::int64_t, std::int64_t)> x_at;
    std::function<double(std::int64_t, std::int64_t)> w_at;
    std::function<double(std::int64_t, std::int64_t)> before;

    void check(const Buffer& y, std::int64_t row0, std::int64_t rows, std::int64_t columns,
               std::int64_t begin, std::int64_t end, DType type) const {
        int wrong = 0;
        for (std::int64_t row = row0; row < row0 + rows; ++row) {
            for (std::int64_t column = 0; column < columns; ++column) {
                double sum = before(row, column);
                double magnitude = std::abs(sum);
                for (std::int64_t i = begin; i < end; ++i) {
                    const double product = x_at(row, i) * w_at(i, column);
                    sum += product;
                    magnitude += std::abs(product);
                }
                const double tolerance =
                    static_cast<double>(end - begin + 3) * 0x1p-24 * magnitude +
                    test::epsilon(type) * std::abs(sum);
                wrong += std::abs(y.at(row, column) - sum) <= tolerance ? 0 : 1;
            }
        }
        CHECK(wrong == 0);
    }
};

double nothing(std::int64_t /*row*/, std::int64_t /*column*/) { return 0; }

std::string text(const GemmShape& s) {
    return std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k);
}

}  // namespace

TEST_CASE("gemm_bf16: the gradient of the input reads W as it is stored", "[kernels][gemm]") {
    for (const GemmShape& s : backward_shapes()) {
        for (const DType type : {DType::bf16, DType::f32}) {
            INFO(text(s));
            Buffer x = Buffer::random(s.m, s.k, type, 1, s.k + 3);
            Buffer w = Buffer::random(s.k, s.n, type, 2, s.n + 1);
            Buffer w_forward = transposed(w, s.k, s.n, type);
            Buffer want(s.m, s.n, type, s.n + 5);
            Buffer got(s.m, s.n, type, s.n + 5);
            GemmBf16Args args{s.m, s.n, s.k, x.view(), w_forward.view(), want.view(), {}};
            run(cpu::gemm_bf16, cpu::gemm_bf16_workspace_bytes, args);
            args.w = w.view();
            args.w_transposed = true;
            args.y = got.view();
            run(cpu::gemm_bf16, cpu::gemm_bf16_workspace_bytes, args);
            CHECK(want.bytes() == got.bytes());  // the order of the sums is the same
            const ProductOracle oracle{[&](auto row, auto i) { return x.at(row, i); },
                                       [&](auto i, auto column) { return w.at(i, column); },
                                       nothing};
            oracle.check(got, 0, s.m, s.n, 0, s.k, type);
            reference::gemm_bf16(args);
            oracle.check(got, 0, s.m, s.n, 0, s.k, type);
        }
    }
}

TEST_CASE("gemm_bf16: adds to y", "[kernels][gemm]") {
    for (const GemmShape& s : backward_shapes()) {
        for (const bool w_transposed : {false, true}) {
            INFO(text(s));
            Buffer x = Buffer::random(s.m, s.k, DType::bf16, 1);
            Buffer w = w_transposed ? Buffer::random(s.k, s.n, DType::bf16, 2)
                                    : Buffer::random(s.n, s.k, DType::bf16, 2);
            Buffer before = Buffer::random(s.m, s.n, DType::f32, 3, s.n + 2);
            const ProductOracle oracle{
                [&](auto row, auto i) { return x.at(row, i); },
                [&](auto i, auto column) {
                    return w_transposed ? w.at(i, column) : w.at(column, i);
                },
                [&](auto row, auto column) { return before.at(row, column); }};
            GemmBf16Args args{s.m, s.n, s.k, x.view(), w.view(), {}, {}};
            args.w_transposed = w_transposed;
            args.accumulate = true;
            Buffer y = before;
            args.y = y.view();
            run(cpu::gemm_bf16, cpu::gemm_bf16_workspace_bytes, args);
            oracle.check(y, 0, s.m, s.n, 0, s.k, DType::f32);
            y = before;
            args.y = y.view();
            reference::gemm_bf16(args);
            oracle.check(y, 0, s.m, s.n, 0, s.k, DType::f32);
        }
    }
}

TEST_CASE("gemm_fp8: the gradient of the input reads W and its scales as they are stored",
          "[kernels][gemm][fp8]") {
    for (const GemmShape& s : backward_shapes()) {
        INFO(text(s));
        Buffer x = Buffer::random(s.m, s.k, DType::e4m3, 5);
        Buffer w = Buffer::random(s.k, s.n, DType::e4m3, 6);
        const auto x_scales = random_scales(s.m * tiles(s.k), 7);
        const auto w_scales = random_scales(tiles(s.k) * tiles(s.n), 8);
        Buffer w_forward = transposed(w, s.k, s.n, DType::e4m3);
        const auto forward_scales = transposed(w_scales, tiles(s.k), tiles(s.n));
        for (const DType type : {DType::f32, DType::bf16}) {
            Buffer want(s.m, s.n, type, s.n + 2);
            Buffer got(s.m, s.n, type, s.n + 2);
            GemmFp8Args args{s.m,
                             s.n,
                             s.k,
                             x.codes(),
                             x_scales.data(),
                             w_forward.codes(),
                             forward_scales.data(),
                             want.view(),
                             {}};
            reference::gemm_fp8(args);
            args.w = w.codes();
            args.w_scales = w_scales.data();
            args.w_transposed = true;
            args.y = got.view();
            reference::gemm_fp8(args);
            CHECK(want.bytes() == got.bytes());
            Buffer fast(s.m, s.n, type, s.n + 2);
            args.y = fast.view();
            run(cpu::gemm_fp8, cpu::gemm_fp8_workspace_bytes, args);
            CHECK(want.bytes() == fast.bytes());
        }
    }
}

TEST_CASE("grouped gemm: gradients of the inputs of experts", "[kernels][gemm]") {
    const std::int64_t n = 37;
    const std::int64_t k = 140;
    for (const std::vector<std::int32_t>& offsets : groups()) {
        const auto experts = static_cast<std::int64_t>(offsets.size()) - 1;
        const std::int64_t rows = offsets.back();
        Buffer x = Buffer::random(rows, k, DType::bf16, 9);
        Buffer w = Buffer::random(experts * k, n, DType::bf16, 10);
        Buffer x8 = Buffer::random(rows, k, DType::e4m3, 11);
        Buffer w8 = Buffer::random(experts * k, n, DType::e4m3, 12);
        const auto x_scales = random_scales(rows * tiles(k), 13);
        const auto w_scales = random_scales(experts * tiles(k) * tiles(n), 14);
        Buffer y(rows, n, DType::f32);
        Buffer fast(rows, n, DType::f32);
        Buffer y8(rows, n, DType::f32);
        Buffer fast8(rows, n, DType::f32);
        GroupedGemmBf16Args args{experts, n, k, offsets.data(), x.view(), w.view(), y.view(), {}};
        args.w_transposed = true;
        reference::grouped_gemm_bf16(args);
        args.y = fast.view();
        run(cpu::grouped_gemm_bf16, cpu::grouped_gemm_bf16_workspace_bytes, args);
        GroupedGemmFp8Args fp8{experts,
                               rows,
                               n,
                               k,
                               offsets.data(),
                               x8.codes(),
                               x_scales.data(),
                               w8.codes(),
                               w_scales.data(),
                               y8.view(),
                               {}};
        fp8.w_transposed = true;
        reference::grouped_gemm_fp8(fp8);
        fp8.y = fast8.view();
        run(cpu::grouped_gemm_fp8, cpu::grouped_gemm_fp8_workspace_bytes, fp8);
        CHECK(y8.bytes() == fast8.bytes());
        for (std::int64_t e = 0; e < experts; ++e) {
            const std::int64_t first = offsets[static_cast<std::size_t>(e)];
            const std::int64_t count = offsets[static_cast<std::size_t>(e) + 1] - first;
            const ProductOracle oracle{[&](auto row, auto i) { return x.at(row, i); },
                                       [&](auto i, auto column) { return w.at(e * k + i, column); },
                                       nothing};
            oracle.check(y, first, count, n, 0, k, DType::f32);
            oracle.check(fast, first, count, n, 0, k, DType::f32);
            const auto scale = [](const std::vector<float>& scales, std::int64_t at) {
                return static_cast<double>(scales[static_cast<std::size_t>(at)]);
            };
            const ProductOracle oracle8{
                [&](auto row, auto i) {
                    return x8.at(row, i) * scale(x_scales, row * tiles(k) + i / kTile);
                },
                [&](auto i, auto column) {
                    return w8.at(e * k + i, column) *
                           scale(w_scales, (e * tiles(k) + i / kTile) * tiles(n) + column / kTile);
                },
                nothing};
            oracle8.check(fast8, first, count, n, 0, k, DType::f32);
        }
    }
}

TEST_CASE("gemm_bf16_wgrad: sums over the tokens, added to y", "[kernels][gemm]") {
    for (const GemmShape& s : backward_shapes()) {
        for (const DType type : {DType::bf16, DType::f32}) {
            INFO(text(s));
            Buffer grad = Buffer::random(s.k, s.m, type, 1, s.m + 3);
            Buffer x = Buffer::random(s.k, s.n, type, 2, s.n + 1);
            Buffer before = Buffer::random(s.m, s.n, DType::f32, 3);
            const ProductOracle oracle{
                [&](auto row, auto i) { return grad.at(i, row); },
                [&](auto i, auto column) { return x.at(i, column); },
                [&](auto row, auto column) { return before.at(row, column); }};
            Buffer y = before;
            GemmBf16WgradArgs args{s.m, s.n, s.k, grad.view(), x.view(), floats(y), {}};
            reference::gemm_bf16_wgrad(args);
            oracle.check(y, 0, s.m, s.n, 0, s.k, DType::f32);
            y = before;
            args.y = floats(y);
            run(cpu::gemm_bf16_wgrad, cpu::gemm_bf16_wgrad_workspace_bytes, args);
            oracle.check(y, 0, s.m, s.n, 0, s.k, DType::f32);
            // The same from transposed operands.
            Buffer grad_t = transposed(grad, s.k, s.m, type);
            Buffer x_t = transposed(x, s.k, s.n, type);
            Buffer same = before;
            GemmBf16Args plain{s.m, s.n, s.k, grad_t.view(), x_t.view(), same.view(), {}};
            plain.accumulate = true;
            run(cpu::gemm_bf16, cpu::gemm_bf16_workspace_bytes, plain);
            CHECK(same.bytes() == y.bytes());
        }
    }
}

TEST_CASE("grouped_gemm_bf16_wgrad: each expert sums over its rows", "[kernels][gemm]") {
    const std::int64_t m = 50;
    const std::int64_t n = 70;
    for (const std::vector<std::int32_t>& offsets : groups()) {
        const auto experts = static_cast<std::int64_t>(offsets.size()) - 1;
        const std::int64_t rows = offsets.back();
        Buffer grad = Buffer::random(rows, m, DType::bf16, 1, m + 3);
        Buffer x = Buffer::random(rows, n, DType::bf16, 2, n + 1);
        Buffer before = Buffer::random(experts * m, n, DType::f32, 3);
        Buffer grad_t = transposed(grad, rows, m, DType::bf16);
        Buffer x_t = transposed(x, rows, n, DType::bf16);
        std::vector<Buffer> results;
        for (const bool is_transposed : {false, true}) {
            for (const bool fast : {false, true}) {
                Buffer y = before;
                GroupedGemmBf16WgradArgs args{experts,     m,        n,         offsets.data(),
                                              grad.view(), x.view(), floats(y), {}};
                if (is_transposed) {
                    args.grad = grad_t.view();
                    args.x = x_t.view();
                    args.transposed = true;
                }
                if (fast) {
                    run(cpu::grouped_gemm_bf16_wgrad, cpu::grouped_gemm_bf16_wgrad_workspace_bytes,
                        args);
                } else {
                    reference::grouped_gemm_bf16_wgrad(args);
                }
                results.push_back(y);
            }
        }
        CHECK(results[0].bytes() == results[2].bytes());
        CHECK(results[1].bytes() == results[3].bytes());
        for (std::int64_t e = 0; e < experts; ++e) {
            const ProductOracle oracle{
                [&](auto row, auto i) { return grad.at(i, row - e * m); },
                [&](auto i, auto column) { return x.at(i, column); },
                [&](auto row, auto column) { return before.at(row, column); }};
            const std::int64_t begin = offsets[static_cast<std::size_t>(e)];
            const std::int64_t end = offsets[static_cast<std::size_t>(e) + 1];
            oracle.check(results[0], e * m, m, n, begin, end, DType::f32);
            oracle.check(results[1], e * m, m, n, begin, end, DType::f32);
        }
    }
}

namespace {

// Two operands of a weight gradient in 1x128 tiles along `tokens`.
struct Fp8Operands {
    Fp8Operands(std::int64_t m, std::int64_t n, std::int64_t tokens_)
        : tokens(tokens_),
          grad(Buffer::random(m, tokens, DType::e4m3, 21)),
          x(Buffer::random(n, tokens, DType::e4m3, 22)),
          grad_scales(random_scales(m * tiles(tokens), 23)),
          x_scales(random_scales(n * tiles(tokens), 24)) {}

    [[nodiscard]] double value(const Buffer& codes, const std::vector<float>& scales,
                               std::int64_t row, std::int64_t token) const {
        const std::int64_t at = row * tiles(tokens) + token / kTile;
        return static_cast<double>(codes.at(row, token)) * scales[static_cast<std::size_t>(at)];
    }
    [[nodiscard]] ProductOracle oracle(const Buffer& before, std::int64_t row0) const {
        return {[this, row0](auto row, auto i) { return value(grad, grad_scales, row - row0, i); },
                [this](auto i, auto column) { return value(x, x_scales, column, i); },
                [&before](auto row, auto column) { return before.at(row, column); }};
    }

    std::int64_t tokens;
    Buffer grad;
    Buffer x;
    std::vector<float> grad_scales;
    std::vector<float> x_scales;
};

}  // namespace

TEST_CASE("gemm_fp8_wgrad: tiles along the tokens on both sides", "[kernels][gemm][fp8]") {
    for (const GemmShape& s : backward_shapes()) {
        INFO(text(s));
        Fp8Operands operands(s.m, s.n, s.k);
        const Buffer before = Buffer::random(s.m, s.n, DType::f32, 25);
        Buffer want = before;
        Buffer got = before;
        GemmFp8WgradArgs args{s.m,
                              s.n,
                              s.k,
                              operands.grad.codes(),
                              operands.grad_scales.data(),
                              operands.x.codes(),
                              operands.x_scales.data(),
                              floats(want),
                              {}};
        reference::gemm_fp8_wgrad(args);
        operands.oracle(before, 0).check(want, 0, s.m, s.n, 0, s.k, DType::f32);
        args.y = floats(got);
        run(cpu::gemm_fp8_wgrad, cpu::gemm_fp8_wgrad_workspace_bytes, args);
        CHECK(want.bytes() == got.bytes());
    }
}

TEST_CASE("gemm_fp8_wgrad: promotes sums of 128 tokens and not of more", "[kernels][gemm][fp8]") {
    // The first tile is 2^26. A 1 added to that is lost; 128 of them, summed first, are
    // not.
    const std::int64_t tokens = 2 * kTile;
    std::vector<std::uint8_t> grad(static_cast<std::size_t>(tokens), e4m3_from_float(1));
    std::vector<std::uint8_t> x(static_cast<std::size_t>(tokens), e4m3_from_float(1));
    const std::vector<float> grad_scales = {0x1p19F, 1};
    const std::vector<float> x_scales = {1, 1};
    for (const bool fast : {false, true}) {
        float y = 0;
        GemmFp8WgradArgs args{
            1, 1, tokens, grad.data(), grad_scales.data(), x.data(), x_scales.data(), &y, {}};
        if (fast) {
            run(cpu::gemm_fp8_wgrad, cpu::gemm_fp8_wgrad_workspace_bytes, args);
        } else {
            reference::gemm_fp8_wgrad(args);
        }
        CHECK(y == 0x1p26F + 128);
    }
}

TEST_CASE("grouped_gemm_fp8_wgrad: an expert may begin inside a tile", "[kernels][gemm][fp8]") {
    const std::int64_t m = 50;
    const std::int64_t n = 70;
    for (const std::vector<std::int32_t>& offsets : groups()) {
        const auto experts = static_cast<std::int64_t>(offsets.size()) - 1;
        Fp8Operands operands(m, n, offsets.back());
        const Buffer before = Buffer::random(experts * m, n, DType::f32, 25);
        Buffer want = before;
        Buffer got = before;
        GroupedGemmFp8WgradArgs args{experts,
                                     offsets.back(),
                                     m,
                                     n,
                                     offsets.data(),
                                     operands.grad.codes(),
                                     operands.grad_scales.data(),
                                     operands.x.codes(),
                                     operands.x_scales.data(),
                                     floats(want),
                                     {}};
        reference::grouped_gemm_fp8_wgrad(args);
        args.y = floats(got);
        run(cpu::grouped_gemm_fp8_wgrad, cpu::grouped_gemm_fp8_wgrad_workspace_bytes, args);
        CHECK(want.bytes() == got.bytes());
        for (std::int64_t e = 0; e < experts; ++e) {
            operands.oracle(before, e * m)
                .check(want, e * m, m, n, offsets[static_cast<std::size_t>(e)],
                       offsets[static_cast<std::size_t>(e) + 1], DType::f32);
        }
    }
}

TEST_CASE("weight gradients: the same bytes for any number of threads", "[kernels][gemm]") {
    const std::int64_t m = 500;
    const std::int64_t n = 300;
    const std::vector<std::int32_t> offsets = {0, 70, 330, 390};
    Buffer grad = Buffer::random(390, m, DType::f32, 1);
    Buffer x = Buffer::random(390, n, DType::f32, 2);
    Fp8Operands operands(m, n, 390);
    const std::int64_t before = cpu::thread_count();
    std::vector<std::vector<std::uint8_t>> results;
    for (const int threads : {1, 2, 3, 7}) {
        cpu::set_thread_count(threads);
        Buffer y = Buffer::random(3 * m, n, DType::f32, 3);
        run(cpu::gemm_bf16_wgrad, cpu::gemm_bf16_wgrad_workspace_bytes,
            GemmBf16WgradArgs{m, n, 390, grad.view(), x.view(), floats(y), {}});
        run(cpu::grouped_gemm_bf16_wgrad, cpu::grouped_gemm_bf16_wgrad_workspace_bytes,
            GroupedGemmBf16WgradArgs{
                3, m, n, offsets.data(), grad.view(), x.view(), floats(y), {}});
        run(cpu::grouped_gemm_fp8_wgrad, cpu::grouped_gemm_fp8_wgrad_workspace_bytes,
            GroupedGemmFp8WgradArgs{3,
                                    390,
                                    m,
                                    n,
                                    offsets.data(),
                                    operands.grad.codes(),
                                    operands.grad_scales.data(),
                                    operands.x.codes(),
                                    operands.x_scales.data(),
                                    floats(y),
                                    {}});
        results.push_back(y.bytes());
    }
    cpu::set_thread_count(before);
    for (const auto& result : results) {
        CHECK(result == results.front());
    }
}

}  // namespace r1
