#include "kernels/cpu/fill_normal.hpp"

#include <algorithm>

#include "kernels/cpu/parallel_for.hpp"

namespace r1::cpu {

void fill_normal(const Rng& rng, double deviation, std::span<float> values) {
    constexpr std::int64_t kPart = 4096;
    const auto size = static_cast<std::int64_t>(values.size());
    parallel_for((size + kPart - 1) / kPart, kPart, [&](std::int64_t part) {
        for (std::int64_t i = part * kPart; i < std::min(size, (part + 1) * kPart); ++i) {
            values[static_cast<std::size_t>(i)] =
                static_cast<float>(deviation * rng.normal(static_cast<std::uint64_t>(i)));
        }
    });
}

}  // namespace r1::cpu
