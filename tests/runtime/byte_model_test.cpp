// The baseline of training: counts of what follows two tokens.
#include "runtime/byte_model.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "model/base/rng.hpp"
#include "tests/runtime/text_folder.hpp"
#include "tests/support/catch.hpp"

using namespace r1;

namespace {

using Tokens = std::vector<std::int32_t>;

double sum_over(const ByteModel& model, const Tokens& before, std::int32_t alphabet) {
    double sum = 0;
    for (std::int32_t token = 0; token < alphabet; ++token) {
        const double probability = model.probability(before, token);
        CHECK(probability > 0);
        sum += probability;
    }
    return sum;
}

}  // namespace

TEST_CASE("byte model: a case solved by hand", "[runtime][training]") {
    // 0 1 0 1 over the alphabet {0, 1, 2}.
    // Order 0: N = 4, T = 2:            p(0) = p(1) = (2 + 2/3) / 6 = 4/9, p(2) = (2/3) / 6 = 1/9.
    // Behind 0: N = 2 (1, 1), T = 1:    p(1) = (2 + 4/9) / 3 = 22/27, p(0) = 4/27, p(2) = 1/27.
    // Behind 1: N = 1 (0), T = 1:       p(0) = (1 + 4/9) / 2 = 13/18, p(1) = 4/18, p(2) = 1/18.
    // Behind 0 1: N = 1 (0), T = 1:     p(0) = (1 + 13/18) / 2 = 31/36, p(1) = 4/36, p(2) = 1/36.
    // Behind 1 0: N = 1 (1), T = 1:     p(1) = (1 + 22/27) / 2 = 49/54, p(0) = 4/54, p(2) = 1/54.
    ByteModel model(3);
    model.count(Tokens{0, 1, 0, 1});
    CHECK(model.probability({}, 0) == Approx(4.0 / 9));
    CHECK(model.probability({}, 2) == Approx(1.0 / 9));
    CHECK(model.probability(Tokens{0}, 1) == Approx(22.0 / 27));
    CHECK(model.probability(Tokens{1}, 2) == Approx(1.0 / 18));
    CHECK(model.probability(Tokens{0, 1}, 0) == Approx(31.0 / 36));
    CHECK(model.probability(Tokens{1, 0}, 0) == Approx(4.0 / 54));
    // Two tokens never seen together: as behind the last one. One never seen: as behind nothing.
    CHECK(model.probability(Tokens{2, 1}, 2) == Approx(1.0 / 18));
    CHECK(model.probability(Tokens{1, 2}, 0) == Approx(4.0 / 9));
    // Of more than two, the last two count.
    CHECK(model.probability(Tokens{2, 2, 0, 1}, 0) == Approx(31.0 / 36));
    // 1 behind 0, 0 behind 0 1, 2 behind 1 0; the first token is not predicted.
    CHECK(model.negative_log_likelihood(Tokens{0, 1, 0, 2}) ==
          Approx(-std::log(22.0 / 27) - std::log(31.0 / 36) - std::log(1.0 / 54)));
}

TEST_CASE("byte model: probabilities add up to 1 behind whatever was seen", "[runtime][training]") {
    constexpr std::int32_t kAlphabet = 258;
    ByteModel model(kAlphabet);
    CHECK(sum_over(model, {}, kAlphabet) == Approx(1).epsilon(1e-12));
    const Rng rng(3);
    for (std::uint64_t sequence = 0; sequence < 20; ++sequence) {
        Tokens tokens;
        for (std::uint64_t i = 0; i < 50; ++i) {
            const double draw = rng.uniform(sequence * 50 + i);
            tokens.push_back(static_cast<std::int32_t>(draw * draw * draw * kAlphabet));
        }
        model.count(tokens);
        model.count(Tokens{257, 256, tokens[0]});
    }
    for (const Tokens& before : {Tokens{}, Tokens{0}, Tokens{257}, Tokens{0, 0}, Tokens{1, 0},
                                 Tokens{257, 256}, Tokens{255, 254}, Tokens{100, 0}}) {
        CHECK(sum_over(model, before, kAlphabet) == Approx(1).epsilon(1e-12));
    }
}

TEST_CASE("byte model: tokens of another sequence are no context", "[runtime][training]") {
    ByteModel apart(4);
    apart.count(Tokens{0, 1});
    apart.count(Tokens{2, 3});
    CHECK(apart.probability(Tokens{1}, 2) == apart.probability({}, 2));
}

TEST_CASE("byte model: its loss is that of the held-out tokens a sequence predicts",
          "[runtime][training]") {
    const test::TextFolder folder;
    folder.put("a", "abcabdabcabe");  // sequences abc abd abc abe; abd and abe are held out
    const TextCodec codec = TextCodec::for_model("no such folder", 256);
    const TrainingData data({folder / "a"}, codec, {3, 1, 0.5, 0});
    REQUIRE(data.held_out_sequences() == 2);
    ByteModel model('e' + 1);
    model.count(data.training(0));
    model.count(data.training(1));
    const double expected = -2 * std::log(model.probability(Tokens{'a'}, 'b')) -
                            std::log(model.probability(Tokens{'a', 'b'}, 'd')) -
                            std::log(model.probability(Tokens{'a', 'b'}, 'e'));
    const auto loss = byte_model_loss(data);
    REQUIRE(loss);
    CHECK(*loss == Approx(expected / 4));
    CHECK(!byte_model_loss(TrainingData({folder / "a"}, codec, {3, 1, 0, 0})));
}
