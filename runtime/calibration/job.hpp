// What a GPU calibration measures: the shapes of DeepSeek-V3 and a grid around them, the most
// important first, with an estimate of what each costs. Knows no device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/calibration/measurement.hpp"

namespace r1 {

enum class JobKind : std::uint8_t { gemm, grouped_gemm, attention, memory, copy };

// One point of a curve.
struct CalibrationJob {
    JobKind kind = JobKind::gemm;
    std::string kernel;  // the curve
    // Matrix kernels: D[m, n] = A[m, k] B[n, k]^T, of each group.
    std::int64_t groups = 1;
    std::int64_t m = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    double bytes = 0;      // memory kernels and copies: about how many they move
    int occupied_sms = 0;  // held by something else meanwhile
    // Attention: sequences, and tokens of each; mla_decode: that each has in the cache.
    std::int64_t batch = 1;
    std::int64_t tokens = 0;

    [[nodiscard]] bool is_matrix() const { return kind <= JobKind::grouped_gemm; }
    [[nodiscard]] bool has_flops() const { return kind <= JobKind::attention; }
    [[nodiscard]] bool is_fp8() const;    // E4M3 operands; BF16 otherwise
    [[nodiscard]] bool is_wgrad() const;  // adds to an FP32 result
    [[nodiscard]] double flops() const;
};

enum class JobGrid : std::uint8_t { small, full };

// Whose kernels are measured: cuBLAS's products and kernels that stand for the graph's
// memory-bound ones, or those of kernels/cuda, as `run --device cuda` starts them.
enum class JobKernels : std::uint8_t { library, own };

std::vector<CalibrationJob> calibration_jobs(JobGrid grid, JobKernels kernels);

// Of dense products in FP8 and in BF16 the largest that run alone: long enough to heat the device.
std::vector<CalibrationJob> sustained_jobs(const std::vector<CalibrationJob>& jobs);

// Columns of the job's curve, and the job's place in them. `bytes` is what a memory kernel really
// moves: whole rows.
std::vector<std::string> curve_columns(const CalibrationJob& job);
std::vector<double> column_values(const CalibrationJob& job, int free_sms, double bytes);
std::string describe(const CalibrationJob& job);  // "gemm_fp8 m 4096 n 2112 k 7168, 20 SMs held"

// As many rows as move about `bytes`, a multiple of `step` and at least that.
std::int64_t whole_rows(double bytes, double row_bytes, std::int64_t step);

// Seconds with everything around the measurement, on a device like the H100.
double estimate_s(const CalibrationJob& job);

// Device memory that jobs share: each pool is as large as the largest job needs.
struct PoolBytes {
    double fp8_a = 0;
    double fp8_b = 0;
    double bf16_a = 0;
    double bf16_b = 0;
    double result = 0;
    double scales = 0;
    double pinned = 0;  // host memory, for copies

    [[nodiscard]] double device() const;
};
PoolBytes pool_bytes(const std::vector<CalibrationJob>& jobs);

// Takes the jobs with the largest matrices out until the pools of the others fit.
void leave_out_what_does_not_fit(std::vector<CalibrationJob>& jobs, double device_bytes,
                                 std::vector<LeftOut>& left_out);

}  // namespace r1
