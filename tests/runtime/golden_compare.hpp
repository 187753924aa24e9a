// How the values of a run are held against those of a golden file.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include "tests/support/catch.hpp"

namespace r1::test {

inline void compare_elements(const std::vector<float>& got, const std::vector<float>& want,
                             double atol, double rtol) {
    REQUIRE(got.size() == want.size());
    double worst = -1e30;
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double excess = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])) -
                              (atol + rtol * std::abs(static_cast<double>(want[i])));
        worst = std::max(worst, std::isnan(excess) ? 1e30 : excess);
    }
    CHECK(worst <= 0);
}

// Share of rows whose chosen experts are the same set.
inline double equal_sets(const std::vector<std::int32_t>& got,
                         const std::vector<std::int32_t>& want, std::size_t width) {
    REQUIRE(got.size() == want.size());
    std::size_t equal = 0;
    for (std::size_t row = 0; row < got.size(); row += width) {
        const auto set_of = [&](const std::vector<std::int32_t>& values) {
            const auto begin = values.begin() + static_cast<std::ptrdiff_t>(row);
            return std::set<std::int32_t>(begin, begin + static_cast<std::ptrdiff_t>(width));
        };
        equal += set_of(got) == set_of(want);
    }
    return static_cast<double>(equal * width) / static_cast<double>(got.size());
}

// Distances of rows, relative to the row; ascending.
inline std::vector<double> row_distances(const std::vector<float>& got, const float* want,
                                         std::size_t width) {
    std::vector<double> distances;
    for (std::size_t row = 0; row < got.size(); row += width) {
        double difference = 0;
        double norm = 0;
        for (std::size_t i = row; i < row + width; ++i) {
            difference += std::pow(got[i] - want[i], 2);
            norm += std::pow(want[i], 2);
        }
        distances.push_back(norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm));
    }
    std::sort(distances.begin(), distances.end());
    return distances;
}

// A flipped rounding moves a whole row; one value that stands out from its row's differences is
// wrong. Rows of n values: a lone one stands out by sqrt(n).
inline bool has_lone_difference(const std::vector<float>& got, const std::vector<float>& want,
                                std::size_t width) {
    for (std::size_t row = 0; row < got.size(); row += width) {
        double squares = 0;
        double largest = 0;
        double size = 0;
        for (std::size_t i = row; i < row + width; ++i) {
            const double difference = std::abs(static_cast<double>(got[i]) - want[i]);
            squares += difference * difference;
            largest = std::max(largest, difference);
            size = std::max(size, std::abs(static_cast<double>(want[i])));
        }
        if (largest > 9 * std::sqrt(squares / static_cast<double>(width)) + 1e-5 * size) {
            return true;
        }
    }
    return false;
}

// FP8 runs: rounding of activations is discontinuous, so rows agree as the set's README suggests
// for logits. `slack` widens that for what lies before them.
inline void compare_fp8_rows(const std::vector<float>& got, const std::vector<float>& want,
                             std::size_t width, bool is_short, double slack) {
    REQUIRE(got.size() == want.size());
    const std::vector<double> distances = row_distances(got, want.data(), width);
    const auto quantile = [&](double q) {
        return distances[static_cast<std::size_t>(q * static_cast<double>(distances.size() - 1))];
    };
    CHECK(!has_lone_difference(got, want, width));
    if (is_short) {
        CHECK(quantile(0.8) <= 1e-3 * slack);  // seven rows: one may have flipped
        CHECK(distances.back() <= 0.10 * slack);
    } else {
        CHECK(quantile(0.5) <= 0.05 * slack);
        CHECK(quantile(0.9) <= 0.09 * slack);
    }
}

inline void compare_top(const std::vector<float>& got, const std::vector<float>& want,
                        std::size_t width) {
    std::size_t same = 0;
    for (std::size_t row = 0; row < got.size(); row += width) {
        const auto top = [&](const std::vector<float>& values) {
            const auto begin = values.begin() + static_cast<std::ptrdiff_t>(row);
            return std::max_element(begin, begin + static_cast<std::ptrdiff_t>(width)) - begin;
        };
        same += top(got) == top(want);
    }
    CHECK(static_cast<double>(same * width) >= 0.92 * static_cast<double>(got.size()));
}

// Narrow rows (routing, losses): nine of ten values within a tenth of their usual size.
inline void compare_fp8_values(const std::vector<float>& got, const std::vector<float>& want) {
    REQUIRE(got.size() == want.size());
    double squares = 0;
    for (const float value : want) {
        squares += static_cast<double>(value) * value;
    }
    const double size =
        std::sqrt(squares / static_cast<double>(std::max<std::size_t>(1, want.size())));
    std::size_t near = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        near += std::abs(static_cast<double>(got[i]) - want[i]) <= 0.1 * size;
    }
    CHECK(static_cast<double>(near) >= 0.9 * static_cast<double>(got.size()));
}

}  // namespace r1::test
