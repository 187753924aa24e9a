#include "model/base/rng.hpp"

#include <cmath>
#include <numbers>

namespace r1 {

namespace {

constexpr int kRounds = 10;
constexpr std::uint64_t kMultiplier0 = 0xD2511F53U;
constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57U;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9U;  // golden ratio
constexpr std::uint32_t kWeyl1 = 0xBB67AE85U;  // sqrt(3) - 1

std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }

std::array<std::uint32_t, 4> block(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
    return philox4x32({low(index), high(index), low(stream), high(stream)},
                      {low(seed), high(seed)});
}

std::uint64_t join(std::uint32_t low_word, std::uint32_t high_word) {
    return std::uint64_t{high_word} << 32 | low_word;
}

double to_unit(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < kRounds; ++round) {
        const std::uint64_t product0 = kMultiplier0 * counter[0];
        const std::uint64_t product1 = kMultiplier1 * counter[2];
        counter = {high(product1) ^ counter[1] ^ key[0], low(product1),
                   high(product0) ^ counter[3] ^ key[1], low(product0)};
        key[0] += kWeyl0;
        key[1] += kWeyl1;
    }
    return counter;
}

std::uint64_t Rng::bits(std::uint64_t index) const {
    const auto words = block(seed_, stream_, index);
    return join(words[0], words[1]);
}

double Rng::uniform(std::uint64_t index) const { return to_unit(bits(index)); }

double Rng::normal(std::uint64_t index) const {
    const auto words = block(seed_, stream_, index);
    const double radius_draw = to_unit(join(words[0], words[1])) + 0x1p-53;  // (0, 1]: has a log
    const double angle_draw = to_unit(join(words[2], words[3]));
    return std::sqrt(-2 * std::log(radius_draw)) * std::cos(2 * std::numbers::pi * angle_draw);
}

}  // namespace r1
