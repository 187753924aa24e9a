#include <cmath>
#include <string>
#include <vector>

#include "kernels/cross_entropy.hpp"
#include "kernels/cross_entropy_backward.hpp"
#include "kernels/grpo.hpp"
#include "tests/kernels/golden_case.hpp"
#include "tests/kernels/golden_files.hpp"
#include "tests/kernels/numeric_gradient.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Doubles;

struct GrpoKernels {
    void (*cross_entropy)(const CrossEntropyArgs&);
    void (*advantages)(const GrpoAdvantagesArgs&);
    void (*objective)(const GrpoObjectiveArgs&);
    void (*backward)(const GrpoBackwardArgs&);
    void (*cross_entropy_backward)(const CrossEntropyBackwardArgs&);
};
constexpr GrpoKernels kReference = {&reference::cross_entropy, &reference::grpo_advantages,
                                    &reference::grpo_objective, &reference::grpo_backward,
                                    &reference::cross_entropy_backward};
constexpr GrpoKernels kCpu = {&cpu::cross_entropy, &cpu::grpo_advantages, &cpu::grpo_objective,
                              &cpu::grpo_backward, &cpu::cross_entropy_backward};

std::vector<float> negated(std::vector<float> values) {
    for (float& value : values) {
        value = -value;
    }
    return values;
}

std::int64_t tokens_of(const std::vector<std::int32_t>& mask) {
    std::int64_t tokens = 0;
    for (const std::int32_t value : mask) {
        tokens += value != 0;
    }
    return tokens;
}

// Outputs of a policy with logits, from rewards to the gradient of the logits.
struct GrpoProblem {
    std::int64_t outputs = 0, length = 0, vocabulary = 0;
    std::int64_t ddof = 0;
    float clip = 0, beta = 0;
    GrpoMean mean = GrpoMean::outputs;
    std::vector<float> logits, old_nll, ref_nll, rewards;
    std::vector<std::int32_t> labels, mask, group;
};

struct Result {
    std::vector<float> nll, advantages, ratio, surrogate, k3, losses, d_nll, d_logits;
    double loss = 0;
    bool operator==(const Result&) const = default;
};

Result run(const GrpoProblem& problem, const GrpoKernels& kernels) {
    const std::size_t tokens = problem.labels.size();
    const auto count = static_cast<std::int64_t>(tokens);
    const auto outputs = static_cast<std::size_t>(problem.outputs);
    const auto floats_of = [](std::size_t size) { return std::vector<float>(size, NAN); };
    Result r{floats_of(tokens), floats_of(outputs),
             floats_of(tokens), floats_of(tokens),
             floats_of(tokens), floats_of(outputs),
             floats_of(tokens), floats_of(tokens * static_cast<std::size_t>(problem.vocabulary))};
    std::vector<float> lse(tokens);
    const ConstMatrix logits = {problem.logits.data(), DType::f32, problem.vocabulary};
    kernels.cross_entropy(
        {count, problem.vocabulary, logits, problem.labels.data(), r.nll.data(), lse.data()});
    kernels.advantages({problem.outputs, problem.ddof, problem.rewards.data(), problem.group.data(),
                        r.advantages.data()});
    GrpoBatch batch;
    batch.outputs = problem.outputs;
    batch.length_max = problem.length;
    batch.clip = problem.clip;
    batch.beta = problem.beta;
    batch.mean = problem.mean;
    batch.count = problem.mean == GrpoMean::outputs ? problem.outputs : tokens_of(problem.mask);
    batch.nll = r.nll.data();
    batch.old_nll = problem.old_nll.data();
    batch.ref_nll = problem.ref_nll.data();
    batch.mask = problem.mask.data();
    batch.advantages = r.advantages.data();
    kernels.objective({batch, r.ratio.data(), r.surrogate.data(), r.k3.data(), r.losses.data()});
    for (const float loss : r.losses) {
        r.loss += static_cast<double>(loss);
    }
    kernels.backward({batch, r.d_nll.data()});
    kernels.cross_entropy_backward({count,
                                    problem.vocabulary,
                                    1,
                                    logits,
                                    lse.data(),
                                    problem.labels.data(),
                                    {r.d_logits.data(), DType::f32, problem.vocabulary},
                                    r.d_nll.data()});
    return r;
}

