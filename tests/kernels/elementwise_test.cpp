#include <cmath>
#include <vector>

#include "kernels/concat.hpp"
#include "kernels/embedding.hpp"
#include "kernels/quantize_fp8.hpp"
#include "kernels/residual_add.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/swiglu.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Buffer;

const std::vector<std::int64_t>& forward_widths() {
    static const std::vector<std::int64_t> list = {0, 1, 7, 64, 130, 1024, 1037, 2500};
    return list;
}

}  // namespace

TEST_CASE("rms_norm: by hand, over a part of the row", "[kernels]") {
    // mean(9, 16) = 12.5; the third column is not the norm's.
    std::vector<float> x = {3, 4, 100};
    std::vector<float> weight = {1, 2};
    std::vector<float> y(2);
    const RmsNormArgs args{1,
                           2,
                           0,
                           {x.data(), DType::f32, 3},
                           {weight.data(), DType::f32, 2},
                           {y.data(), DType::f32, 2}};
    for (const bool fast : {false, true}) {
        fast ? cpu::rms_norm(args) : reference::rms_norm(args);
        CHECK(y[0] == Approx(3 / std::sqrt(12.5)));
        CHECK(y[1] == Approx(8 / std::sqrt(12.5)));
    }
}

TEST_CASE("rms_norm: cpu agrees with the reference", "[kernels]") {
    for (const std::int64_t width : forward_widths()) {
        for (const std::int64_t rows : {0, 1, 9}) {
            for (const DType type : {DType::f32, DType::bf16}) {
                INFO(rows << "x" << width);
                Buffer x = Buffer::random(rows, width, type, 1, width + 64);
                Buffer weight = Buffer::random(1, width, type, 2);
                Buffer want(rows, width, type);
                Buffer got(rows, width, type);
                RmsNormArgs args{rows, width, 1e-6F, x.view(), weight.view(), want.view()};
                reference::rms_norm(args);
                args.y = got.view();
                cpu::rms_norm(args);
                // Two more roundings than the reference, of values below 4.
                CHECK(distance(want, got) <= 4 * (3 * 0x1p-24 + 2 * test::epsilon(type)));
            }
        }
    }
}

TEST_CASE("embedding: rows of the table", "[kernels]") {
    Buffer table = Buffer::random(10, 1500, DType::bf16, 3);
    std::vector<std::int32_t> ids = {9, 0, 3, 3};
    for (const DType type : {DType::f32, DType::bf16}) {
        Buffer want(4, 1500, type);
        Buffer got(4, 1500, type);
        EmbeddingArgs args{4, 1500, 10, ids.data(), table.view(), want.view()};
        reference::embedding(args);
        args.y = got.view();
        cpu::embedding(args);
        CHECK(want.bytes() == got.bytes());
        CHECK(got.at(2, 1499) == table.at(3, 1499));
    }
    ids[1] = 10;
    Buffer y(4, 1500, DType::f32);
    const EmbeddingArgs args{4, 1500, 10, ids.data(), table.view(), y.view()};
    CHECK_THROWS_AS(reference::embedding(args), InternalError);
    CHECK_THROWS_AS(cpu::embedding(args), InternalError);
}

TEST_CASE("swiglu: by hand", "[kernels]") {
    std::vector<float> gate_up = {0, 2, 5, 3};  // gates 0, 2; ups 5, 3
    std::vector<float> y(2);
    const float weight = 0.5F;
    for (const bool fast : {false, true}) {
        const SwigluArgs args{
            1,       2,      {gate_up.data(), DType::f32, 4}, &weight, {y.data(), DType::f32, 2},
            nullptr, nullptr};
        fast ? cpu::swiglu(args) : reference::swiglu(args);
        CHECK(y[0] == 0);
        CHECK(y[1] == Approx(0.5 * 3 * 2 / (1 + std::exp(-2.0))));
    }
}

