#include <cmath>
#include <utility>
#include <vector>

#include "kernels/concat.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rms_norm_backward.hpp"
#include "kernels/rope.hpp"
#include "kernels/rope_backward.hpp"
#include "kernels/split.hpp"
#include "kernels/swiglu.hpp"
#include "kernels/swiglu_backward.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/numeric_gradient.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::Doubles;
using test::floats;
using test::Workspace;

const std::vector<std::int64_t>& backward_widths() {
    static const std::vector<std::int64_t> list = {0, 1, 7, 130, 1024, 1037, 2500};
    return list;
}

// A large epsilon, so that narrow rows do not have large gradients.
constexpr float kEpsilon = 0.125F;

struct NormProblem {
    NormProblem(std::int64_t rows_, std::int64_t width_, std::int64_t tail_, DType type)
        : rows(rows_),
          width(width_),
          tail_width(tail_),
          x(Buffer::random(rows, width + tail_width, type, 1, width + tail_width + 5)),
          grad(Buffer::random(rows, width, type, 2, width + 1)),
          weight(Buffer::random(1, width, type, 3)),
          residual(Buffer::random(rows, width, type, 4)),
          tail(Buffer::random(rows, tail_width, type, 5)),
          dx(rows, width + tail_width, type),
          weight_grad(Buffer::random(1, width, DType::f32, 6)) {
        args.rows = rows;
        args.width = width;
        args.tail_width = tail_width;
        args.epsilon = kEpsilon;
        args.x = x.view();
        args.grad = grad.view();
        args.weight = weight.view();
        args.tail = tail.view();
        args.dx = dx.view();
        args.weight_grad = floats(weight_grad);
    }

    void run(bool fast) {
        Workspace workspace(fast ? cpu::rms_norm_backward_workspace_bytes(args) : 0);
        args.workspace = workspace.span();
        fast ? cpu::rms_norm_backward(args) : reference::rms_norm_backward(args);
    }

    std::int64_t rows;
    std::int64_t width;
    std::int64_t tail_width;
    Buffer x;
    Buffer grad;
    Buffer weight;
    Buffer residual;
    Buffer tail;
    Buffer dx;
    Buffer weight_grad;
    RmsNormBackwardArgs args;
};

// The sum of grad * rms_norm(x), in double. All are [rows, width].
double norm_loss(const Doubles& x, const Doubles& weight, const Doubles& grad) {
    const std::size_t width = weight.size();
    double loss = 0;
    for (std::size_t row = 0; row < x.size() / width; ++row) {
        double squares = 0;
        double sum = 0;
        for (std::size_t i = 0; i < width; ++i) {
            const double value = x[row * width + i];
            squares += value * value;
            sum += value * weight[i] * grad[row * width + i];
        }
        loss += sum / std::sqrt(squares / static_cast<double>(width) + kEpsilon);
    }
    return loss;
}

// The sum of d_act * swiglu(gate_up) * weight, in double.
double swiglu_loss(const Doubles& gate_up, const Doubles& weights, const Doubles& d_act) {
    const std::size_t width = d_act.size() / weights.size();
    double loss = 0;
    for (std::size_t i = 0; i < d_act.size(); ++i) {
        const std::size_t at = i / width * 2 * width + i % width;
        const double gate = gate_up[at];
        loss += d_act[i] * weights[i / width] * gate / (1 + std::exp(-gate)) * gate_up[at + width];
    }
    return loss;
}

constexpr std::int64_t kHeads = 3;
constexpr std::int64_t kNope = 5;
constexpr std::int64_t kRope = 6;
constexpr std::int64_t kV = 4;
constexpr std::int64_t kQkWidth = kHeads * (kNope + kRope);
constexpr std::int64_t kKvWidth = kHeads * (kNope + kV);
const std::vector<float> kFrequencies = {1.0F, 0.1F, 0.01F};

struct RopeProblem {
    RopeProblem(std::int64_t tokens_, DType type)
        : tokens(tokens_),
          q_rope_grad(Buffer::random(tokens, kQkWidth, type, 1, kQkWidth + 3)),
          k_grad(Buffer::random(tokens, kQkWidth, type, 2)),
          v_grad(Buffer::random(tokens, kHeads * kV, type, 3)),
          q_grad(tokens, kQkWidth, type),
          kv_grad(tokens, kKvWidth, type, kKvWidth + 2),
          k_rope_grad(tokens, kRope, type) {
        for (std::int32_t t = 0; t < tokens; ++t) {
            positions.push_back(3000 * t + 5);
        }
        args.tokens = tokens;
        args.heads = kHeads;
        args.nope_dim = kNope;
        args.rope_dim = kRope;
        args.v_dim = kV;
        args.positions = positions.data();
        args.frequencies = kFrequencies.data();
        args.magnitude = 1.25F;
        args.q_rope_grad = q_rope_grad.view();
        args.k_grad = k_grad.view();
        args.v_grad = v_grad.view();
        args.q_grad = q_grad.view();
        args.kv_grad = kv_grad.view();
        args.k_rope_grad = k_rope_grad.view();
    }

