#include <cmath>
#include <vector>

#include "kernels/mla_attention.hpp"
#include "kernels/mla_attention_backward.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/numeric_gradient.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::Doubles;
using test::floats;
using test::Workspace;

struct AttentionBackwardSizes {
    std::int64_t sequences;
    std::int64_t tokens;
    std::int64_t heads;
    std::int64_t nope;
    std::int64_t rope;
    std::int64_t v;

    [[nodiscard]] std::int64_t rows() const { return sequences * tokens; }
    [[nodiscard]] std::int64_t qk_width() const { return heads * (nope + rope); }
    [[nodiscard]] std::int64_t kv_width() const { return heads * (nope + v); }
    [[nodiscard]] std::int64_t v_width() const { return heads * v; }
};

// Random inputs, outputs of the forward pass, and room for gradients.
struct Problem {
    Problem(const AttentionBackwardSizes& sizes, DType type, std::uint64_t seed, float scale = 0.7F)
        : s(sizes),
          q(Buffer::random(s.rows(), s.qk_width(), type, seed, s.qk_width() + 3)),
          k(Buffer::random(s.rows(), s.qk_width(), type, seed + 1)),
          kv(Buffer::random(s.rows(), s.kv_width(), type, seed + 2)),
          d_o(Buffer::random(s.rows(), s.v_width(), type, seed + 3, s.v_width() + 1)),
          o(s.rows(), s.v_width(), type),
          lse(s.rows(), s.heads, DType::f32),
          dq(s.rows(), s.qk_width(), type),
          dk(s.rows(), s.qk_width(), type),
          dv(s.rows(), s.v_width(), type) {
        MlaAttentionArgs forward;
        forward.sequences = s.sequences;
        forward.queries = forward.keys = s.tokens;
        forward.heads = s.heads;
        forward.qk_dim = s.nope + s.rope;
        forward.nope_dim = s.nope;
        forward.v_dim = s.v;
        forward.scale = scale;
        forward.q = q.view();
        forward.k = k.view();
        forward.kv = kv.view();
        forward.o = o.view();
        forward.lse = floats(lse);
        reference::mla_attention(forward);
        args.sequences = s.sequences;
        args.tokens = s.tokens;
        args.heads = s.heads;
        args.qk_dim = s.nope + s.rope;
        args.nope_dim = s.nope;
        args.v_dim = s.v;
        args.scale = scale;
        args.d_o = d_o.view();
        args.q = q.view();
        args.k = k.view();
        args.kv = kv.view();
        args.o = o.view();
        args.lse = floats(lse);
        args.dq = dq.view();
        args.dk = dk.view();
        args.dv = dv.view();
    }

    void run(bool fast) {
        if (!fast) {
            reference::mla_attention_backward(args);
            return;
        }
        Workspace workspace(cpu::mla_attention_backward_workspace_bytes(args));
        args.workspace = workspace.span();
        cpu::mla_attention_backward(args);
    }

    // dq, dk, dv
    [[nodiscard]] std::vector<Doubles> gradients() const {
        return {test::values(dq, s.rows(), s.qk_width()), test::values(dk, s.rows(), s.qk_width()),
                test::values(dv, s.rows(), s.v_width())};
    }

    AttentionBackwardSizes s;
    Buffer q;
    Buffer k;
    Buffer kv;
    Buffer d_o;
    Buffer o;
    Buffer lse;
    Buffer dq;
    Buffer dk;
    Buffer dv;
    MlaAttentionBackwardArgs args;
};

// Attention again, in double and over whole matrices.
struct Twin {
    AttentionBackwardSizes s;
    double scale;

    [[nodiscard]] double score(const Doubles& q, const Doubles& k, std::int64_t query,
                               std::int64_t key, std::int64_t head) const {
        const std::int64_t dim = s.nope + s.rope;
        double sum = 0;
        for (std::int64_t i = head * dim; i < (head + 1) * dim; ++i) {
            sum += q[static_cast<std::size_t>(query * s.qk_width() + i)] *
                   k[static_cast<std::size_t>(key * s.qk_width() + i)];
        }
        return scale * sum;
    }

    // The sum of d_o * o, which has d_o as its gradient by o. v: [rows, heads * v]
    [[nodiscard]] double loss(const Doubles& q, const Doubles& k, const Doubles& v,
                              const Doubles& d_o) const {
        double result = 0;
        for (std::int64_t query = 0; query < s.rows(); ++query) {
            const std::int64_t first = query / s.tokens * s.tokens;
            for (std::int64_t head = 0; head < s.heads; ++head) {
                double total = 0;
                double weighted = 0;
                for (std::int64_t key = first; key <= query; ++key) {
                    const double weight = std::exp(score(q, k, query, key, head));
                    total += weight;
                    for (std::int64_t i = head * s.v; i < (head + 1) * s.v; ++i) {
                        weighted += weight * v[static_cast<std::size_t>(key * s.v_width() + i)] *
                                    d_o[static_cast<std::size_t>(query * s.v_width() + i)];
                    }
                }
                result += weighted / total;
            }
        }
        return result;
    }
};

// The values' columns of kv.
Doubles values_of(const Problem& problem) {
    const AttentionBackwardSizes& s = problem.s;
    Doubles v;
    for (std::int64_t row = 0; row < s.rows(); ++row) {
        for (std::int64_t i = 0; i < s.v_width(); ++i) {
            const std::int64_t column = i / s.v * (s.nope + s.v) + s.nope + i % s.v;
            v.push_back(static_cast<double>(problem.kv.at(row, column)));
        }
    }
    return v;
}

}  // namespace

