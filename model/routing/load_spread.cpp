#include "model/routing/load_spread.hpp"

#include <algorithm>
#include <vector>

namespace r1 {

LoadSpread load_spread(std::span<const double> loads) {
    std::vector<double> sorted(loads.begin(), loads.end());
    std::sort(sorted.begin(), sorted.end());
    const auto n = static_cast<double>(sorted.size());
    double sum = 0;
    double ranked = 0;  // sum of rank x load, ranks from 1
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        sum += sorted[i];
        ranked += static_cast<double>(i + 1) * sorted[i];
    }
    return {sorted.back() * n / sum, 2 * ranked / (n * sum) - (n + 1) / n};
}

}  // namespace r1
