#include "sim/cost/curve_model.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <span>

#include "model/base/check.hpp"
#include "sim/cost/least_squares.hpp"

namespace r1 {

namespace {

// Relative errors beyond this count less and less: measurements of one shape differ by as much.
constexpr double kOutlier = 0.05;

// Of fitted parameters. A fit that leaves a point out starts from the whole one, next to its goal.
constexpr double kTolerance = 1e-8;
constexpr double kLeftOutTolerance = 1e-5;

// A point of another implementation is as far away as one of twice the size; so is a kernel on
// 1.4 times the SMs. Neighbours at distance 0.3 count half of one at distance 0, and those far away
// nothing against kShrink. No source has such numbers: leave-one-out errors of all curves are what
// speaks for them.
constexpr double kOtherImplementation = 1.0;
constexpr double kSmDistance = 2.0;
constexpr double kBlur = 0.1;
constexpr double kShrink = 0.3;
constexpr std::size_t kNeighbours = 8;

// A launch time beside a rate wants sizes at least this far apart.
constexpr double kSpread = 4;

double feature(const std::string& column, double value) {
    return std::log2(std::max(value, 1.0)) * (column == "sms" ? kSmDistance : 1);
}

std::map<std::string, double> named(const CalibrationCurve& curve,
                                    const std::vector<double>& values) {
    std::map<std::string, double> columns;
    for (std::size_t i = 0; i < values.size(); ++i) {
        columns[curve.columns[i]] = values[i];
    }
    return columns;
}

double measured_us(const CalibrationCurve& curve, double value, const KernelShape& shape) {
    if (curve.quantity == "us") {
        return value;
    }
    return curve.quantity == "tflops" ? shape.flops / value / 1e6 : shape.bytes / value / 1e3;
}

// Forms of a curve, the one with most parameters first.
std::vector<CurveForm> candidate_forms(const CalibrationCurve& curve) {
    if (curve.column("rdma_us") >= 0) {
        return {CurveForm::links};
    }
    if (curve.column("rdma_bytes") >= 0) {
        return {CurveForm::copies};
    }
    const bool bytes = curve.column("bytes") >= 0;
    if (curve.quantity == "us") {
        return bytes ? std::vector{CurveForm::affine, CurveForm::constant}
                     : std::vector{CurveForm::constant};
    }
    if (curve.quantity != "tflops") {
        const int sms = curve.column("sms");
        const auto other = [&](const CalibrationPoint& point) {
            return point.columns[static_cast<std::size_t>(sms)] !=
                   curve.points.front().columns[static_cast<std::size_t>(sms)];
        };
        if (sms >= 0 && std::any_of(curve.points.begin(), curve.points.end(), other)) {
            return {CurveForm::per_sm, CurveForm::rate};
        }
        return bytes ? std::vector{CurveForm::bytes, CurveForm::rate}
                     : std::vector{CurveForm::rate};
    }
    if (curve.column("n") >= 0) {
        return {CurveForm::waves, CurveForm::compute, CurveForm::efficiency};
    }
    if (curve.column("kv_len") >= 0) {
        return {CurveForm::roofline, CurveForm::efficiency};
    }
    return {CurveForm::compute, CurveForm::efficiency};
}

// A form with many parameters wants points to spare, not just one.
std::size_t points_needed(CurveForm form, std::size_t factors) {
    const std::size_t count = r1::parameters(form).size();
    return count > 2 ? 4 * count + factors : count + factors + 1;
}

}  // namespace

CurveModel::CurveModel(const CalibrationCurve& curve, const Calibration& calibration)
    : curve_(curve) {
    for (const CalibrationPoint& point : curve.points) {
        Sample sample;
        sample.shape = shape_of(curve.kernel, named(curve, point.columns));
        for (std::size_t c = 0; c < curve.columns.size(); ++c) {
            sample.features.push_back(feature(curve.columns[c], point.columns[c]));
        }
        const CalibrationSource& source = calibration.sources.at(point.source);
        sample.implementation =
            source.implementation.empty() ? point.source : source.implementation;
        sample.us = measured_us(curve, point.value, sample.shape);
        samples_.push_back(std::move(sample));
    }
    R1_CHECK(!samples_.empty());
    reference_ = samples_.front().implementation;
    for (const Sample& sample : samples_) {
        if (sample.implementation == calibration.implementation) {
            reference_ = sample.implementation;
        }
    }
    choose_form();
    fit({});
}

void CurveModel::choose_form() {
    std::set<std::string> implementations;
    std::set<double> sizes;
    for (const Sample& sample : samples_) {
        implementations.insert(sample.implementation);
        sizes.insert(sample.shape.bytes + sample.shape.flops);
    }
    const std::size_t factors = implementations.size() - 1;
    const std::vector<CurveForm> forms = candidate_forms(curve_);
    form_ = forms.back();
    for (const CurveForm form : forms) {
        const std::size_t count = r1::parameters(form).size();
        // A slope needs sizes that differ.
        const bool spread = count == 1 || *sizes.rbegin() >= kSpread * *sizes.begin();
        if (samples_.size() >= points_needed(form, factors) && spread) {
            form_ = form;
            break;
        }
    }
    for (const FormParameter& parameter : r1::parameters(form_)) {
        parameters_.push_back(parameter.start);
    }
    for (const std::string& implementation : implementations) {
        if (implementation != reference_) {
            factors_[implementation] = 1;
        }
    }
    for (Sample& sample : samples_) {
        const auto found = factors_.find(sample.implementation);
        if (found != factors_.end()) {
            sample.factor = static_cast<std::size_t>(std::distance(factors_.begin(), found));
        }
    }
}

double CurveModel::formula_us(const Sample& sample, const DeviceScale& scale) const {
    const auto factor = factors_.find(sample.implementation);
    return time_us(form_, parameters_, sample.shape, scale) *
           (factor == factors_.end() ? 1 : factor->second);
}

// Ordinary least squares: the sum over the points stays what was measured.
void CurveModel::fit_affine(Skip skip) {
    double count = 0;
    double x = 0;
    double y = 0;
    double xx = 0;
    double xy = 0;
    for (std::size_t i = 0; i < samples_.size(); ++i) {
        if (i != skip) {
            const double size = form_ == CurveForm::affine ? samples_[i].shape.bytes / 1e6 : 0;
            count += 1;
            x += size;
            y += samples_[i].us;
            xx += size * size;
            xy += size * samples_[i].us;
        }
    }
    const double spread = count * xx - x * x;
    const double slope = spread > 0 ? std::max(0.0, (count * xy - x * y) / spread) : 0;
    const double offset = (y - slope * x) / count;
    parameters_ = offset >= 0 ? std::vector{offset, slope} : std::vector{0.0, xx > 0 ? y / x : 0};
    parameters_.resize(r1::parameters(form_).size());
}

// In logs of parameters and factors: all are positive, and relative errors count.
void CurveModel::fit_formula(Skip skip) {
    std::vector<double> start;
    for (const double parameter : parameters_) {
        start.push_back(std::log(parameter));
    }
    for (const auto& [implementation, factor] : factors_) {
        start.push_back(std::log(factor));
    }
    const std::size_t count = parameters_.size();
    const auto residuals = [&](const std::vector<double>& logs) {
        std::vector<double> values(logs.size());
        std::transform(logs.begin(), logs.end(), values.begin(),
                       [](double log) { return std::exp(log); });
        const std::span<const double> formula(values.data(), count);
        std::vector<double> out(samples_.size(), 0.0);
        for (std::size_t i = 0; i < samples_.size(); ++i) {
            if (i != skip) {
                const Sample& sample = samples_[i];
                const double factor = sample.factor ? values[count + *sample.factor] : 1;
                out[i] = std::log(time_us(form_, formula, sample.shape, {}) * factor / sample.us);
            }
        }
        return out;
    };
    const std::vector<double> logs =
        least_squares(residuals, start, kOutlier, skip ? kLeftOutTolerance : kTolerance);
    std::size_t next = 0;
    for (double& parameter : parameters_) {
        parameter = std::exp(logs[next++]);
    }
    for (auto& [implementation, factor] : factors_) {
        factor = std::exp(logs[next++]);
    }
}

void CurveModel::fit(Skip skip) {
    if (form_ == CurveForm::affine || form_ == CurveForm::constant) {
        fit_affine(skip);
    } else {
        fit_formula(skip);
    }
    residuals_.clear();
    for (const Sample& sample : samples_) {
        residuals_.push_back(std::log(sample.us / std::max(formula_us(sample, {}), 1e-9)));
    }
}

double CurveModel::neighbours(const Sample& at, Skip skip) const {
    if (curve_.quantity == "us") {
        return 0;  // waits and gaps scatter: a neighbour says nothing
    }
    std::vector<std::pair<double, std::size_t>> near;
    for (std::size_t i = 0; i < samples_.size(); ++i) {
        if (i == skip) {
            continue;
        }
        const Sample& other = samples_[i];
        double squared = other.implementation == at.implementation ? 0 : kOtherImplementation;
        for (std::size_t f = 0; f < at.features.size(); ++f) {
            squared += std::pow(other.features[f] - at.features[f], 2);
        }
        near.emplace_back(squared, i);
    }
    const std::size_t used = std::min(kNeighbours, near.size());
    std::partial_sort(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(used), near.end());
    double weights = kShrink;
    double sum = 0;
    for (std::size_t i = 0; i < used; ++i) {
        const double weight = std::pow(near[i].first + kBlur, -1.5);
        weights += weight;
        sum += weight * residuals_[near[i].second];
    }
    return sum / weights;
}

CurveTime CurveModel::predict(const std::map<std::string, double>& columns,
                              const DeviceScale& scale) const {
    Sample sample;
    sample.shape = shape_of(curve_.kernel, columns);
    sample.implementation = reference_;
    for (const std::string& column : curve_.columns) {
        const auto found = columns.find(column);
        sample.features.push_back(feature(column, found == columns.end() ? 1 : found->second));
    }
    // Beyond the measured sizes, what the points at the border add still holds.
    for (std::size_t f = 0; f < sample.features.size(); ++f) {
        const auto [low, high] = std::minmax_element(
            samples_.begin(), samples_.end(),
            [f](const Sample& a, const Sample& b) { return a.features[f] < b.features[f]; });
        sample.features[f] = std::clamp(sample.features[f], low->features[f], high->features[f]);
    }
    return {microseconds(formula_us(sample, scale) * std::exp(neighbours(sample, {}))),
            rate_shares(form_, parameters_, sample.shape, scale)};
}

bool CurveModel::extrapolates(const std::map<std::string, double>& columns) const {
    for (std::size_t c = 0; c < curve_.columns.size(); ++c) {
        const auto found = columns.find(curve_.columns[c]);
        if (found == columns.end()) {
            continue;
        }
        const auto [low, high] = std::minmax_element(
            curve_.points.begin(), curve_.points.end(),
            [c](const auto& a, const auto& b) { return a.columns[c] < b.columns[c]; });
        if (found->second < low->columns[c] || found->second > high->columns[c]) {
            return true;
        }
    }
    return false;
}

std::vector<FittedPoint> CurveModel::fitted() const {
    std::vector<FittedPoint> points;
    for (const Sample& sample : samples_) {
        points.push_back({sample.us, formula_us(sample, {}), 0});
    }
    return points;
}

std::vector<FittedPoint> CurveModel::leave_one_out() const {
    if (samples_.size() < 2) {
        return {};
    }
    std::vector<FittedPoint> points = fitted();
    for (std::size_t i = 0; i < samples_.size(); ++i) {
        CurveModel without = *this;  // starts from the whole fit
        without.fit(i);
        const double predicted =
            without.formula_us(samples_[i], {}) * std::exp(without.neighbours(samples_[i], i));
        points[i].left_out_percent = (predicted / samples_[i].us - 1) * 100;
    }
    return points;
}

std::optional<double> median_size(std::vector<double> errors) {
    if (errors.empty()) {
        return std::nullopt;
    }
    for (double& error : errors) {
        error = std::abs(error);
    }
    const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
    std::nth_element(errors.begin(), middle, errors.end());
    return *middle;
}

std::optional<double> leave_one_out_error_percent(const CurveModel& model) {
    std::vector<double> errors;
    for (const FittedPoint& point : model.leave_one_out()) {
        errors.push_back(point.left_out_percent);
    }
    return median_size(std::move(errors));
}

}  // namespace r1
