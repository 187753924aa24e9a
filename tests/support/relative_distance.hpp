// How far two tensors are apart.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace r1::test {

// |a - b| / |b| in the L2 norm; |a| where b is zero.
inline double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
        size += std::pow(static_cast<double>(b[i]), 2);
    }
    return size > 0 ? std::sqrt(difference / size) : std::sqrt(difference);
}

}  // namespace r1::test
