#include "runtime/calibration/measurement.hpp"

#include <algorithm>
#include <utility>

#include "model/base/check.hpp"

namespace r1 {

namespace {

// Between the two neighbours, as most statistics programs do (R's type 7).
double quantile(const std::vector<double>& sorted, double fraction) {
    const double at = fraction * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Timing summarize(std::vector<double> times_us) {
    R1_CHECK(!times_us.empty());
    std::sort(times_us.begin(), times_us.end());
    Timing timing;
    timing.median_us = quantile(times_us, 0.5);
    timing.repetitions = static_cast<int>(times_us.size());
    if (timing.median_us > 0) {
        timing.spread = (quantile(times_us, 0.75) - quantile(times_us, 0.25)) / timing.median_us;
    }
    return timing;
}

void add_point(MeasuredCalibration& calibration, const std::string& kernel,
               const std::string& quantity, const std::vector<std::string>& columns,
               MeasuredPoint point, const std::string& source) {
    R1_CHECK(point.columns.size() == columns.size());
    auto found = std::find_if(calibration.curves.begin(), calibration.curves.end(),
                              [&](const auto& curve) { return curve.kernel == kernel; });
    if (found == calibration.curves.end()) {
        found =
            calibration.curves.insert(found, MeasuredCurve{kernel, quantity, columns, {}, source});
    }
    R1_CHECK(found->quantity == quantity && found->columns == columns);
    found->points.push_back(std::move(point));
}

}  // namespace r1
