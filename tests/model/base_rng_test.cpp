#include "model/base/rng.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "tests/support/catch.hpp"

using r1::Rng;

namespace {
using Words = std::array<std::uint32_t, 4>;
constexpr std::uint32_t kOnes = 0xFFFFFFFFU;
}  // namespace

TEST_CASE("rng: Philox4x32-10 gives the known answers of Random123", "[model][base]") {
    CHECK(r1::philox4x32({0, 0, 0, 0}, {0, 0}) ==
          Words{0x6627E8D5U, 0xE169C58DU, 0xBC57AC4CU, 0x9B00DBD8U});
    CHECK(r1::philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}) ==
          Words{0x408F276DU, 0x41C83B0EU, 0xA20BC7C6U, 0x6D5451FDU});
    CHECK(r1::philox4x32({0x243F6A88U, 0x85A308D3U, 0x13198A2EU, 0x03707344U},
                         {0xA4093822U, 0x299F31D0U}) ==
          Words{0xD16CFE09U, 0x94FDCCEBU, 0x5001E420U, 0x24126EA1U});
}

TEST_CASE("rng: a draw depends on seed, stream and index and on nothing else", "[model][base]") {
    const Rng rng(7, 3);
    const std::uint64_t tenth = rng.bits(10);
    for (std::uint64_t index = 20; index-- > 0;) {
        CHECK((rng.bits(index) == tenth) == (index == 10));
    }
    CHECK(Rng(7, 3).bits(10) == tenth);
    CHECK(Rng(8, 3).bits(10) != tenth);
    CHECK(Rng(7, 4).bits(10) != tenth);
    CHECK(Rng(0).bits(0) == 0xE169C58D6627E8D5U);  // the first known answer, low word first
}

TEST_CASE("rng: all 64 bits of seed, stream and index count", "[model][base]") {
    std::set<std::uint64_t> seen{Rng(0, 0).bits(0)};
    for (int bit = 0; bit < 64; ++bit) {
        const std::uint64_t word = std::uint64_t{1} << bit;
        seen.insert(Rng(word, 0).bits(0));
        seen.insert(Rng(0, word).bits(0));
        seen.insert(Rng(0, 0).bits(word));
    }
    CHECK(seen.size() == 1 + 3 * 64);
}

TEST_CASE("rng: uniform draws fill the unit interval evenly", "[model][base]") {
    constexpr int kDraws = 100'000;
    constexpr int kBins = 20;
    const Rng rng(42);
    std::vector<int> bins(kBins, 0);
    for (std::uint64_t i = 0; i < kDraws; ++i) {
        const double draw = rng.uniform(i);
        REQUIRE(draw >= 0);
        REQUIRE(draw < 1);
        ++bins[static_cast<std::size_t>(draw * kBins)];
    }
    // Chi-squared, 19 degrees of freedom: above 43.8 in one of a thousand seeds.
    double chi_squared = 0;
    for (const int count : bins) {
        chi_squared += std::pow(count - kDraws / kBins, 2) / (double{kDraws} / kBins);
    }
    CHECK(chi_squared < 43.8);
}

TEST_CASE("rng: normal draws have mean 0, variance 1, kurtosis 3 and normal tails",
          "[model][base]") {
    constexpr int kDraws = 100'000;
    const Rng rng(42, 1);
    double sum = 0;
    double squares = 0;
    double fourths = 0;
    int beyond_two = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
        const double draw = rng.normal(i);
        REQUIRE(std::isfinite(draw));
        sum += draw;
        squares += draw * draw;
        fourths += std::pow(draw, 4);
        beyond_two += std::abs(draw) > 2 ? 1 : 0;
    }
    // About four standard errors each.
    CHECK(std::abs(sum / kDraws) < 0.013);
    CHECK(squares / kDraws == Approx(1).margin(0.018));
    CHECK(fourths / kDraws == Approx(3).margin(0.13));
    CHECK(double{1} * beyond_two / kDraws == Approx(0.0455).margin(0.0027));
}

TEST_CASE("rng: neighbouring indices and streams are uncorrelated", "[model][base]") {
    constexpr int kDraws = 50'000;
    const Rng rng(1);
    const Rng other(1, 1);
    double next = 0;
    double across = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
        next += (rng.uniform(i) - 0.5) * (rng.uniform(i + 1) - 0.5);
        across += (rng.uniform(i) - 0.5) * (other.uniform(i) - 0.5);
    }
    const double four_errors = 4.0 / 12 / std::sqrt(kDraws);
    CHECK(std::abs(next / kDraws) < four_errors);
    CHECK(std::abs(across / kDraws) < four_errors);
}
