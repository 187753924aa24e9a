// The work list of a GPU calibration: its order, its cost and the memory that it needs.
#include <algorithm>
#include <set>
#include <string>

#include "model/graph/kernels.hpp"
#include "runtime/calibration/budget.hpp"
#include "runtime/calibration/job.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

double seconds(const std::vector<CalibrationJob>& jobs) {
    double sum = 0;
    for (const CalibrationJob& job : jobs) {
        sum += estimate_s(job);
    }
    return sum;
}

}  // namespace

TEST_CASE("calibration jobs: fit their time by estimate", "[runtime][calibration]") {
    CHECK(seconds(calibration_jobs(JobGrid::full)) < 480);
    CHECK(seconds(calibration_jobs(JobGrid::small)) < 60);
}

TEST_CASE("calibration jobs: no point twice", "[runtime][calibration]") {
    std::set<std::string> seen;
    for (const CalibrationJob& job : calibration_jobs(JobGrid::full)) {
        CHECK(seen.insert(describe(job)).second);
    }
}

TEST_CASE("calibration jobs: curves are kernels of the graph", "[runtime][calibration]") {
    for (const CalibrationJob& job : calibration_jobs(JobGrid::full)) {
        // Curves that several kernels borrow, and copies, which the graph has none of.
        const bool is_ours = job.kernel == "memory_bound" || job.kernel == "elementwise" ||
                             job.kind == JobKind::copy;
        CHECK((is_ours || parse_kernel(job.kernel).has_value()));
        CHECK(column_values(job, 132, 1e6).size() == curve_columns(job).size());
    }
}

TEST_CASE("calibration jobs: the training step on all SMs is first", "[runtime][calibration]") {
    const auto jobs = calibration_jobs(JobGrid::full);
    const auto small = calibration_jobs(JobGrid::small);
    REQUIRE(jobs.size() > small.size());
    const auto held = [](const CalibrationJob& job) { return job.occupied_sms > 0; };
    const auto first_held = std::find_if(jobs.begin(), jobs.end(), held);
    REQUIRE(first_held != jobs.end());
    CHECK(first_held->occupied_sms == 20);
    CHECK(jobs.front().kernel == "gemm_fp8");
    CHECK(jobs.front().m == 4096);
    std::set<int> counts;
    for (const CalibrationJob& job : jobs) {
        counts.insert(job.occupied_sms);
    }
    CHECK(counts == std::set<int>{0, 4, 8, 12, 16, 20, 24, 32, 40});
}

TEST_CASE("calibration jobs: columns and work of a weight gradient", "[runtime][calibration]") {
    // dW[n, k] of y[m, k'] has the tokens as its inner dimension.
    CalibrationJob job{JobKind::grouped_gemm, "grouped_gemm_fp8_wgrad", 4, 4096, 7168, 512, 0, 20};
    CHECK(job.is_fp8());
    CHECK(job.is_wgrad());
    CHECK(job.flops() == 2.0 * 4 * 4096 * 7168 * 512);
    CHECK(curve_columns(job) == std::vector<std::string>{"groups", "m", "n", "k_per_group", "sms"});
    CHECK(column_values(job, 112, 0) == std::vector<double>{4, 4096, 7168, 512, 112});
    CHECK(describe(job) == "grouped_gemm_fp8_wgrad groups 4 m 4096 n 7168 k 512, 20 SMs held");
    const PoolBytes pools = pool_bytes({job});
    CHECK(pools.fp8_a == 4.0 * 4096 * 512);
    CHECK(pools.fp8_b == 4.0 * 7168 * 512);
    CHECK(pools.result == 4.0 * 4096 * 7168 * 4);
    CHECK(pools.bf16_a == 0);
}

TEST_CASE("calibration jobs: what does not fit is left out", "[runtime][calibration]") {
    auto jobs = calibration_jobs(JobGrid::full);
    CHECK(pool_bytes(jobs).device() < 20e9);  // a small part of an H100's 80 GB
    const std::size_t all = jobs.size();
    std::vector<LeftOut> left_out;
    leave_out_what_does_not_fit(jobs, 3e9, left_out);
    CHECK(pool_bytes(jobs).device() <= 3e9);
    CHECK(jobs.size() > all / 2);
    CHECK(jobs.size() + left_out.size() == all);
    leave_out_what_does_not_fit(jobs, 0, left_out);
    CHECK(jobs.empty());
    CHECK(left_out.size() == all);
}

TEST_CASE("time budget: corrects estimates by what was spent", "[runtime][calibration]") {
    TimeBudget budget(100);
    CHECK(budget.fits(100, 0));
    CHECK_FALSE(budget.fits(1, 99.5));
    CHECK(budget.correction() == 1);
    for (int i = 0; i < 100; ++i) {
        budget.spent(1, 2);
    }
    // (200 + 3) / (100 + 3): nearly twice the estimate.
    CHECK(budget.correction() == Approx(203.0 / 103.0));
    CHECK(budget.fits(10, 80));
    CHECK_FALSE(budget.fits(11, 80));
}

TEST_CASE("time budget: one slow job does not condemn the others", "[runtime][calibration]") {
    TimeBudget budget(480);
    budget.spent(0.1, 3);  // the first loads libraries
    CHECK(budget.correction() < 2);
    CHECK(TimeBudget(0).fits(0.01, 0) == false);
}

TEST_CASE("calibration jobs: what heats the device is the largest product of each type that ran",
          "[runtime][calibration]") {
    auto jobs = calibration_jobs(JobGrid::small);
    const auto chosen = sustained_jobs(jobs);
    REQUIRE(chosen.size() == 2);
    for (const CalibrationJob& job : chosen) {
        CHECK(job.occupied_sms == 0);
        CHECK(std::none_of(jobs.begin(), jobs.end(), [&](const CalibrationJob& other) {
            return other.kernel == job.kernel && other.flops() > job.flops();
        }));
    }
    CHECK(chosen[0].kernel == "gemm_fp8");
    CHECK(chosen[1].kernel == "gemm_bf16");
    std::erase_if(jobs, [](const CalibrationJob& job) { return job.kernel == "gemm_bf16"; });
    CHECK(sustained_jobs(jobs).size() == 1);
}

}  // namespace r1
