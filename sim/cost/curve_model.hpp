// A calibration curve, fitted: a formula with a few parameters, a factor for each implementation
// that was measured, and what the nearest measured points add to it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/base/units.hpp"
#include "sim/cost/calibration.hpp"
#include "sim/cost/curve_form.hpp"

namespace r1 {

struct FittedPoint {
    double measured_us = 0;
    double fitted_us = 0;         // formula and factor, without the neighbours
    double left_out_percent = 0;  // signed error of the model fitted without this point
};

// A predicted time, and how it follows from the device's rates.
struct CurveTime {
    Seconds time;
    RateShares shares;
};

class CurveModel {
public:
    // Fits. The largest form of the curve's kind that leaves more points than parameters; a curve
    // of one point is taken as it is. `implementation`: whose kernels the model stands for, where
    // the curve has points of them; else those of its first point. The curve must outlive it.
    CurveModel(const CalibrationCurve& curve, const Calibration& calibration);

    // Of a kernel with these columns (those that the curve lacks are ignored).
    [[nodiscard]] CurveTime predict(const std::map<std::string, double>& columns,
                                    const DeviceScale& scale) const;
    [[nodiscard]] Seconds time(const std::map<std::string, double>& columns,
                               const DeviceScale& scale) const {
        return predict(columns, scale).time;
    }
    // Whether a column lies outside the measured range.
    [[nodiscard]] bool extrapolates(const std::map<std::string, double>& columns) const;

    [[nodiscard]] const CalibrationCurve& curve() const { return curve_; }
    [[nodiscard]] CurveForm form() const { return form_; }
    [[nodiscard]] const std::vector<double>& parameters() const { return parameters_; }
    // By implementation, but for the one that the model stands for: how much longer its kernels
    // take.
    [[nodiscard]] const std::map<std::string, double>& factors() const { return factors_; }
    [[nodiscard]] const std::string& implementation() const { return reference_; }

    // In the order of the curve's points, without left_out_percent.
    [[nodiscard]] std::vector<FittedPoint> fitted() const;
    // Refits without each point in turn. Empty for a single point.
    [[nodiscard]] std::vector<FittedPoint> leave_one_out() const;

private:
    struct Sample {
        KernelShape shape;
        std::vector<double> features;
        std::string implementation;
        std::optional<std::size_t> factor;  // which of factors_
        double us = 0;
    };
    using Skip = std::optional<std::size_t>;  // a sample that does not count

    void choose_form();
    void fit(Skip skip);
    void fit_affine(Skip skip);
    void fit_formula(Skip skip);
    [[nodiscard]] double formula_us(const Sample& sample, const DeviceScale& scale) const;
    [[nodiscard]] double neighbours(const Sample& at, Skip skip) const;

    const CalibrationCurve& curve_;
    std::vector<Sample> samples_;
    std::string reference_;
    CurveForm form_ = CurveForm::constant;
    std::vector<double> parameters_;
    std::map<std::string, double> factors_;
    std::vector<double> residuals_;  // log(measured / formula), by sample
};

// Median of the absolute values (the upper one of an even number); nothing for none.
std::optional<double> median_size(std::vector<double> errors);

// Median of the absolute left-out errors, in per cent; nothing for fewer than two points.
std::optional<double> leave_one_out_error_percent(const CurveModel& model);

}  // namespace r1