TEST_CASE("mla_attention_backward: by hand", "[kernels][attention]") {
    // One head of one column, q = 0, so o is the mean of the values 3, 5 and p = 1/2 for both:
    // d_s = 1/2 (v - 4) d_o = -+1/2 for d_o = 1.
    std::vector<float> q = {0, 0};
    std::vector<float> k = {1, 2};
    std::vector<float> kv = {9, 3, 9, 5};
    std::vector<float> d_o = {10, 1};
    std::vector<float> o = {3, 4};
    std::vector<float> lse = {0, std::log(2.0F)};
    for (const bool fast : {false, true}) {
        std::vector<float> dq(2);
        std::vector<float> dk(2);
        std::vector<float> dv(2);
        MlaAttentionBackwardArgs args;
        args.tokens = 2;
        args.heads = args.qk_dim = args.nope_dim = args.v_dim = 1;
        args.d_o = {d_o.data(), DType::f32, 1};
        args.q = {q.data(), DType::f32, 1};
        args.k = {k.data(), DType::f32, 1};
        args.kv = {kv.data(), DType::f32, 2};
        args.o = {o.data(), DType::f32, 1};
        args.lse = lse.data();
        args.dq = {dq.data(), DType::f32, 1};
        args.dk = {dk.data(), DType::f32, 1};
        args.dv = {dv.data(), DType::f32, 1};
        Workspace workspace(fast ? cpu::mla_attention_backward_workspace_bytes(args) : 0);
        args.workspace = workspace.span();
        fast ? cpu::mla_attention_backward(args) : reference::mla_attention_backward(args);
        CHECK(dq[0] == 0);
        CHECK(dq[1] == Approx(-0.5 * 1 + 0.5 * 2));
        CHECK(dk == std::vector<float>{0, 0});
        CHECK(dv[0] == Approx(10.5));
        CHECK(dv[1] == Approx(0.5));
    }
}

TEST_CASE("mla_attention_backward: central differences", "[kernels][attention]") {
    const AttentionBackwardSizes s{2, 4, 2, 2, 1, 3};
    Problem problem(s, DType::f32, 1);
    problem.run(false);
    const std::vector<Doubles> got = problem.gradients();
    const Twin twin{s, static_cast<double>(problem.args.scale)};
    const Doubles q = test::values(problem.q, s.rows(), s.qk_width());
    const Doubles k = test::values(problem.k, s.rows(), s.qk_width());
    const Doubles v = values_of(problem);
    const Doubles d_o = test::values(problem.d_o, s.rows(), s.v_width());
    // The twin is the forward kernel.
    CHECK(twin.loss(q, k, v, d_o) ==
          Approx(test::dot(d_o, test::values(problem.o, s.rows(), s.v_width()))).epsilon(1e-6));
    const auto check = [&](const Doubles& gradient, const Doubles& want) {
        CHECK(test::largest(want) > 0.1);
        CHECK(test::largest_distance(gradient, want) <= 1e-6);
    };
    check(got[0],
          test::numeric_gradient(q, [&](const Doubles& x) { return twin.loss(x, k, v, d_o); }));
    check(got[1],
          test::numeric_gradient(k, [&](const Doubles& x) { return twin.loss(q, x, v, d_o); }));
    check(got[2],
          test::numeric_gradient(v, [&](const Doubles& x) { return twin.loss(q, k, x, d_o); }));
}

TEST_CASE("mla_attention_backward: cpu agrees with the reference", "[kernels][attention]") {
    // Several blocks of queries and keys, the last ones cut; rows wider than a pass over k.
    const std::vector<AttentionBackwardSizes> all = {
        {1, 0, 2, 4, 2, 4},    {1, 1, 1, 2, 2, 3},   {3, 5, 3, 6, 4, 5},
        {2, 130, 2, 7, 4, 33}, {1, 300, 1, 9, 6, 8}, {1, 40, 1, 260, 30, 270}};
    for (const AttentionBackwardSizes& s : all) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO(s.sequences << " sequences of " << s.tokens << " tokens");
            Problem problem(s, type, 10);
            problem.run(false);
            const std::vector<Doubles> want = problem.gradients();
            Problem fast(s, type, 10);
            fast.run(true);
            const std::vector<Doubles> got = fast.gradients();
            // Scores are float32 sums of qk_dim products, so their exponentials err by that much.
            const double share = 8 * std::sqrt(static_cast<double>(s.nope + s.rope)) * 0x1p-23 +
                                 2 * test::epsilon(type);
            for (std::size_t i = 0; i < want.size(); ++i) {
                CHECK(test::largest_distance(got[i], want[i]) <=
                      share * std::max(1.0, test::largest(want[i])));
            }
        }
    }
}

TEST_CASE("mla_attention_backward: large scores do not overflow", "[kernels][attention]") {
    const AttentionBackwardSizes s{1, 150, 1, 8, 8, 4};
    Problem problem(s, DType::f32, 20, 100);
    problem.run(false);
    const std::vector<Doubles> want = problem.gradients();
    problem.run(true);
    const std::vector<Doubles> got = problem.gradients();
    for (std::size_t i = 0; i < want.size(); ++i) {
        CHECK(test::largest_distance(got[i], want[i]) <=
              1e-3 * std::max(1.0, test::largest(want[i])));
    }
}

TEST_CASE("mla_attention_backward: the same bytes for any number of threads",
          "[kernels][attention]") {
    Problem problem({2, 200, 3, 8, 4, 8}, DType::f32, 30);
    CHECK(test::same_for_any_threads([&] {
        problem.run(true);
        return problem.gradients();
    }));
}

}  // namespace r1
