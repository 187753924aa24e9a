#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/router_topk_backward.hpp"
#include "kernels/sequence_balance.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/golden_case.hpp"
#include "tests/kernels/golden_files.hpp"
#include "tests/kernels/numeric_gradient.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::Doubles;
using test::floats;

using Backward = void (*)(const RouterTopkBackwardArgs&);
using Balance = void (*)(const SequenceBalanceArgs&);
constexpr Backward kBackward[] = {&reference::router_topk_backward, &cpu::router_topk_backward};
constexpr Balance kBalance[] = {&reference::sequence_balance, &cpu::sequence_balance};

// Random logits in [-3, 3), what a router with a bias chooses by them, and what comes back.
struct RouterProblem {
    RouterProblem(std::int64_t tokens, std::int64_t experts, std::int64_t chosen, RouterScore score,
                  bool normalize)
        : logits(Buffer::random(tokens, experts, DType::f32, 1)),
          bias(Buffer::random(1, experts, DType::f32, 2)),
          d_weights(Buffer::random(tokens, chosen, DType::f32, 3)),
          weights(tokens, chosen, DType::f32),
          indices(static_cast<std::size_t>(tokens * chosen)) {
        std::for_each_n(floats(logits), tokens * experts, [](float& x) { x *= 3; });
        RouterTopkArgs forward;
        forward.tokens = args.tokens = tokens;
        forward.experts = args.experts = experts;
        forward.experts_per_token = args.experts_per_token = chosen;
        forward.score = args.score = score;
        forward.normalize = args.normalize = normalize;
        forward.scaling_factor = args.scaling_factor = 2.5F;
        args.logits = forward.logits = floats(logits);
        forward.bias = floats(bias);
        args.weights = forward.weights = floats(weights);
        args.indices = forward.indices = indices.data();
        args.d_weights = floats(d_weights);
        reference::router_topk(forward);
    }

    [[nodiscard]] std::vector<float> gradient(Backward kernel) const {
        std::vector<float> result(static_cast<std::size_t>(args.tokens * args.experts), NAN);
        RouterTopkBackwardArgs call = args;
        call.d_logits = result.data();
        kernel(call);
        return result;
    }

    RouterTopkBackwardArgs args;
    Buffer logits, bias, d_weights, weights;
    std::vector<std::int32_t> indices;
};

std::vector<double> scores_of(const double* logits, std::int64_t experts, RouterScore score) {
    std::vector<double> s;
    double sum = 0;
    for (std::int64_t i = 0; i < experts; ++i) {
        const double e = std::exp(logits[i]);
        s.push_back(score == RouterScore::sigmoid ? e / (1 + e) : e);
        sum += s.back();
    }
    for (double& value : s) {
        value /= score == RouterScore::sigmoid ? 1 : sum;
    }
    return s;
}

// The sum of weight * d_weight, from the definition.
double weight_loss(const RouterTopkBackwardArgs& args, const Doubles& logits) {
    double loss = 0;
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        const auto s = scores_of(logits.data() + t * args.experts, args.experts, args.score);
        double sum = 0;
        double dot = 0;
        for (std::int64_t i = t * args.experts_per_token; i < (t + 1) * args.experts_per_token;
             ++i) {
            const double chosen = s[static_cast<std::size_t>(args.indices[i])];
            sum += chosen;
            dot += chosen * static_cast<double>(args.d_weights[i]);
        }
        loss += static_cast<double>(args.scaling_factor) * dot / (args.normalize ? sum : 1);
    }
    return loss;
}

// f and p of one sequence, from their definitions.
struct Shares {
    Doubles f, p;
    double dot = 0;
};

Shares shares_of(const RouterTopkBackwardArgs& args, const Doubles& logits, std::int64_t first) {
    const auto experts = static_cast<std::size_t>(args.experts);
    const auto length = static_cast<double>(args.sequence_length);
    Shares shares{Doubles(experts), Doubles(experts)};
    for (std::int64_t t = first; t < first + args.sequence_length; ++t) {
        const auto s = scores_of(logits.data() + t * args.experts, args.experts, args.score);
        double sum = 0;
        for (const double value : s) {
            sum += value;
        }
        for (std::size_t i = 0; i < experts; ++i) {
            const std::int32_t* chosen = args.indices + t * args.experts_per_token;
            const auto times = std::count(chosen, chosen + args.experts_per_token, i);
            shares.f[i] += static_cast<double>(times * args.experts) /
                           (static_cast<double>(args.experts_per_token) * length);
            shares.p[i] += s[i] / sum / length;
        }
    }
    shares.dot = test::dot(shares.f, shares.p);
    return shares;
}

double total_loss(const RouterTopkBackwardArgs& args, const Doubles& logits) {
    double loss = args.d_weights != nullptr ? weight_loss(args, logits) : 0;
    for (std::int64_t t = 0; t < args.tokens && args.balance_alpha > 0; t += args.sequence_length) {
        loss += static_cast<double>(args.balance_alpha) * shares_of(args, logits, t).dot;
    }
    return loss;
}

