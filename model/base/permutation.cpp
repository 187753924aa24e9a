#include "model/base/permutation.hpp"

#include <utility>

#include "model/base/check.hpp"
#include "model/base/rng.hpp"

namespace r1 {

namespace {

constexpr int kFeistelRounds = 8;
constexpr std::uint64_t kSizeMax = std::uint64_t{1} << 62;

}  // namespace

Permutation::Permutation(std::uint64_t seed, std::uint64_t stream, std::uint64_t size)
    : size_(size) {
    R1_CHECK(size >= 1 && size <= kSizeMax);
    const std::uint64_t key = Rng(seed, stream).bits(0);
    key_ = {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
    while ((std::uint64_t{1} << (2 * half_bits_)) < size) {
        ++half_bits_;
    }
}

// A Feistel network is a permutation of 2 x half_bits_ bits whatever its rounds compute.
std::uint64_t Permutation::mix(std::uint64_t value) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    std::uint64_t left = value >> half_bits_;
    std::uint64_t right = value & mask;
    for (std::uint32_t round = 0; round < kFeistelRounds; ++round) {
        const auto words = philox4x32({static_cast<std::uint32_t>(right), round, 0, 0}, key_);
        left = std::exchange(right, (left ^ words[0]) & mask);
    }
    return left << half_bits_ | right;
}

std::uint64_t Permutation::at(std::uint64_t index) const {
    R1_CHECK(index < size_);
    // Of the values beyond size_, fewer than four for each below, the next ones of the cycle that
    // they lie on are taken: what is left is a permutation of the values below.
    do {
        index = mix(index);
    } while (index >= size_);
    return index;
}

}  // namespace r1
