// The work list of a GPU calibration: its order, its cost and the memory that it needs.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/graph/kernels.hpp"
#include "model/workload/train.hpp"
#include "runtime/calibration/budget.hpp"
#include "runtime/calibration/collective_job.hpp"
#include "runtime/calibration/job.hpp"
#include "runtime/calibration/own_kernels.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/training_setup.hpp"

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
    CHECK(seconds(calibration_jobs(JobGrid::full, JobKernels::library)) < 480);
    CHECK(seconds(calibration_jobs(JobGrid::small, JobKernels::library)) < 60);
    CHECK(seconds(calibration_jobs(JobGrid::full, JobKernels::own)) < 480);
    CHECK(seconds(calibration_jobs(JobGrid::small, JobKernels::own)) < 60);
}

TEST_CASE("calibration jobs: no point twice", "[runtime][calibration]") {
    for (const JobKernels kernels : {JobKernels::library, JobKernels::own}) {
        std::set<std::string> seen;
        for (const CalibrationJob& job : calibration_jobs(JobGrid::full, kernels)) {
            CHECK(seen.insert(describe(job)).second);
        }
    }
}

TEST_CASE("calibration jobs: curves are kernels of the graph", "[runtime][calibration]") {
    for (const JobKernels kernels : {JobKernels::library, JobKernels::own}) {
        for (const CalibrationJob& job : calibration_jobs(JobGrid::full, kernels)) {
            // Curves that several kernels borrow, ops of kinds of their own in the calibration, and
            // copies, which the graph has none of.
            const bool is_ours = job.kernel == "memory_bound" || job.kernel == "elementwise" ||
                                 job.kernel.ends_with("_e5m6") || job.kind == JobKind::copy;
            CHECK((is_ours || parse_kernel(job.kernel).has_value()));
            CHECK(column_values(job, 132, 1e6).size() == curve_columns(job).size());
        }
    }
}

TEST_CASE("calibration jobs: the training step on all SMs is first", "[runtime][calibration]") {
    const auto jobs = calibration_jobs(JobGrid::full, JobKernels::library);
    const auto small = calibration_jobs(JobGrid::small, JobKernels::library);
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

TEST_CASE("calibration jobs: attention counts as the cost model does", "[runtime][calibration]") {
    CalibrationJob job{JobKind::attention, "mla_attention", 1, 0, 0, 0, 0, 0, 1, 4096};
    CHECK(curve_columns(job) == std::vector<std::string>{"tokens", "heads", "qk", "v", "sms"});
    CHECK(column_values(job, 132, 0) == std::vector<double>{4096, 128, 192, 128, 132});
    CHECK(job.flops() == 128.0 * (192 + 128) * 4096 * 4096);
    // q, k and kv of 192, 192 and 256 a head.
    CHECK(pool_bytes({job}).bf16_a >= 2.0 * 4096 * 128 * (192 + 192 + 256));
    job.kernel = "mla_attention_backward";
    CHECK(job.flops() == 128.0 * (3 * 192 + 2 * 128) * 4096 * 4096);
    job = {JobKind::attention, "mla_decode", 1, 0, 0, 0, 0, 0, 8, 4096};
    CHECK(curve_columns(job) == std::vector<std::string>{"batch", "kv_len", "heads", "sms"});
    CHECK(column_values(job, 132, 0) == std::vector<double>{8, 4096, 128, 132});
    CHECK(job.flops() == 2.0 * 8 * 4096 * 128 * (576 + 512));
    CHECK(describe(job) == "mla_decode 8 x 4096 tokens");
}

// An op of the training step of DeepSeek-V3 moves what the calibration says of its kernel, but for
// what does not grow with the rows: weights and their gradients.
TEST_CASE("calibration jobs: own kernels move the bytes of the graph's ops",
          "[runtime][calibration]") {
    TrainingSetup setup;
    setup.sizes.config = test::model_config(model_preset("deepseek-v3"));
    setup.sizes.config.num_hidden_layers = 4;
    setup.sizes.precision = {DType::e4m3, DType::e4m3, DType::bf16};
    setup.sizes.sequence_length = 4096;
    setup.plan.schedule = ScheduleKind::one_f_one_b;
    setup.plan.data_parallel = setup.plan.expert_parallel = 64;
    setup.sizes.local_experts = 4;
    setup.micro_batches = 1;
    setup.stage_layers = partition_layers(setup.sizes.config, setup.plan, 4096);
    const ExecutionGraph graph = build_training_graph(setup);
    SymbolValues symbols{};
    symbols[static_cast<std::size_t>(Symbol::routed_rows)] = 32768;
    symbols[static_cast<std::size_t>(Symbol::received_tokens)] = 32768;
    std::map<std::string, std::vector<double>> row_bytes;
    for (const ChunkTemplate& chunk : graph.templates()) {
        for (const Op& op : chunk.ops) {
            if (const ComputeOp* compute = op.compute()) {
                const double bytes = compute->work.read_bytes.value(symbols) +
                                     compute->work.written_bytes.value(symbols);
                const double unit = compute->kernel == KernelId::adamw ? 7168 : 1;
                row_bytes[std::string(name(compute->kernel))].push_back(
                    bytes / compute->dims.front().value(symbols) * unit);
            }
        }
    }
    for (const OwnMemoryKernel& own : own_memory_kernels()) {
        INFO(own.kernel);
        // In the graph these are the FP8 kernels with other tensors.
        std::string kernel = own.kernel;
        if (kernel.ends_with("_e5m6")) {
            kernel.replace(kernel.size() - 4, 4, "fp8");
        }
        const std::vector<double>& found = row_bytes[kernel];
        CHECK(std::any_of(found.begin(), found.end(), [&](double bytes) {
            return std::abs(bytes - own.row_bytes) < 2e-3 * own.row_bytes;
        }));
    }
}

TEST_CASE("calibration jobs: what does not fit is left out", "[runtime][calibration]") {
    auto jobs = calibration_jobs(JobGrid::full, JobKernels::library);
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

TEST_CASE("collective jobs: 1 KiB to 1 GiB over 2, 4 and all GPUs", "[runtime][calibration]") {
    CHECK(collective_jobs(1, 1e12).empty());
    const auto jobs = collective_jobs(6, 1e12);
    std::set<int> ranks;
    std::set<std::string> seen;
    for (const CollectiveJob& job : jobs) {
        ranks.insert(job.ranks);
        CHECK(seen.insert(describe(job)).second);
        CHECK(job.bytes % (16 * job.ranks) == 0);
        CHECK(job.bytes > 1024 - 16 * job.ranks);
        CHECK(job.bytes <= 1 << 30);
        CHECK(collective_repetitions(job) >= 2);
    }
    CHECK(ranks == std::set<int>{2, 4, 6});
    CHECK(jobs.size() == 4 * 11 * 3);
    CHECK(jobs.back().bytes > (1 << 30) - 96);
    // What memory does not hold is not asked for.
    for (const CollectiveJob& job : collective_jobs(8, 1e6)) {
        CHECK(job.bytes <= 1000000);
    }
    double seconds = 0;
    for (const CollectiveJob& job : collective_jobs(8, 1e12)) {
        seconds += estimate_s(job);
    }
    CHECK(seconds < 60);
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
    auto jobs = calibration_jobs(JobGrid::small, JobKernels::library);
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