SequenceBalanceArgs balance_args(const RouterTopkBackwardArgs& from) {
    SequenceBalanceArgs args;
    args.tokens = from.tokens;
    args.experts = from.experts;
    args.experts_per_token = from.experts_per_token;
    args.sequence_length = from.sequence_length;
    args.score = from.score;
    args.alpha = from.balance_alpha;
    args.logits = from.logits;
    args.indices = from.indices;
    return args;
}

struct BalanceResult {
    std::vector<float> f, p, loss;
    bool operator==(const BalanceResult&) const = default;
};

BalanceResult balance(SequenceBalanceArgs args, Balance kernel) {
    const auto sequences = static_cast<std::size_t>(args.tokens / args.sequence_length);
    const std::size_t size = sequences * static_cast<std::size_t>(args.experts);
    BalanceResult result{std::vector<float>(size), std::vector<float>(size),
                         std::vector<float>(sequences)};
    args.f = result.f.data();
    args.p = result.p.data();
    args.loss = result.loss.data();
    kernel(args);
    return result;
}

Doubles doubles(const std::vector<float>& values) { return {values.begin(), values.end()}; }

// What the routers of a golden case choose: by raw score in "report", by bias and groups in
// "selected".
std::vector<std::int32_t> golden_choice(const test::GoldenCase& golden, const std::string& group,
                                        const std::vector<float>& logits) {
    const std::vector<float> params = golden.values("params");
    const std::vector<float> bias = golden.values("bias");
    RouterTopkArgs args;
    args.tokens = golden.extent("router_logits", 0) * golden.extent("router_logits", 1);
    args.experts = golden.extent("router_logits", 2);
    args.experts_per_token = std::lround(params.at(0));
    if (group == "selected") {
        args.groups = std::lround(params.at(1));
        args.groups_per_token = std::lround(params.at(2));
        args.bias = bias.data();
    } else {
        REQUIRE(group == "report");
    }
    const auto size = static_cast<std::size_t>(args.tokens * args.experts_per_token);
    std::vector<std::int32_t> indices(size);
    std::vector<float> weights(size);
    args.logits = logits.data();
    args.indices = indices.data();
    args.weights = weights.data();
    cpu::router_topk(args);
    return indices;
}

void check_golden_balance(const test::GoldenCase& golden, const std::string& group) {
    INFO(group);
    const std::vector<float> logits = golden.values("router_logits");
    const std::vector<std::int32_t> indices = golden_choice(golden, group, logits);
    const std::int64_t sequences = golden.extent("router_logits", 0);
    RouterTopkBackwardArgs args;
    args.sequence_length = golden.extent("router_logits", 1);
    args.tokens = sequences * args.sequence_length;
    args.experts = golden.extent("router_logits", 2);
    args.experts_per_token = golden.extent(group + ".indices", 2);
    args.balance_alpha = golden.value("alpha");
    args.logits = logits.data();
    args.indices = indices.data();
    CHECK(test::equal_sets(indices, golden.file().as_i32(group + ".indices"),
                           static_cast<std::size_t>(args.experts_per_token)) == 1);
    for (const Balance kernel : kBalance) {
        const BalanceResult result = balance(balance_args(args), kernel);
        golden.check(group + ".f", result.f);
        golden.check("P", result.p);
        golden.check(group + ".loss_per_sequence", result.loss);
        golden.check(group + ".loss_mean",
                     test::dot(doubles(result.loss), Doubles(result.loss.size(), 1)) /
                         static_cast<double>(sequences));
    }
    args.balance_alpha /= static_cast<float>(sequences);
    for (const Backward kernel : kBackward) {
        std::vector<float> gradient(logits.size());
        args.d_logits = gradient.data();
        kernel(args);
        golden.check(group + ".grad_router_logits", gradient);
    }
}

}  // namespace

TEST_CASE("sequence_balance: the golden cases, loss and gradient", "[kernels][router][golden]") {
    for (const auto& path : test::golden_cases("seq_balance")) {
        INFO(path.filename().string());
        const test::GoldenCase golden(path);
        for (const auto& [name, tensor] : golden.file().tensors()) {
            const std::size_t dot = name.rfind('.');
            if (dot != std::string::npos && name.substr(dot) == ".indices") {
                check_golden_balance(golden, name.substr(0, dot));
            }
        }
    }
}

TEST_CASE("router_topk_backward: central differences", "[kernels][router]") {
    for (int variant = 0; variant < 16; ++variant) {
        INFO(variant);
        const RouterScore score = (variant & 1) != 0 ? RouterScore::softmax : RouterScore::sigmoid;
        RouterProblem problem(6, 9, 3, score, (variant & 2) != 0);
        if ((variant & 4) != 0) {
            problem.args.balance_alpha = 0.5F;
            problem.args.sequence_length = 3;
        }
        if ((variant & 8) != 0) {
            problem.args.d_weights = nullptr;
        }
        const Doubles want = test::numeric_gradient(
            test::values(problem.logits, 6, 9),
            [&](const Doubles& logits) { return total_loss(problem.args, logits); });
        CHECK(
            (variant >= 8 && variant < 12 ? test::largest(want) == 0 : test::largest(want) > 0.01));
        for (const Backward kernel : kBackward) {
            CHECK(test::largest_distance(doubles(problem.gradient(kernel)), want) <= 1e-6);
        }
    }
}

