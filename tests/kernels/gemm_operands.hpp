// Sizes and FP8 scales of products, for tests of the gemm kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/base/rng.hpp"

namespace r1::test {

struct GemmShape {
    std::int64_t m;
    std::int64_t n;
    std::int64_t k;
};

// In [0.01, 1.01).
inline std::vector<float> random_scales(std::int64_t count, std::uint64_t seed) {
    std::vector<float> scales(static_cast<std::size_t>(count));
    const Rng rng(seed);
    for (std::size_t i = 0; i < scales.size(); ++i) {
        scales[i] = static_cast<float>(0.01 + rng.uniform(i));
    }
    return scales;
}

}  // namespace r1::test
