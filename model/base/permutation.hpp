// A random order of 0 .. size-1, one element at a time: a pure function of (seed, stream, index)
// that holds no list, so threads share it and any place of it can be looked up first.
#pragma once

#include <array>
#include <cstdint>

namespace r1 {

class Permutation {
public:
    // size: at least 1, at most 2^62.
    Permutation(std::uint64_t seed, std::uint64_t stream, std::uint64_t size);

    [[nodiscard]] std::uint64_t at(std::uint64_t index) const;  // index < size

private:
    [[nodiscard]] std::uint64_t mix(std::uint64_t value) const;

    std::array<std::uint32_t, 2> key_{};
    std::uint64_t size_;
    int half_bits_ = 1;
};

}  // namespace r1
