// Nonlinear least squares over a few parameters (Eigen's Levenberg-Marquardt).
#pragma once

#include <functional>
#include <vector>

namespace r1 {

// Residuals of all points for the given parameters; always as many.
using Residuals = std::function<std::vector<double>(const std::vector<double>&)>;

// Parameters that make the sum of squared residuals smallest near `start`, where residuals above
// `scale` count less and less (soft L1), so that single outliers do not bend a curve. Residuals
// that are not finite mean: not here. Ends when a step changes sum and parameters by less than
// `tolerance`, relatively.
std::vector<double> least_squares(const Residuals& residuals, std::vector<double> start,
                                  double scale, double tolerance = 1e-8);

}  // namespace r1
