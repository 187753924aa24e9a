#include "sim/cost/least_squares.hpp"

#include <cmath>

#include <Eigen/Core>
#include <unsupported/Eigen/NonLinearOptimization>
#include <unsupported/Eigen/NumericalDiff>

#include "model/base/check.hpp"

namespace r1 {

namespace {

constexpr double kNowhere = 1e6;

// What Eigen's solvers take.
struct Problem {
    using Scalar = double;
    using InputType = Eigen::VectorXd;
    using ValueType = Eigen::VectorXd;
    using JacobianType = Eigen::MatrixXd;
    enum { InputsAtCompileTime = Eigen::Dynamic, ValuesAtCompileTime = Eigen::Dynamic };

    const Residuals& function;
    double scale;
    int parameter_count;
    int point_count;

    [[nodiscard]] int inputs() const { return parameter_count; }
    [[nodiscard]] int values() const { return point_count; }

    int operator()(const InputType& at, ValueType& out) const {
        const std::vector<double> r = function({at.data(), at.data() + at.size()});
        R1_CHECK(static_cast<int>(r.size()) == point_count);
        for (int i = 0; i < point_count; ++i) {
            // Its square is the soft L1 loss 2 s^2 (sqrt(1 + (r/s)^2) - 1), written without the
            // difference, in which small residuals would vanish.
            const double given = r[static_cast<std::size_t>(i)];
            // A step to where the function has no value is one too far: the solver turns back.
            const double residual = std::isfinite(given) ? given : kNowhere;
            const double x = residual / scale;
            out[i] = residual * std::sqrt(2 / (std::sqrt(1 + x * x) + 1));
        }
        return 0;
    }
};

}  // namespace

std::vector<double> least_squares(const Residuals& residuals, std::vector<double> start,
                                  double scale, double tolerance) {
    const auto points = static_cast<int>(residuals(start).size());
    const auto parameters = static_cast<int>(start.size());
    R1_CHECK(points >= parameters);
    Eigen::NumericalDiff<Problem> problem(Problem{residuals, scale, parameters, points});
    Eigen::LevenbergMarquardt<Eigen::NumericalDiff<Problem>> solver(problem);
    solver.parameters.maxfev = 2000;
    solver.parameters.ftol = tolerance;
    solver.parameters.xtol = tolerance;
    Eigen::VectorXd at = Eigen::Map<Eigen::VectorXd>(start.data(), parameters);
    solver.minimize(at);
    return {at.data(), at.data() + at.size()};
}

}  // namespace r1
