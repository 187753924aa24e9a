// The ends of the backward pass: the loss and the embedding table.
#include <cmath>
#include <vector>

#include "kernels/cross_entropy.hpp"
#include "kernels/cross_entropy_backward.hpp"
#include "kernels/embedding_backward.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/numeric_gradient.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::Doubles;
using test::floats;

// Labels for all rows but every third.
std::vector<std::int32_t> labels_for(std::int64_t tokens, std::int64_t vocabulary) {
    std::vector<std::int32_t> labels;
    for (std::int64_t t = 0; t < tokens; ++t) {
        labels.push_back(t % 3 == 1 ? -100 : static_cast<std::int32_t>((7 * t + 3) % vocabulary));
    }
    return labels;
}

// The sum of the rows' losses, in double.
double nll_sum(const Doubles& logits, const std::vector<std::int32_t>& labels) {
    const std::size_t vocabulary = logits.size() / labels.size();
    double sum = 0;
    for (std::size_t t = 0; t < labels.size(); ++t) {
        double total = 0;
        for (std::size_t i = 0; i < vocabulary; ++i) {
            total += std::exp(logits[t * vocabulary + i]);
        }
        if (labels[t] >= 0) {
            sum += std::log(total) - logits[t * vocabulary + static_cast<std::size_t>(labels[t])];
        }
    }
    return sum;
}

struct LossProblem {
    LossProblem(std::int64_t tokens, std::int64_t vocabulary, DType type)
        : labels(labels_for(tokens, vocabulary)),
          logits(Buffer::random(tokens, vocabulary, type, 1, vocabulary + 3)),
          nll(1, tokens, DType::f32),
          lse(1, tokens, DType::f32),
          grad(tokens, vocabulary, type, vocabulary + 1) {
        reference::cross_entropy(
            {tokens, vocabulary, logits.view(), labels.data(), floats(nll), floats(lse)});
        args = {tokens, vocabulary, 0.375F, logits.view(), floats(lse), labels.data(), grad.view()};
    }

    std::vector<std::int32_t> labels;
    Buffer logits;
    Buffer nll;
    Buffer lse;
    Buffer grad;
    CrossEntropyBackwardArgs args;
};

}  // namespace

TEST_CASE("cross_entropy_backward: central differences", "[kernels]") {
    LossProblem problem(5, 9, DType::f32);
    reference::cross_entropy_backward(problem.args);
    const Doubles logits = test::values(problem.logits, 5, 9);
    CHECK(nll_sum(logits, problem.labels) ==
          Approx(test::dot(test::values(problem.nll, 1, 5), Doubles(5, 1))).epsilon(1e-6));
    const Doubles want = test::numeric_gradient(
        logits, [&](const Doubles& at) { return 0.375 * nll_sum(at, problem.labels); });
    CHECK(test::largest(want) > 0.1);
    CHECK(test::largest_distance(test::values(problem.grad, 5, 9), want) <= 1e-6);
}

TEST_CASE("cross_entropy_backward: cpu agrees with the reference", "[kernels]") {
    for (const std::int64_t vocabulary : {1, 7, 1024, 2500}) {
        for (const std::int64_t tokens : {0, 1, 8}) {
            for (const DType type : {DType::f32, DType::bf16}) {
                INFO(tokens << "x" << vocabulary);
                LossProblem want(tokens, vocabulary, type);
                LossProblem got(tokens, vocabulary, type);
                reference::cross_entropy_backward(want.args);
                cpu::cross_entropy_backward(got.args);
                CHECK(distance(want.grad, got.grad) <= 8 * 0x1p-24 + test::epsilon(type));
                for (std::int64_t t = 1; t < tokens; t += 3) {
                    CHECK(got.grad.at(t, vocabulary / 2) == 0);
                    CHECK(want.grad.at(t, vocabulary / 2) == 0);
                }
            }
        }
    }
}

TEST_CASE("cross_entropy_backward: labels outside of the vocabulary", "[kernels]") {
    LossProblem problem(3, 9, DType::f32);
    problem.labels[2] = 9;
    CHECK_THROWS_AS(reference::cross_entropy_backward(problem.args), InternalError);
    CHECK_THROWS_AS(cpu::cross_entropy_backward(problem.args), InternalError);
}

TEST_CASE("embedding_backward: rows of one token add up", "[kernels]") {
    std::vector<std::int32_t> ids = {3, 0, 3, 3};
    std::vector<float> grad = {1, 10, 2, 20, 4, 40, 8, 80};
    for (const bool fast : {false, true}) {
        std::vector<float> table = {0, 0, 0.5F, 0, 0, 0, 0, 1000};
        const EmbeddingBackwardArgs args{
            4, 2, 4, ids.data(), {grad.data(), DType::f32, 2}, table.data()};
        fast ? cpu::embedding_backward(args) : reference::embedding_backward(args);
        CHECK(table == std::vector<float>{2, 20, 0.5F, 0, 0, 0, 13, 1130});
    }
    ids[1] = 4;
    std::vector<float> table(8);
    const EmbeddingBackwardArgs args{4,           2, 4, ids.data(), {grad.data(), DType::f32, 2},
                                     table.data()};
    CHECK_THROWS_AS(reference::embedding_backward(args), InternalError);
    CHECK_THROWS_AS(cpu::embedding_backward(args), InternalError);
}

TEST_CASE("embedding_backward: cpu gives the reference's bytes, for any number of threads",
          "[kernels]") {
    for (const std::int64_t width : {0, 1, 130, 1037}) {
        for (const DType type : {DType::f32, DType::bf16}) {
            const std::int64_t tokens = 60;
            std::vector<std::int32_t> ids;
            for (std::int32_t t = 0; t < tokens; ++t) {
                ids.push_back(t * t % 11);
            }
            Buffer grad = Buffer::random(tokens, width, type, 5, width + 7);
            Buffer want = Buffer::random(11, width, DType::f32, 6);
            reference::embedding_backward(
                {tokens, width, 11, ids.data(), grad.view(), floats(want)});
            const auto run = [&] {
                Buffer got = Buffer::random(11, width, DType::f32, 6);
                cpu::embedding_backward({tokens, width, 11, ids.data(), grad.view(), floats(got)});
                return got.bytes();
            };
            CHECK(run() == want.bytes());
            CHECK(test::same_for_any_threads(run));
        }
    }
}

}  // namespace r1
