// The fitter against sums that are solved by hand, and outliers.
#include "sim/cost/least_squares.hpp"

#include <cmath>
#include <vector>

#include "tests/support/catch.hpp"

namespace r1 {
namespace {

// y = a + b x at x = 0, 1, 2, ...
Residuals line_through(const std::vector<double>& values) {
    return [values](const std::vector<double>& p) {
        std::vector<double> residuals;
        for (std::size_t i = 0; i < values.size(); ++i) {
            residuals.push_back(p[0] + p[1] * static_cast<double>(i) - values[i]);
        }
        return residuals;
    };
}

}  // namespace

TEST_CASE("least squares: a line through its points", "[sim][cost]") {
    const std::vector<double> line = least_squares(line_through({1, 3, 5, 7}), {0, 0}, 1);
    CHECK(line[0] == Approx(1).epsilon(1e-8));
    CHECK(line[1] == Approx(2).epsilon(1e-8));
}

TEST_CASE("least squares: small residuals count squared", "[sim][cost]") {
    // (0, 0, 3) is fitted by -1/2 + 3/2 x.
    const std::vector<double> line = least_squares(line_through({0, 0, 3}), {0, 0}, 1e6);
    CHECK(line[0] == Approx(-0.5));
    CHECK(line[1] == Approx(1.5));
}

TEST_CASE("least squares: large residuals count less", "[sim][cost]") {
    // The mean of 0, 0, 0, 0, 10 is 2, their median 0. Soft L1 with scale 0.1 lies close to the
    // median: at x, four pull with (x/s) / sqrt(1 + (x/s)^2), one with about 1, so that
    // (x/s)^2 = 1/15.
    const Residuals residuals = [](const std::vector<double>& p) {
        return std::vector<double>{p[0], p[0], p[0], p[0], p[0] - 10};
    };
    CHECK(least_squares(residuals, {5}, 1e6)[0] == Approx(2));
    CHECK(least_squares(residuals, {5}, 0.1)[0] == Approx(0.1 / std::sqrt(15)).epsilon(1e-3));
}

TEST_CASE("least squares: a curved valley", "[sim][cost]") {
    // Rosenbrock: 100 (y - x^2)^2 + (1 - x)^2, from the usual start.
    const Residuals residuals = [](const std::vector<double>& p) {
        return std::vector<double>{10 * (p[1] - p[0] * p[0]), 1 - p[0]};
    };
    const std::vector<double> lowest = least_squares(residuals, {-1.2, 1}, 1e6);
    CHECK(lowest[0] == Approx(1).epsilon(1e-6));
    CHECK(lowest[1] == Approx(1).epsilon(1e-6));
}

TEST_CASE("least squares: a step to where there is no value is taken back", "[sim][cost]") {
    // From x = 5 the tangent leads to x = 5 - 5 (log 5 + 2) < 0, which has no logarithm.
    const Residuals residuals = [](const std::vector<double>& p) {
        std::vector<double> all(32, std::log(p[0]) + 2);
        all.front() = 0;  // a point that is left out
        return all;
    };
    CHECK(least_squares(residuals, {5}, 1e6)[0] == Approx(std::exp(-2)).epsilon(1e-6));
}

TEST_CASE("least squares: a parameter without effect stays where it was", "[sim][cost]") {
    const Residuals residuals = [](const std::vector<double>& p) {
        return std::vector<double>{p[0] - 3, p[0] - 3};
    };
    const std::vector<double> fitted = least_squares(residuals, {1, 8}, 1);
    CHECK(fitted[0] == Approx(3));
    CHECK(fitted[1] == Approx(8));
}

}  // namespace r1
