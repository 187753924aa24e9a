// What a calibration of own kernels starts, on the emulation: small jobs of every kernel.
#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "runtime/calibration/own_kernels.hpp"
#include "runtime/cuda_calibration/own_attention.hpp"
#include "runtime/cuda_calibration/own_gemm.hpp"
#include "runtime/cuda_calibration/own_memory.hpp"
#include "runtime/cuda_calibration/own_operation.hpp"
#include "tests/support/catch.hpp"

namespace r1::cuda {

namespace {

constexpr std::size_t kBehind = 1 << 16;  // of a pool, for nobody

void fill_random(const DeviceMemory& memory, bool is_fp8) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i + 2 <= memory.bytes() - kBehind; i += 2) {
        const float value = normal(random);
        auto bits = static_cast<std::uint16_t>(random() & 0x7777U);  // two codes of E4M3
        if (!is_fp8) {
            std::memcpy(&bits, reinterpret_cast<const char*>(&value) + 2, 2);  // BF16
        }
        std::memcpy(memory.as<char>() + i, &bits, 2);
    }
}

std::size_t with_behind(double bytes) { return static_cast<std::size_t>(bytes) + kBehind; }

// Small, and of the same kernel.
CalibrationJob shrunk(CalibrationJob job) {
    job.occupied_sms = 0;
    if (job.is_matrix()) {
        job.m = job.n = 128;
        job.k = 256;
        job.groups = job.kind == JobKind::grouped_gemm ? 3 : 1;
    } else if (job.kind == JobKind::attention) {
        job.batch = job.kernel == "mla_decode" ? 2 : 1;
        job.tokens = 24;
    } else {
        const auto kernels = own_memory_kernels();
        const auto found =
            std::find_if(kernels.begin(), kernels.end(),
                         [&](const OwnMemoryKernel& own) { return own.kernel == job.kernel; });
        job.bytes = found->row_bytes * static_cast<double>(found->rows_step);
    }
    return job;
}

std::vector<CalibrationJob> one_job_a_kernel() {
    std::vector<CalibrationJob> jobs;
    std::set<std::string> seen;
    for (const CalibrationJob& job : calibration_jobs(JobGrid::full, JobKernels::own)) {
        const bool is_own = job.has_flops() || is_own_memory_kernel(job.kernel);
        if (is_own && seen.insert(job.kernel).second) {
            jobs.push_back(shrunk(job));
        }
    }
    return jobs;
}

Operation operation_of(const CalibrationJob& job, const Libraries& libraries, const Pools& pools) {
    if (job.is_matrix()) {
        const GemmShape shape{job.m, job.n, job.k, job.is_fp8(), job.is_wgrad()};
        return own_gemm_operations(libraries, pools, shape, static_cast<int>(job.groups),
                                   job.kind == JobKind::grouped_gemm, 2)
            .front()
            .front();
    }
    const Launch launch = own_launch(libraries, pools, 2);
    return job.kind == JobKind::attention ? own_attention_operation(job, pools, launch)
                                          : own_memory_work(job, pools, launch).operation;
}

}  // namespace

// Those of runtime/cuda_calibration/pools.cpp fill on a GPU and open cuBLAS.
Pools::Pools(const PoolBytes& bytes, const Stream& /*stream*/)
    : fp8_a(with_behind(bytes.fp8_a)),
      fp8_b(with_behind(bytes.fp8_b)),
      bf16_a(with_behind(bytes.bf16_a)),
      bf16_b(with_behind(bytes.bf16_b)),
      result(with_behind(bytes.result)),
      scales(with_behind(bytes.scales)) {
    fill_random(fp8_a, true);
    fill_random(fp8_b, true);
    fill_random(bf16_a, false);
    fill_random(bf16_b, false);
    std::memset(result.as(), 0, result.bytes() - kBehind);
    std::fill_n(scales.as<float>(), (scales.bytes() - kBehind) / sizeof(float), 1.0F);
}
Libraries::Libraries(const Stream& /*stream*/) {}
Libraries::~Libraries() = default;

TEST_CASE("own kernels: each runs, and writes no further than its job's pools are planned",
          "[cuda][calibration]") {
    const Stream stream;
    const Libraries libraries(stream);
    const std::vector<CalibrationJob> jobs = one_job_a_kernel();
    CHECK(jobs.size() > 25);
    for (const CalibrationJob& job : jobs) {
        INFO(describe(job));
        const Pools pools(pool_bytes({job}), stream);
        const Operation operation = operation_of(job, libraries, pools);  // owns some operands
        operation.run(stream.get());
        stream.wait();
        const auto* result = pools.result.as<unsigned char>();
        const auto* planned_end = result + pools.result.bytes() - kBehind;
        CHECK(std::any_of(result, planned_end, [](unsigned char byte) { return byte != 0; }));
        CHECK(std::all_of(planned_end, planned_end + kBehind,
                          [](unsigned char byte) { return byte == 0xFF; }));
    }
}

}  // namespace r1::cuda