GrpoProblem golden_problem(const test::GoldenCase& golden) {
    GrpoProblem problem;
    problem.outputs = golden.extent("logits", 0);
    problem.length = golden.extent("logits", 1);
    problem.vocabulary = golden.extent("logits", 2);
    problem.clip = golden.value("eps");
    problem.beta = golden.value("beta");
    problem.logits = golden.values("logits");
    problem.old_nll = negated(golden.values("old_logprobs"));
    problem.ref_nll = negated(golden.values("ref_logprobs"));
    problem.rewards = golden.values("rewards");
    problem.labels = golden.file().as_i32("tokens");
    problem.mask = golden.file().as_i32("mask");
    problem.group = golden.file().as_i32("group");
    return problem;
}

void check_golden_grpo(const test::GoldenCase& golden, const GrpoKernels& kernels) {
    GrpoProblem problem = golden_problem(golden);
    // Values at mask 0 mean nothing in the file: ours there are put in their place.
    const auto check_tokens = [&](const std::string& name, std::vector<float> got) {
        const std::vector<float> want = golden.values(name);
        for (std::size_t i = 0; i < want.size(); ++i) {
            got.at(i) = problem.mask[i] != 0 ? got[i] : want[i];
        }
        golden.check(name, got);
    };
    Result result = run(problem, kernels);
    golden.check("advantages", result.advantages);
    check_tokens("logprobs", negated(result.nll));
    check_tokens("ratio", result.ratio);
    check_tokens("surrogate", result.surrogate);
    check_tokens("k3", result.k3);
    golden.check("loss", result.loss);
    golden.check("grad_logits", result.d_logits);
    problem.mean = GrpoMean::tokens;
    golden.check("loss_token_mean", run(problem, kernels).loss);
    problem.mean = GrpoMean::outputs;
    problem.ddof = 1;
    result = run(problem, kernels);
    golden.check("advantages_ddof1", result.advantages);
    golden.check("loss_ddof1", result.loss);
    golden.check("grad_logits_ddof1", result.d_logits);
}

// Groups that do not lie side by side, the first with equal rewards, and outputs of different
// lengths, the last one with none.
GrpoProblem random_problem(std::int64_t outputs, std::int64_t length, std::int64_t vocabulary) {
    GrpoProblem problem;
    problem.outputs = outputs;
    problem.length = length;
    problem.vocabulary = vocabulary;
    problem.clip = 0.2F;
    problem.beta = 0.5F;
    const Rng rng(11);
    const auto uniform = [&](std::int64_t i, std::uint64_t stream) {
        return static_cast<float>(rng.uniform(static_cast<std::uint64_t>(i) + stream * 1000000));
    };
    for (std::int64_t i = 0; i < outputs * length * vocabulary; ++i) {
        problem.logits.push_back(2 * uniform(i, 0) - 1);
    }
    const float usual = std::log(static_cast<float>(vocabulary));
    for (std::int64_t i = 0; i < outputs * length; ++i) {
        problem.old_nll.push_back(usual + uniform(i, 1) - 0.5F);
        problem.ref_nll.push_back(usual + uniform(i, 2) - 0.5F);
        problem.labels.push_back(
            static_cast<std::int32_t>(uniform(i, 3) * static_cast<float>(vocabulary - 1)));
        const std::int64_t tokens = (i / length + 1) % outputs % (length + 1);
        problem.mask.push_back(i % length < tokens ? 1 : 0);
    }
    for (std::int64_t output = 0; output < outputs; ++output) {
        const bool equal = output % 3 == 0;
        problem.group.push_back(static_cast<std::int32_t>(7 - output % 3));
        problem.rewards.push_back(equal ? 0.1F : uniform(output, 4));
    }
    return problem;
}

// The loss from its definition, in double; advantages are constants.
double grpo_loss(const GrpoProblem& problem, const std::vector<float>& advantages,
                 const Doubles& logits) {
    double loss = 0;
    for (std::int64_t output = 0; output < problem.outputs; ++output) {
        const double advantage = advantages[static_cast<std::size_t>(output)];
        double sum = 0;
        double tokens = 0;
        for (std::int64_t t = output * problem.length; t < (output + 1) * problem.length; ++t) {
            const auto at = static_cast<std::size_t>(t);
            if (problem.mask[at] == 0) {
                continue;
            }
            double partition = 0;
            for (std::int64_t i = 0; i < problem.vocabulary; ++i) {
                partition += std::exp(logits[static_cast<std::size_t>(t * problem.vocabulary + i)]);
            }
            const double lp =
                logits[static_cast<std::size_t>(t * problem.vocabulary + problem.labels[at])] -
                std::log(partition);
            const double ratio = std::exp(lp + static_cast<double>(problem.old_nll[at]));
            const double low = 1 - static_cast<double>(problem.clip);
            const double high = 1 + static_cast<double>(problem.clip);
            const double clipped = ratio < low ? low : ratio > high ? high : ratio;
            const double gap = -static_cast<double>(problem.ref_nll[at]) - lp;
            const double k3 = std::exp(gap) - gap - 1;
            sum += std::min(ratio * advantage, clipped * advantage) -
                   static_cast<double>(problem.beta) * k3;
            ++tokens;
        }
        loss -= tokens == 0 ? 0
                : problem.mean == GrpoMean::outputs
                    ? sum / tokens / static_cast<double>(problem.outputs)
                    : sum / static_cast<double>(tokens_of(problem.mask));
    }
    return loss;
}

}  // namespace

