#include "runtime/cuda_calibration/calibrate.hpp"

#include <algorithm>
#include <chrono>

#include "runtime/calibration/budget.hpp"
#include "runtime/cuda_calibration/device.hpp"
#include "runtime/cuda_calibration/fill.hpp"
#include "runtime/cuda_calibration/gemm.hpp"
#include "runtime/cuda_calibration/grouped_gemm.hpp"
#include "runtime/cuda_calibration/memory_operations.hpp"
#include "runtime/cuda_calibration/nccl_collectives.hpp"
#include "runtime/cuda_calibration/occupier.hpp"
#include "runtime/cuda_calibration/own_attention.hpp"
#include "runtime/cuda_calibration/own_gemm.hpp"
#include "runtime/cuda_calibration/own_memory.hpp"
#include "runtime/cuda_calibration/own_operation.hpp"
#include "runtime/cuda_calibration/pools.hpp"
#include "runtime/cuda_calibration/timer.hpp"

namespace r1 {

namespace cuda {
namespace {

constexpr double kSustainedSeconds = 6;  // clocks settle in two or three

class Clock {
public:
    [[nodiscard]] double elapsed_s() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// What a job is made of: ways to do it, and how a time becomes a value.
struct Work {
    Alternatives alternatives;
    double amount = 0;  // FLOPs or bytes
    std::string derivation;
};

// Leaves room for the flush buffer, workspaces and what libraries and kernels load.
double pool_bytes_max() {
    std::size_t free = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    constexpr double kReserve = 2e9;
    return std::max(0.0, 0.95 * static_cast<double>(free) - kReserve);
}

// A library call that did nothing, or SMs that were not held after all, would show here. With a
// tenth to spare, for clocks above what the driver calls the highest; 0 if it does not say.
double flops_per_us_max(const CalibrationJob& job, const MeasuredDevice& device, int free_sms) {
    // Dense, for each SM and clock: 989 TFLOPS of BF16 = 132 SMs x 1830 MHz x 4096, FP8 twice that.
    const double flops_per_clock = job.is_fp8() ? 8192 : 4096;
    return 1.1 * free_sms * device.sm_clock_max_mhz * flops_per_clock;
}

void note_clock(const std::optional<double>& mhz, MeasuredDevice& device) {
    if (mhz) {
        device.sm_clock_seen_min_mhz = std::min(*mhz, device.sm_clock_seen_min_mhz.value_or(*mhz));
        device.sm_clock_seen_max_mhz = std::max(*mhz, device.sm_clock_seen_max_mhz.value_or(*mhz));
    }
}

class Session {
public:
    Session(const CudaCalibrationOptions& options, const MeasuredDevice& device,
            const DeviceMonitor& monitor, const std::vector<CalibrationJob>& jobs)
        : device_(device),
          monitor_(monitor),
          is_own_(options.kernels == JobKernels::own),
          libraries_(stream_),
          pools_(pool_bytes(jobs), stream_),
          timer_(stream_, static_cast<std::size_t>(device.l2_mb * 1e6), options.stop),
          occupier_(options.device, stream_) {}

    void measure(const CalibrationJob& job, MeasuredCalibration& result);
    void measure_empty_kernel(MeasuredCalibration& result);
    // What is left of the job's rate when it runs for some seconds.
    void measure_sustained(const CalibrationJob& job, MeasuredCalibration& result);
    // Ends the run if the device does: then nothing works any more.
    void check_device() const { stream_.wait(); }

private:
    [[nodiscard]] Work matrix_work(const CalibrationJob& job) const;
    [[nodiscard]] Work work_of(const CalibrationJob& job) const;
    std::vector<Operation> runnable(const Alternatives& alternatives);

