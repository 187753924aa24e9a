#include "model/base/permutation.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "model/base/content_hash.hpp"
#include "tests/support/catch.hpp"

using r1::Permutation;

TEST_CASE("permutation: every element comes once, whatever the size", "[model][base]") {
    for (std::uint64_t size = 1; size <= 300; ++size) {
        const Permutation permutation(7, size, size);
        std::vector<bool> seen(size, false);
        for (std::uint64_t i = 0; i < size; ++i) {
            const std::uint64_t element = permutation.at(i);
            REQUIRE(element < size);
            REQUIRE(!seen[element]);
            seen[element] = true;
        }
    }
}

TEST_CASE("permutation: seed and stream each give another order", "[model][base]") {
    const auto order = [](std::uint64_t seed, std::uint64_t stream) {
        const Permutation permutation(seed, stream, 1000);
        std::vector<std::uint64_t> elements;
        for (std::uint64_t i = 0; i < 1000; ++i) {
            elements.push_back(permutation.at(i));
        }
        return elements;
    };
    CHECK(order(1, 2) == order(1, 2));
    CHECK(order(1, 2) != order(1, 3));
    CHECK(order(1, 2) != order(2, 2));
    CHECK(order(1, 2) != order(2, 1));
}

TEST_CASE("permutation: all orders of three elements are about equally frequent", "[model][base]") {
    constexpr int kDraws = 6000;
    std::map<std::array<std::uint64_t, 3>, int> count;
    for (std::uint64_t stream = 0; stream < kDraws; ++stream) {
        const Permutation permutation(3, stream, 3);
        ++count[{permutation.at(0), permutation.at(1), permutation.at(2)}];
    }
    CHECK(count.size() == 6);
    for (const auto& [order, times] : count) {
        CHECK(times == Approx(kDraws / 6).margin(150));  // five standard deviations: 144
    }
}

TEST_CASE("permutation: an element is as likely in one place as in another", "[model][base]") {
    constexpr std::uint64_t kSize = 20;
    constexpr int kDraws = 8000;
    std::array<std::array<int, kSize>, kSize> count{};
    for (std::uint64_t stream = 0; stream < kDraws; ++stream) {
        const Permutation permutation(5, stream, kSize);
        for (std::uint64_t i = 0; i < kSize; ++i) {
            ++count[i][permutation.at(i)];
        }
    }
    for (const auto& row : count) {
        for (const int times : row) {
            CHECK(times == Approx(kDraws / kSize).margin(100));  // five standard deviations: 97
        }
    }
}

TEST_CASE("permutation: large sizes need no memory", "[model][base]") {
    const std::uint64_t size = (std::uint64_t{1} << 61) + 1;
    const Permutation permutation(1, 1, size);
    CHECK(permutation.at(0) < size);
    CHECK(permutation.at(size - 1) < size);
    CHECK(permutation.at(0) != permutation.at(size - 1));
}

TEST_CASE("content hash: XXH3 of 128 bits, as published", "[model][base]") {
    // xxhsum -H2 of nothing.
    CHECK(r1::content_hash("") == "99aa06d3014798d86001c324468d497f");
    CHECK(r1::content_hash("a") != r1::content_hash("b"));
}