TEST_CASE("grpo: the golden cases, from logits to their gradient", "[kernels][grpo][golden]") {
    for (const auto& path : test::golden_cases("grpo")) {
        INFO(path.filename().string());
        const test::GoldenCase golden(path);
        check_golden_grpo(golden, kReference);
        check_golden_grpo(golden, kCpu);
    }
}

TEST_CASE("grpo: advantages by hand", "[kernels][grpo]") {
    // Group 4: rewards 1, 0, 0, 1: mean 1/2, deviation 1/2, of a sample sqrt(1/3). Group 2: equal.
    // Group 9: alone.
    const std::vector<float> rewards = {1, 0.1F, 0, 0.1F, 0, 5, 0.1F, 1};
    const std::vector<std::int32_t> group = {4, 2, 4, 2, 4, 9, 2, 4};
    for (const GrpoKernels& kernels : {kReference, kCpu}) {
        for (const std::int64_t ddof : {0, 1}) {
            std::vector<float> got(8, NAN);
            kernels.advantages({8, ddof, rewards.data(), group.data(), got.data()});
            const float one = ddof == 0 ? 1.0F : std::sqrt(0.75F);
            CHECK(got == std::vector<float>{one, 0, -one, 0, -one, 0, 0, one});
        }
    }
}

TEST_CASE("grpo: central differences", "[kernels][grpo]") {
    for (const GrpoMean mean : {GrpoMean::outputs, GrpoMean::tokens}) {
        GrpoProblem problem = random_problem(7, 4, 5);
        problem.mean = mean;
        for (const GrpoKernels& kernels : {kReference, kCpu}) {
            const Result got = run(problem, kernels);
            const Doubles logits(problem.logits.begin(), problem.logits.end());
            const auto loss = [&](const Doubles& at) {
                return grpo_loss(problem, got.advantages, at);
            };
            CHECK(got.loss == Approx(loss(logits)).epsilon(1e-5));
            const Doubles want = test::numeric_gradient(logits, loss);
            CHECK(test::largest(want) > 0.01);
            const Doubles gradient(got.d_logits.begin(), got.d_logits.end());
            CHECK(test::largest_distance(gradient, want) <= 1e-6);
        }
    }
}

TEST_CASE("grpo: masked tokens are not read", "[kernels][grpo]") {
    GrpoProblem problem = random_problem(5, 3, 4);
    const Result want = run(problem, kReference);
    for (std::size_t i = 0; i < problem.mask.size(); ++i) {
        if (problem.mask[i] == 0) {
            problem.old_nll[i] = problem.ref_nll[i] = NAN;
            CHECK(want.d_nll[i] == 0);
            CHECK(want.ratio[i] == 0);
        }
    }
    CHECK(run(problem, kReference) == want);
}

TEST_CASE("grpo: cpu agrees with the reference, for any number of threads", "[kernels][grpo]") {
    for (const std::int64_t outputs : {0, 1, 30}) {
        for (const std::int64_t length : {1, 40}) {
            const GrpoProblem problem = random_problem(outputs, length, 33);
            const Result want = run(problem, kReference);
            const Result got = run(problem, kCpu);
            CHECK(got.advantages == want.advantages);
            CHECK(got.loss == Approx(want.loss).epsilon(1e-5).margin(1e-7));
            CHECK(test::largest_distance({got.d_nll.begin(), got.d_nll.end()},
                                         {want.d_nll.begin(), want.d_nll.end()}) <= 1e-6);
            CHECK(test::same_for_any_threads([&] { return run(problem, kCpu); }));
        }
    }
}

}  // namespace r1