    std::int64_t tokens;
    std::vector<std::int32_t> positions;
    Buffer q_rope_grad;
    Buffer k_grad;
    Buffer v_grad;
    Buffer q_grad;
    Buffer kv_grad;
    Buffer k_rope_grad;
    RopeBackwardArgs args;
};

// The inputs of rope(), all zero but one element, and what comes out times the gradients. rope()
// is linear, so that is the gradient of the element.
class RopeUnit {
public:
    RopeUnit(const RopeProblem& problem, std::int64_t token)
        : problem_(problem), token_(token), q_(kQkWidth), kv_a_(kRope), kv_(kKvWidth) {}

    double q(std::size_t i) { return respond(q_[i]); }
    double k_rope(std::size_t i) { return respond(kv_a_[i]); }
    double kv(std::size_t i) { return respond(kv_[i]); }

private:
    double respond(float& element) {
        element = 1;
        std::vector<float> q_rope(kQkWidth);
        std::vector<float> k(kQkWidth);
        RopeArgs args;
        args.tokens = 1;
        args.heads = kHeads;
        args.nope_dim = kNope;
        args.rope_dim = kRope;
        args.v_dim = kV;
        args.positions = problem_.positions.data() + token_;
        args.frequencies = kFrequencies.data();
        args.magnitude = problem_.args.magnitude;
        args.q = {q_.data(), DType::f32, kQkWidth};
        args.kv_a = {kv_a_.data(), DType::f32, kRope};
        args.kv = {kv_.data(), DType::f32, kKvWidth};
        args.q_rope = {q_rope.data(), DType::f32, kQkWidth};
        args.k = {k.data(), DType::f32, kQkWidth};
        reference::rope(args);
        element = 0;
        double sum = 0;
        for (std::int64_t i = 0; i < kQkWidth; ++i) {
            const auto at = static_cast<std::size_t>(i);
            sum += static_cast<double>(q_rope[at]) * problem_.q_rope_grad.at(token_, i) +
                   static_cast<double>(k[at]) * problem_.k_grad.at(token_, i);
        }
        return sum;
    }

    const RopeProblem& problem_;
    std::int64_t token_;
    std::vector<float> q_;
    std::vector<float> kv_a_;
    std::vector<float> kv_;
};

}  // namespace

TEST_CASE("rms_norm_backward: central differences", "[kernels]") {
    const std::int64_t rows = 3;
    const std::int64_t width = 5;
    NormProblem problem(rows, width, 0, DType::f32);
    const Doubles x = test::values(problem.x, rows, width);
    const Doubles weight = test::values(problem.weight, 1, width);
    const Doubles grad = test::values(problem.grad, rows, width);
    const Doubles weight_before = test::values(problem.weight_grad, 1, width);
    problem.run(false);

    Buffer y(rows, width, DType::f32);
    reference::rms_norm({rows, width, kEpsilon, problem.args.x, problem.args.weight, y.view()});
    CHECK(norm_loss(x, weight, grad) ==
          Approx(test::dot(grad, test::values(y, rows, width))).epsilon(1e-6));

    const Doubles dx =
        test::numeric_gradient(x, [&](const Doubles& at) { return norm_loss(at, weight, grad); });
    CHECK(test::largest_distance(test::values(problem.dx, rows, width), dx) <= 1e-6);
    Doubles added =
        test::numeric_gradient(weight, [&](const Doubles& at) { return norm_loss(x, at, grad); });
    for (std::size_t i = 0; i < added.size(); ++i) {
        added[i] += weight_before[i];
    }
    CHECK(test::largest_distance(test::values(problem.weight_grad, 1, width), added) <= 1e-6);
}