TEST_CASE("router_topk_backward: cpu agrees with the reference", "[kernels][router]") {
    for (const std::int64_t experts : {3, 48, 256, 1024}) {
        for (const std::int64_t tokens : {0, 2, 70}) {
            for (const RouterScore score : {RouterScore::sigmoid, RouterScore::softmax}) {
                INFO(tokens << "x" << experts);
                RouterProblem problem(tokens, experts, std::min<std::int64_t>(experts, 8), score,
                                      true);
                problem.args.sequence_length = std::max<std::int64_t>(tokens / 2, 1);
                problem.args.balance_alpha = 0.25F;
                const auto want = problem.gradient(reference::router_topk_backward);
                const auto got = problem.gradient(cpu::router_topk_backward);
                CHECK(test::largest_distance(doubles(got), doubles(want)) <= 1e-6);
                CHECK(test::same_for_any_threads(
                    [&] { return problem.gradient(cpu::router_topk_backward); }));
            }
        }
    }
}

TEST_CASE("router_topk_backward: certain experts keep a finite gradient", "[kernels][router]") {
    // s = 1 - 1e-13 and 1e-13: 1 - s has no digits in float32, and 1 / s is large.
    const std::vector<float> logits = {30, -30};
    const std::vector<std::int32_t> indices = {0, 1};
    const std::vector<float> d_weights = {0, 1};
    std::vector<float> weights(2);
    RouterTopkArgs forward;
    forward.tokens = 1;
    forward.experts = forward.experts_per_token = 2;
    forward.logits = logits.data();
    std::vector<std::int32_t> chosen(2);
    forward.indices = chosen.data();
    forward.weights = weights.data();
    cpu::router_topk(forward);
    CHECK(chosen == indices);
    for (const Backward kernel : kBackward) {
        std::vector<float> d_logits(2);
        RouterTopkBackwardArgs args;
        args.tokens = 1;
        args.experts = args.experts_per_token = 2;
        args.logits = logits.data();
        args.indices = indices.data();
        args.weights = weights.data();
        args.d_weights = d_weights.data();
        args.d_logits = d_logits.data();
        kernel(args);
        // w1 = s1 / (s0 + s1), so d w1 / d x1 = w1 * w0 * (1 - s1) = e^-30, and
        // d w1 / d x0 = -w1 * w0 * (1 - s0) = -e^-60.
        CHECK(d_logits[1] == Approx(std::exp(-30.0)).epsilon(1e-5));
        CHECK(d_logits[0] == Approx(-std::exp(-60.0)).epsilon(5e-3));
    }
}

TEST_CASE("sequence_balance: a balanced router gives alpha", "[kernels][router]") {
    const std::vector<float> logits(static_cast<std::size_t>(12 * 6), 0.7F);
    std::vector<std::int32_t> indices;
    for (std::int32_t i = 0; i < 12 * 2; ++i) {
        indices.push_back(i % 6);
    }
    SequenceBalanceArgs args;
    args.tokens = 12;
    args.experts = 6;
    args.experts_per_token = 2;
    args.sequence_length = 3;
    args.alpha = 0.125F;
    args.logits = logits.data();
    args.indices = indices.data();
    for (const Balance kernel : kBalance) {
        for (const float loss : balance(args, kernel).loss) {
            CHECK(loss == Approx(0.125F));
        }
    }
}

TEST_CASE("sequence_balance: from the definition, over random sizes", "[kernels][router]") {
    for (const std::int64_t experts : {3, 40, 256}) {
        for (const std::int64_t length : {1, 7, 60}) {
            for (const RouterScore score : {RouterScore::sigmoid, RouterScore::softmax}) {
                INFO(length << "x" << experts);
                RouterProblem problem(3 * length, experts, 3, score, true);
                problem.args.sequence_length = length;
                problem.args.balance_alpha = 0.5F;
                const Doubles logits = test::values(problem.logits, 3 * length, experts);
                const SequenceBalanceArgs args = balance_args(problem.args);
                Doubles f, p, loss;
                for (std::int64_t first = 0; first < 3 * length; first += length) {
                    const Shares shares = shares_of(problem.args, logits, first);
                    f.insert(f.end(), shares.f.begin(), shares.f.end());
                    p.insert(p.end(), shares.p.begin(), shares.p.end());
                    loss.push_back(0.5 * shares.dot);
                }
                for (const Balance kernel : kBalance) {
                    const BalanceResult got = balance(args, kernel);
                    CHECK(test::largest_distance(doubles(got.f), f) <= 1e-5);
                    CHECK(test::largest_distance(doubles(got.p), p) <= 1e-6);
                    CHECK(test::largest_distance(doubles(got.loss), loss) <= 1e-6);
                }
                CHECK(test::same_for_any_threads(
                    [&] { return balance(args, cpu::sequence_balance); }));
            }
        }
    }
}

}  // namespace r1
