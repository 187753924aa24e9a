// Counter-based random numbers (Philox4x32-10, Salmon et al., SC'11): a pure function of
// (seed, stream, index), so draws do not depend on order or on threads.
#pragma once

#include <array>
#include <cstdint>

namespace r1 {

// 128 random bits for one counter value.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

class Rng {
public:
    explicit Rng(std::uint64_t seed, std::uint64_t stream = 0) : seed_(seed), stream_(stream) {}

    [[nodiscard]] std::uint64_t bits(std::uint64_t index) const;
    [[nodiscard]] double uniform(std::uint64_t index) const;  // [0, 1), 53 bits
    [[nodiscard]] double normal(std::uint64_t index) const;   // Box-Muller on two uniforms

private:
    std::uint64_t seed_;
    std::uint64_t stream_;
};

}  // namespace r1