TEST_CASE("rms_norm_backward: adds the residual, copies the tail", "[kernels]") {
    for (const bool fast : {false, true}) {
        NormProblem plain(9, 70, 3, DType::f32);
        plain.run(fast);
        NormProblem problem(9, 70, 3, DType::f32);
        problem.args.residual = problem.residual.view();
        problem.run(fast);
        for (std::int64_t row = 0; row < 9; ++row) {
            for (std::int64_t i = 0; i < 70; ++i) {
                CHECK(problem.dx.at(row, i) ==
                      Approx(plain.dx.at(row, i) + problem.residual.at(row, i)).margin(1e-6));
            }
            for (std::int64_t i = 0; i < 3; ++i) {
                CHECK(problem.dx.at(row, 70 + i) == problem.tail.at(row, i));
            }
        }
        CHECK(problem.weight_grad.bytes() == plain.weight_grad.bytes());
    }
}

TEST_CASE("rms_norm_backward: cpu agrees with the reference", "[kernels]") {
    for (const std::int64_t width : backward_widths()) {
        for (const std::int64_t rows : {0, 1, 9, 40}) {
            for (const DType type : {DType::f32, DType::bf16}) {
                INFO(rows << "x" << width);
                NormProblem want(rows, width, 4, type);
                NormProblem got(rows, width, 4, type);
                want.args.residual = want.residual.view();
                got.args.residual = got.residual.view();
                want.run(false);
                got.run(true);
                CHECK(distance(want.dx, got.dx) <= 0x1p-20 + 8 * test::epsilon(type));
                // Each row adds one rounding of a sum below 8.
                CHECK(distance(want.weight_grad, got.weight_grad) <=
                      0x1p-21 * static_cast<double>(rows));
            }
        }
    }
}

TEST_CASE("rms_norm_backward: the same bytes for any number of threads", "[kernels]") {
    // More than 64 blocks of 16 rows.
    CHECK(test::same_for_any_threads([] {
        NormProblem problem(1100, 40, 2, DType::bf16);
        problem.run(true);
        return std::pair(problem.dx.bytes(), problem.weight_grad.bytes());
    }));
}

TEST_CASE("swiglu_backward: central differences", "[kernels]") {
    const std::int64_t rows = 3;
    const std::int64_t width = 4;
    Buffer gate_up = Buffer::random(rows, 2 * width, DType::f32, 1);
    Buffer d_act = Buffer::random(rows, width, DType::f32, 2);
    Buffer weights = Buffer::random(1, rows, DType::f32, 3);
    Buffer d_gate_up(rows, 2 * width, DType::f32);
    Buffer act(rows, width, DType::f32);
    Buffer route_grad(1, rows, DType::f32);
    reference::swiglu_backward({rows, width, gate_up.view(), d_act.view(), floats(weights),
                                d_gate_up.view(), act.view(), floats(route_grad)});
    const Doubles x = test::values(gate_up, rows, 2 * width);
    const Doubles w = test::values(weights, 1, rows);
    const Doubles grad = test::values(d_act, rows, width);
    CHECK(swiglu_loss(x, w, grad) ==
          Approx(test::dot(grad, test::values(act, rows, width))).epsilon(1e-6));
    const Doubles by_x =
        test::numeric_gradient(x, [&](const Doubles& at) { return swiglu_loss(at, w, grad); });
    const Doubles by_w =
        test::numeric_gradient(w, [&](const Doubles& at) { return swiglu_loss(x, at, grad); });
    CHECK(test::largest_distance(test::values(d_gate_up, rows, 2 * width), by_x) <= 1e-6);
    CHECK(test::largest_distance(test::values(route_grad, 1, rows), by_w) <= 1e-6);
}

TEST_CASE("swiglu_backward: cpu agrees with the reference", "[kernels]") {
    for (const std::int64_t width : backward_widths()) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO("width " << width);
            const std::int64_t rows = 5;
            Buffer gate_up = Buffer::random(rows, 2 * width, type, 4, 2 * width + 1);
            Buffer d_act = Buffer::random(rows, width, type, 5, width + 3);
            Buffer weights = Buffer::random(1, rows, DType::f32, 6);
            Buffer want(rows, 2 * width, type);
            Buffer got(rows, 2 * width, type);
            Buffer act(rows, width, type);
            Buffer want_act(rows, width, type);
            Buffer want_route(1, rows, DType::f32);
            Buffer got_route(1, rows, DType::f32);
            for (const float* row_weights :
                 {static_cast<const float*>(nullptr), static_cast<const float*>(floats(weights))}) {
                SwigluBackwardArgs args{
                    rows,        width, gate_up.view(),    d_act.view(), row_weights,
                    want.view(), {},    floats(want_route)};
                reference::swiglu_backward(args);
                args.d_gate_up = got.view();
                args.act = act.view();
                args.route_grad = floats(got_route);
                cpu::swiglu_backward(args);
                CHECK(distance(want, got) <= 16 * 0x1p-24 + 4 * test::epsilon(type));
                CHECK(distance(want_route, got_route) <=
                      0x1p-22 * std::sqrt(static_cast<double>(width)));
                // The activation of the forward pass, to the bit.
                cpu::swiglu(
                    {rows, width, gate_up.view(), row_weights, want_act.view(), nullptr, nullptr});
                CHECK(want_act.bytes() == act.bytes());
            }
        }
    }
}

