#include "sim/failures/goodput.hpp"

#include <cmath>
#include <limits>

namespace r1 {

Seconds mean_time_between_failures(const FailureRates& rates, const ComponentCounts& counts) {
    double failures_per_hour = 0;
    const auto add = [&](const std::optional<double>& mtbf_hours, std::int64_t count) {
        failures_per_hour += mtbf_hours ? static_cast<double>(count) / *mtbf_hours : 0;
    };
    add(rates.gpu_mtbf_hours, counts.gpus);
    add(rates.nic_mtbf_hours, counts.nics);
    add(rates.switch_mtbf_hours, counts.switches);
    add(rates.node_mtbf_hours, counts.nodes);
    return Seconds(failures_per_hour > 0 ? 3600 / failures_per_hour
                                         : std::numeric_limits<double>::infinity());
}

double wall_over_productive(const CheckpointedJob& job, Seconds interval) {
    if (std::isinf(job.mtbf.value())) {
        return 1;
    }
    return job.mtbf / interval * std::exp(job.restart / job.mtbf) *
           std::expm1((interval + job.checkpoint_write) / job.mtbf);
}

std::optional<Seconds> optimal_checkpoint_interval(const CheckpointedJob& job) {
    if (std::isinf(job.mtbf.value())) {
        return std::nullopt;
    }
    // Below the root the left side is smaller than the right, above it larger.
    double low = 0;
    double high = job.mtbf.value();
    for (int i = 0; i < 200 && low < high; ++i) {
        const double middle = low + (high - low) / 2;
        const double right =
            -std::expm1(-(middle + job.checkpoint_write.value()) / job.mtbf.value());
        (middle / job.mtbf.value() < right ? low : high) = middle;
    }
    return Seconds(high);
}

}  // namespace r1
