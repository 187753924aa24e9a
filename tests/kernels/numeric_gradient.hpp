// Central differences in double, the oracle of the backward kernels, and what tests need beside.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/cpu/threads.hpp"
#include "tests/kernels/buffers.hpp"

namespace r1::test {

using Doubles = std::vector<double>;

inline Doubles values(const Buffer& buffer, std::int64_t rows, std::int64_t width) {
    Doubles result;
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t i = 0; i < width; ++i) {
            result.push_back(static_cast<double>(buffer.at(row, i)));
        }
    }
    return result;
}

inline double dot(const Doubles& a, const Doubles& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

// The gradient at x of loss(x), a function of doubles.
template <class Loss>
Doubles numeric_gradient(Doubles x, const Loss& loss) {
    constexpr double kStep = 1e-5;
    Doubles gradient;
    for (double& value : x) {
        const double before = value;
        value = before + kStep;
        const double above = loss(x);
        value = before - kStep;
        const double below = loss(x);
        value = before;
        gradient.push_back((above - below) / (2 * kStep));
    }
    return gradient;
}

inline double largest(const Doubles& a) {
    double result = 0;
    for (const double value : a) {
        result = std::max(result, std::isnan(value) ? INFINITY : std::abs(value));
    }
    return result;
}

inline double largest_distance(const Doubles& a, const Doubles& b) {
    Doubles difference;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference.push_back(a[i] - b.at(i));
    }
    return a.size() == b.size() ? largest(difference) : INFINITY;
}

// run() with 1, 2 and 5 threads; true if it returned the same each time.
template <class Run>
bool same_for_any_threads(const Run& run) {
    const std::int64_t before = cpu::thread_count();
    cpu::set_thread_count(1);
    const auto want = run();
    bool same = true;
    for (const int threads : {2, 5}) {
        cpu::set_thread_count(threads);
        same = same && run() == want;
    }
    cpu::set_thread_count(before);
    return same;
}

}  // namespace r1::test