    const MeasuredDevice& device_;
    const DeviceMonitor& monitor_;
    const bool is_own_;
    Stream stream_;
    SideStreams sides_;
    Libraries libraries_;
    Pools pools_;
    Timer timer_;
    Occupier occupier_;
};

Work Session::matrix_work(const CalibrationJob& job) const {
    const GemmShape shape{job.m, job.n, job.k, job.is_fp8(), job.is_wgrad()};
    const int sms = device_.sms - job.occupied_sms;
    const bool is_grouped = job.kind == JobKind::grouped_gemm;
    if (job.is_wgrad()) {
        // What earlier work left there need not be a number, as FP32.
        const auto bytes = static_cast<std::size_t>(job.groups * job.m * job.n * 4);
        check(cudaMemsetAsync(pools_.result.as(), 0, bytes, stream_.get()), "cudaMemsetAsync");
    }
    const auto groups = static_cast<int>(job.groups);
    Work work;
    if (is_own_) {
        work.alternatives = own_gemm_operations(libraries_, pools_, shape, groups, is_grouped, sms);
    } else if (is_grouped) {
        work.alternatives = grouped_gemm_operations(libraries_, pools_, sides_, shape, groups, sms);
    } else {
        work.alternatives = gemm_operations(libraries_, pools_, shape, sms);
    }
    work.amount = job.flops();
    work.derivation = std::string(is_grouped ? "2 groups m n k" : "2 m n k") +
                      " divided by the median" + (job.is_wgrad() ? "; adds to FP32" : "");
    return work;
}

Work Session::work_of(const CalibrationJob& job) const {
    if (job.is_matrix()) {
        return matrix_work(job);
    }
    const Launch launch = own_launch(libraries_, pools_, device_.sms - job.occupied_sms);
    if (job.kind == JobKind::attention) {
        return {{{own_attention_operation(job, pools_, launch)}},
                job.flops(),
                job.kernel == "mla_decode"
                    ? "2 batch heads kv_len (576 + 512) divided by the median"
                    : "FLOPs of a causal half, heads tokens^2 times (qk + v) forward and (3 qk + 2 "
                      "v) backward, divided by the median"};
    }
    const bool is_own = is_own_ && is_own_memory_kernel(job.kernel);
    MemoryWork memory = is_own ? own_memory_work(job, pools_, launch) : memory_work(job, pools_);
    return {{{memory.operation}}, memory.bytes, memory.derivation};
}

// Heuristics may propose what the library then refuses to run.
std::vector<Operation> Session::runnable(const Alternatives& alternatives) {
    std::string problem = "cuBLASLt has no algorithm for it";
    for (const std::vector<Operation>& operations : alternatives) {
        std::vector<Operation> good;
        for (const Operation& operation : operations) {
            try {
                timer_.warm_up(operation);
                good.push_back(operation);
            } catch (const CudaError& error) {
                problem = error.what();
                cudaGetLastError();
                check_device();
            }
        }
        if (!good.empty()) {
            return good;
        }
    }
    throw CudaError(problem);
}

void Session::measure(const CalibrationJob& job, MeasuredCalibration& result) {
    const Work work = work_of(job);
    const std::vector<Operation> operations = runnable(work.alternatives);
    Occupier::Hold hold(occupier_, job.occupied_sms);
    const Operation& best = operations[timer_.fastest(operations)];
    MeasuredPoint point;
    point.timing = timer_.measure(best);
    point.sm_clock_mhz = monitor_.sm_clock_mhz();
    hold.release();
    if (point.timing.median_us <= 0) {
        throw CudaError("its time is below the resolution of the events");
    }
    const int free_sms = device_.sms - job.occupied_sms;
    const double most = flops_per_us_max(job, device_, free_sms);
    if (job.has_flops() && most > 0 && work.amount / point.timing.median_us > most) {
        throw CudaError("it seems faster than the tensor cores of the free SMs can be");
    }
    note_clock(point.sm_clock_mhz, result.device);
    point.columns = column_values(job, free_sms, work.amount);
    // FLOP/us is 1e-6 TFLOPS, B/us is 1e-3 GB/s.
    point.value = work.amount / point.timing.median_us * (job.has_flops() ? 1e-6 : 1e-3);
    point.ran = best.ran;
    if (operations.size() > 1) {
        point.ran += ", fastest of " + std::to_string(operations.size());
    }
    point.derivation = work.derivation;
    add_point(result, job.kernel, job.has_flops() ? "tflops" : "gb_per_s", curve_columns(job),
              std::move(point));
}

void Session::measure_empty_kernel(MeasuredCalibration& result) {
    const Operation operation = {"empty kernel", 1, empty_kernel};
    timer_.warm_up(operation);
    const Timing timing = timer_.measure(operation);
    result.constants.push_back(
        {"empty_kernel_us", timing.median_us,
         "median of " + std::to_string(timing.repetitions) +
             ": what lies between the events around a kernel that does nothing; part of every time "
             "of this file"});
}

void Session::measure_sustained(const CalibrationJob& job, MeasuredCalibration& result) {
    const std::vector<Operation> operations = runnable(work_of(job).alternatives);
    const Operation& best = operations[timer_.fastest(operations)];
    const Sustained times = timer_.sustain(best, kSustainedSeconds);
    const std::optional<double> mhz = monitor_.sm_clock_mhz();
    result.constants.push_back(
        {"sustained_rate." + job.kernel, times.first_us / times.last_us,
         "without a pause, " + describe(job) + " takes " + std::to_string(times.first_us) +
             " us at first and " + std::to_string(times.last_us) + " us after " +
             std::to_string(static_cast<int>(kSustainedSeconds)) + " s" +
             (mhz ? ", at an SM clock of " + std::to_string(static_cast<int>(*mhz)) + " MHz" : "") +
             ": " + best.ran});
}

// All jobs that fit the time. Throws Stopped.
void measure_all(const CudaCalibrationOptions& options, const std::vector<CalibrationJob>& jobs,
                 const DeviceMonitor& monitor, const Clock& clock, MeasuredCalibration& result) {
    Session session(options, result.device, monitor, jobs);
    session.measure_empty_kernel(result);
    const std::vector<CalibrationJob> sustained = sustained_jobs(jobs);
    constexpr double kSecondsEach = kSustainedSeconds + 2;  // with the choice of an algorithm
    // Collectives have what they take by estimate, but a quarter of the time at most.
    const double after_s = kSecondsEach * static_cast<double>(sustained.size());
    const double collectives_s = std::min(collective_seconds(), options.seconds / 4);
    TimeBudget budget(options.seconds - collectives_s - after_s);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        const CalibrationJob& job = jobs[i];
        const double start_s = clock.elapsed_s();
        if (options.progress) {
            options.progress({i, jobs.size(), start_s, describe(job)});
        }
        const double estimate = estimate_s(job);
        if (!budget.fits(estimate, start_s)) {
            result.left_out.push_back({job.kernel, describe(job), "the time was spent"});
            continue;
        }
        try {
            session.measure(job, result);
        } catch (const CudaError& error) {
            cudaGetLastError();
            session.check_device();
            result.left_out.push_back({job.kernel, describe(job), error.what()});
        }
        budget.spent(estimate, clock.elapsed_s() - start_s);
    }
    const auto show = [&](const std::string& now) {
        if (options.progress) {
            options.progress({jobs.size(), jobs.size(), clock.elapsed_s(), now});
        }
    };
    measure_collectives({options.seconds - after_s - clock.elapsed_s(), options.stop, show},
                        result);
    for (const CalibrationJob& job : sustained) {
        session.measure_sustained(job, result);
    }
}

}  // namespace
}  // namespace cuda

MeasuredCalibration run_cuda_calibration(const CudaCalibrationOptions& options) {
    const cuda::Clock clock;
    MeasuredCalibration result;
    result.device = cuda::open_device(options.device);
    const cuda::DeviceMonitor monitor(options.device);
    result.device.power_limit_w = monitor.power_limit_w();
    result.device.driver = monitor.driver_version();
    std::vector<CalibrationJob> jobs = calibration_jobs(options.grid, options.kernels);
    leave_out_what_does_not_fit(jobs, cuda::pool_bytes_max(), result.left_out);
    try {
        cuda::measure_all(options, jobs, monitor, clock, result);
    } catch (const cuda::Stopped&) {
        result.interrupted = true;
    }
    result.seconds = clock.elapsed_s();
    return result;
}

}  // namespace r1