TEST_CASE("swiglu: cpu agrees with the reference", "[kernels]") {
    for (const std::int64_t width : forward_widths()) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO("width " << width);
            const std::int64_t rows = 5;
            Buffer gate_up = Buffer::random(rows, 2 * width, type, 4, 2 * width + 1);
            Buffer weights = Buffer::random(1, rows, DType::f32, 5);
            Buffer want(rows, width, type);
            Buffer got(rows, width, type);
            SwigluArgs args;
            args.rows = rows;
            args.width = width;
            args.gate_up = gate_up.view();
            args.row_weights = static_cast<const float*>(weights.view().data);
            args.y = want.view();
            reference::swiglu(args);
            args.y = got.view();
            cpu::swiglu(args);
            CHECK(distance(want, got) <= 8 * 0x1p-24 + 2 * test::epsilon(type));
        }
    }
}

TEST_CASE("swiglu: fused quantisation is quantize_fp8 of the result, weights in the scales",
          "[kernels][fp8]") {
    const std::int64_t rows = 3;
    const std::int64_t width = 1300;
    Buffer gate_up = Buffer::random(rows, 2 * width, DType::f32, 6);
    const std::vector<float> weights = {0.5F, 0.25F, 2.0F};
    for (const bool fast : {false, true}) {
        Buffer act(rows, width, DType::f32);
        std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * width));
        std::vector<float> scales(static_cast<std::size_t>(rows * tiles(width)));
        std::vector<std::uint8_t> want_codes(codes.size());
        std::vector<float> want_scales(scales.size());
        SwigluArgs args{rows, width, gate_up.view(), nullptr, act.view(), nullptr, nullptr};
        fast ? cpu::swiglu(args) : reference::swiglu(args);
        reference::quantize_fp8({rows, width, act.view(), want_codes.data(), want_scales.data()});
        args.y = {};
        args.codes = codes.data();
        args.scales = scales.data();
        args.row_weights = weights.data();
        fast ? cpu::swiglu(args) : reference::swiglu(args);
        CHECK(codes == want_codes);
        for (std::size_t i = 0; i < scales.size(); ++i) {
            const auto row = i / static_cast<std::size_t>(tiles(width));
            CHECK(scales[i] == want_scales[i] * weights[row]);
        }
    }
}

TEST_CASE("residual_add and concat: cpu agrees with the reference to the bit", "[kernels]") {
    for (const std::int64_t width : forward_widths()) {
        for (std::int64_t terms = 2; terms <= 4; ++terms) {
            std::vector<Buffer> inputs;
            ResidualAddArgs args;
            for (std::uint64_t i = 0; i < 4; ++i) {
                inputs.push_back(Buffer::random(3, width, DType::bf16, 7 + i));
            }
            for (std::size_t i = 0; i < 4; ++i) {
                args.terms[i] = inputs[i].view();
            }
            Buffer want(3, width, DType::bf16);
            Buffer got(3, width, DType::bf16);
            args.rows = 3;
            args.width = width;
            args.term_count = terms;
            args.y = want.view();
            reference::residual_add(args);
            args.y = got.view();
            cpu::residual_add(args);
            CHECK(want.bytes() == got.bytes());
            args.y = inputs[0].view();  // in place
            cpu::residual_add(args);
            CHECK(inputs[0].bytes() == want.bytes());
        }
        Buffer a = Buffer::random(3, width, DType::bf16, 20);
        Buffer b = Buffer::random(3, 5, DType::bf16, 21);
        Buffer want(3, width + 5, DType::bf16);
        Buffer got(3, width + 5, DType::bf16);
        reference::concat({3, width, 5, a.view(), b.view(), want.view()});
        cpu::concat({3, width, 5, a.view(), b.view(), got.view()});
        CHECK(want.bytes() == got.bytes());
        CHECK(got.at(2, width + 4) == b.at(2, 4));
    }
}

}  // namespace r1
