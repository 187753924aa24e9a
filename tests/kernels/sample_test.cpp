#include <cmath>
#include <vector>

#include "kernels/cross_entropy.hpp"
#include "kernels/sample.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::Workspace;

std::int32_t bits_of(double uniform) { return static_cast<std::int32_t>(uniform / kRandomUnit); }

using Sample = void (*)(const SampleArgs&);

std::vector<std::int32_t> sample(SampleArgs args, Sample kernel) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(args.rows), -1);
    args.tokens = tokens.data();
    Workspace workspace(sample_workspace_bytes(args));
    args.workspace = workspace.span();
    kernel(args);
    return tokens;
}

}  // namespace

TEST_CASE("cross_entropy: by hand", "[kernels]") {
    // Four equal logits: log 4 each; no label, no loss.
    std::vector<float> logits(8, 3.0F);
    const std::vector<std::int32_t> labels = {2, -1};
    std::vector<float> nll(2);
    std::vector<float> lse(2);
    const CrossEntropyArgs args{
        2, 4, {logits.data(), DType::f32, 4}, labels.data(), nll.data(), lse.data()};
    for (const bool fast : {false, true}) {
        fast ? cpu::cross_entropy(args) : reference::cross_entropy(args);
        CHECK(nll[0] == Approx(std::log(4.0)));
        CHECK(nll[1] == 0);
        CHECK(lse[0] == Approx(3 + std::log(4.0)));
    }
}

TEST_CASE("cross_entropy: cpu agrees with the reference", "[kernels]") {
    for (const std::int64_t vocabulary : {1, 5, 1024, 1030, 5000}) {
        for (const DType type : {DType::f32, DType::bf16}) {
            Buffer logits = Buffer::random(4, vocabulary, type, 1, vocabulary + 2);
            store(logits.view(), 1, 0, 90);  // far above the rest
            store(logits.view(), 2, 0, -INFINITY);
            if (vocabulary == 1) {
                store(logits.view(), 2, 0, -5);
            }
            const std::vector<std::int32_t> labels = {0, static_cast<std::int32_t>(vocabulary - 1),
                                                      -1,
                                                      static_cast<std::int32_t>(vocabulary / 2)};
            Buffer want(2, 4, DType::f32);
            Buffer got(2, 4, DType::f32);
            const auto run = [&](Buffer& out, void (*kernel)(const CrossEntropyArgs&)) {
                auto* first = static_cast<float*>(out.view().data);
                kernel({4, vocabulary, logits.view(), labels.data(), first, first + 4});
            };
            run(want, reference::cross_entropy);
            run(got, cpu::cross_entropy);
            // Terms are within 2 units, sums of 64 in a lane within 64 more; values are below 128.
            CHECK(distance(want, got) <= 66 * 0x1p-23 + 128 * 0x1p-24);
        }
    }
}

TEST_CASE("sample: greedy takes the first of the largest", "[kernels]") {
    std::vector<float> logits = {1, 5, 5, 2, -1, -3, -1, -2};
    SampleArgs args;
    args.rows = 2;
    args.vocabulary = 4;
    args.logits = {logits.data(), DType::f32, 4};
    CHECK(sample(args, reference::sample) == std::vector<std::int32_t>{1, 0});
    CHECK(sample(args, cpu::sample) == std::vector<std::int32_t>{1, 0});
}

TEST_CASE("sample: borders of the distribution by hand", "[kernels]") {
    // Probabilities 0.5, 0.25, 0.125, 0.125 of tokens 2, 0, 1, 3.
    std::vector<float> logits = {1, 0, 2, 0};
    for (float& logit : logits) {
        logit *= std::log(2.0F);
    }
    SampleArgs args;
    args.rows = 1;
    args.vocabulary = 4;
    args.temperature = 1;
    args.logits = {logits.data(), DType::f32, 4};
    struct Draw {
        double top_p;
        double uniform;
        std::int32_t token;
    };
    // With top_p 0.7 the first two stay: shares 2/3 and 1/3.
    for (const Draw& draw : {Draw{1, 0, 2}, Draw{1, 0.49, 2}, Draw{1, 0.51, 0}, Draw{1, 0.76, 1},
                             Draw{1, 0.88, 3}, Draw{1, 0.999999, 3}, Draw{0.7, 0.66, 2},
                             Draw{0.7, 0.67, 0}, Draw{0.7, 0.99, 0}, Draw{0.1, 0.99, 2}}) {
        INFO(draw.top_p << " " << draw.uniform);
        args.top_p = draw.top_p;
        const std::int32_t random = bits_of(draw.uniform);
        args.randoms = &random;
        CHECK(sample(args, reference::sample)[0] == draw.token);
        CHECK(sample(args, cpu::sample)[0] == draw.token);
    }
    // Temperature 0.5 squares the weights: 16, 4, 1, 1 of 22.
    args.temperature = 0.5;
    args.top_p = 1;
    const std::int32_t random = bits_of(16.5 / 22);
    args.randoms = &random;
    CHECK(sample(args, cpu::sample)[0] == 0);
}

TEST_CASE("sample: cpu picks the reference's tokens", "[kernels]") {
    for (const std::int64_t vocabulary : {1, 17, 1500}) {
        for (const DType type : {DType::f32, DType::bf16}) {
            Buffer logits = Buffer::random(64, vocabulary, type, 2);
            std::vector<std::int32_t> randoms;
            const Rng rng(3);
            for (std::uint64_t i = 0; i < 64; ++i) {
                randoms.push_back(bits_of(rng.uniform(i)));
            }
            SampleArgs args;
            args.rows = 64;
            args.vocabulary = vocabulary;
            args.logits = logits.view();
            args.randoms = randoms.data();
            for (const double temperature : {0.0, 0.1, 1.0}) {
                for (const double top_p : {0.3, 0.95, 1.0}) {
                    args.temperature = temperature;
                    args.top_p = top_p;
                    CHECK(sample(args, reference::sample) == sample(args, cpu::sample));
                }
            }
        }
    }
}

}  // namespace r1
