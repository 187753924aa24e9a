#include "runtime/calibration/collective_job.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "model/base/collective_bus.hpp"

namespace r1 {

namespace {

constexpr std::array kCollectives = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all"};
constexpr std::int64_t kSmallest = 1 << 10;
constexpr std::int64_t kLargest = 1 << 30;
constexpr std::int64_t kStep = 4;
constexpr std::int64_t kAlignment = 16;  // of a rank's part

// Rough: the slowest of NVLinks, and what a launch over all GPUs takes.
constexpr double kBytesPerSecond = 50e9;
constexpr double kLaunchSeconds = 50e-6;
constexpr int kTimings = 8;  // with the first, which does not count

std::vector<int> group_sizes(int gpus) {
    std::vector<int> sizes;
    for (int ranks = 2; ranks < gpus; ranks *= 2) {
        sizes.push_back(ranks);
    }
    if (gpus >= 2) {
        sizes.push_back(gpus);
    }
    return sizes;
}

double seconds_of(const CollectiveJob& job) {
    return kLaunchSeconds + static_cast<double>(job.bytes) / kBytesPerSecond;
}

}  // namespace

std::vector<CollectiveJob> collective_jobs(int gpus, double buffer_bytes_max) {
    std::vector<CollectiveJob> jobs;
    for (const int ranks : group_sizes(gpus)) {
        for (std::int64_t size = kSmallest; size <= kLargest; size *= kStep) {
            const std::int64_t unit = ranks * kAlignment;
            const std::int64_t bytes = std::max(size / unit, std::int64_t{1}) * unit;
            if (static_cast<double>(bytes) > buffer_bytes_max) {
                break;
            }
            for (const char* kernel : kCollectives) {
                jobs.push_back({kernel, ranks, bytes});
            }
        }
    }
    return jobs;
}

std::string describe(const CollectiveJob& job) {
    return job.kernel + " " + std::to_string(job.bytes) + " bytes over " +
           std::to_string(job.ranks) + " GPUs";
}

int collective_repetitions(const CollectiveJob& job) {
    constexpr double kWanted = 5e-3;
    return std::clamp(static_cast<int>(kWanted / seconds_of(job)), 2, 50);
}

double estimate_s(const CollectiveJob& job) {
    return kTimings * collective_repetitions(job) * seconds_of(job);
}

void add_collective(MeasuredCalibration& calibration, const CollectiveJob& job,
                    const Timing& timing, const std::string& ran) {
    MeasuredPoint point;
    const auto bytes = static_cast<double>(job.bytes);
    point.columns = {bytes, static_cast<double>(job.ranks)};
    point.timing = timing;
    // B/us is 1e-3 GB/s.
    point.value = bytes * bus_factor(job.kernel, job.ranks) / timing.median_us * 1e-3;
    point.ran = ran;
    point.derivation = job.kernel == "all_reduce"
                           ? "bytes x 2 (ranks - 1) / ranks, divided by the median"
                           : "bytes x (ranks - 1) / ranks, divided by the median";
    add_point(calibration, job.kernel, "bus_gb_per_s", {"bytes", "ranks"}, std::move(point),
              kCollectiveSource);
}

void add_collective_constants(MeasuredCalibration& calibration) {
    for (const MeasuredCurve& curve : calibration.curves) {
        if (curve.kernel != "all_to_all" || curve.points.empty()) {
            continue;
        }
        const auto largest = std::max_element(curve.points.begin(), curve.points.end(),
                                              [](const auto& a, const auto& b) {
                                                  return std::pair(a.columns[1], a.columns[0]) <
                                                         std::pair(b.columns[1], b.columns[0]);
                                              });
        calibration.constants.push_back(
            {"nvlink_bus_gb_per_s", largest->value,
             "bus bandwidth of all_to_all, " +
                 std::to_string(static_cast<std::int64_t>(largest->columns[0])) + " bytes over " +
                 std::to_string(static_cast<int>(largest->columns[1])) + " GPUs",
             kCollectiveSource});
    }
}

}  // namespace r1