TEST_CASE("swiglu_backward: far gates pass all or nothing", "[kernels]") {
    std::vector<float> gate_up = {-1e4F, -100, 100, 1e4F, 2, 2, 2, 2};
    std::vector<float> d_act = {1, 1, 1, 1};
    for (const bool fast : {false, true}) {
        std::vector<float> grad(8);
        const SwigluBackwardArgs args{1,
                                      4,
                                      {gate_up.data(), DType::f32, 8},
                                      {d_act.data(), DType::f32, 4},
                                      nullptr,
                                      {grad.data(), DType::f32, 8},
                                      {},
                                      nullptr};
        fast ? cpu::swiglu_backward(args) : reference::swiglu_backward(args);
        const std::vector<float> want = {0, 0, 2, 2, 0, 0, 100, 1e4F};
        for (std::size_t i = 0; i < want.size(); ++i) {
            CHECK(grad[i] == Approx(want[i]).margin(1e-30));
        }
    }
}

TEST_CASE("rope_backward: the transpose of rope, element by element", "[kernels][rope]") {
    for (const bool fast : {false, true}) {
        RopeProblem problem(3, DType::f32);
        fast ? cpu::rope_backward(problem.args) : reference::rope_backward(problem.args);
        for (std::int64_t t = 0; t < problem.tokens; ++t) {
            RopeUnit unit(problem, t);
            for (std::int64_t i = 0; i < kQkWidth; ++i) {
                CHECK(problem.q_grad.at(t, i) ==
                      Approx(unit.q(static_cast<std::size_t>(i))).margin(1e-6));
            }
            for (std::int64_t i = 0; i < kRope; ++i) {
                CHECK(problem.k_rope_grad.at(t, i) ==
                      Approx(unit.k_rope(static_cast<std::size_t>(i))).margin(1e-6));
            }
            for (std::int64_t i = 0; i < kKvWidth; ++i) {
                const std::int64_t head = i / (kNope + kV);
                const std::int64_t v = i % (kNope + kV) - kNope;
                // rope() does not touch values: attention reads them from kv.
                const double want = v < 0 ? unit.kv(static_cast<std::size_t>(i))
                                          : problem.v_grad.at(t, head * kV + v);
                CHECK(problem.kv_grad.at(t, i) == Approx(want).margin(1e-6));
            }
        }
    }
}

TEST_CASE("rope_backward: cpu agrees with the reference", "[kernels][rope]") {
    for (const std::int64_t tokens : {0, 1, 40}) {
        for (const DType type : {DType::f32, DType::bf16}) {
            RopeProblem want(tokens, type);
            RopeProblem got(tokens, type);
            reference::rope_backward(want.args);
            cpu::rope_backward(got.args);
            const double limit = 4 * (0x1p-23 + 2 * test::epsilon(type));
            CHECK(distance(want.q_grad, got.q_grad) <= limit);
            CHECK(want.kv_grad.bytes() == got.kv_grad.bytes());
            CHECK(distance(want.k_rope_grad, got.k_rope_grad) <= 2 * limit);
        }
    }
}

TEST_CASE("split: takes apart what concat joins", "[kernels]") {
    for (const std::int64_t width : backward_widths()) {
        for (const DType type : {DType::f32, DType::bf16}) {
            Buffer x = Buffer::random(3, width + 5, type, 20, width + 9);
            for (const bool fast : {false, true}) {
                Buffer a(3, width, type);
                Buffer b(3, 5, type);
                const SplitArgs args{3, width, 5, x.view(), a.view(), b.view()};
                fast ? cpu::split(args) : reference::split(args);
                Buffer joined(3, width + 5, type);
                reference::concat({3, width, 5, a.view(), b.view(), joined.view()});
                CHECK(distance(joined, x) == 0);
                CHECK(b.at(2, 4) == x.at(2, width + 4));
            }
        }
    }
}

}  // namespace r1
