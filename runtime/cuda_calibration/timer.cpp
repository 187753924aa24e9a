#include "runtime/cuda_calibration/timer.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "model/base/check.hpp"
#include "runtime/cuda_calibration/fill.hpp"

namespace r1::cuda {

namespace {

constexpr std::size_t kFlushBytesMin = std::size_t{256} << 20;
constexpr std::size_t kFlushL2Sizes = 4;
// Reading the flush buffer takes 0.1 ms, in which the host queues at least so many launches.
constexpr int kLaunchesPerFlush = 16;

constexpr int kRepetitionsMax = 40;
constexpr double kSpreadWanted = 0.01;
constexpr double kSecondsMax = 0.15;
constexpr int kQuickRepetitions = 3;

constexpr double kRestRatio = 2;
constexpr double kRestSecondsMax = 0.5;
constexpr double kSustainedFirstSeconds = 0.1;

double now_s() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}

void rest(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(seconds, kRestSecondsMax)));
}

double elapsed_us(const Event& start, const Event& end) {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start.get(), end.get()), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e3;
}

}  // namespace

Timer::Timer(const Stream& stream, std::size_t l2_bytes, const std::atomic<bool>* stop)
    : stream_(stream), stop_(stop), flush_(std::max(kFlushBytesMin, kFlushL2Sizes * l2_bytes)) {
    check(cudaMemsetAsync(flush_.as(), 0, flush_.bytes(), stream_.get()), "cudaMemsetAsync");
    // Loads the kernel, and brings clocks up from idle before anything is measured.
    constexpr double kWarmSeconds = 0.3;
    for (const double start = now_s(); now_s() - start < kWarmSeconds;) {
        for (int i = 0; i < 20; ++i) {
            read_through(flush_.as(), flush_.bytes(), stream_.get());
        }
        stream_.wait();
    }
}

void Timer::throw_if_stopped() const {
    if (stop_ != nullptr && stop_->load()) {
        throw Stopped();
    }
}

void Timer::warm_up(const Operation& operation) {
    throw_if_stopped();
    operation.run(stream_.get());
    stream_.wait();
}

void Timer::batch(const Operation& operation, int repetitions, std::vector<double>& times_us) {
    R1_CHECK(repetitions > 0 && repetitions <= kBatch);
    throw_if_stopped();
    const int sweeps = 1 + operation.launches / kLaunchesPerFlush;
    const double begin_s = now_s();
    for (int i = 0; i < repetitions; ++i) {
        const Span& span = spans_[static_cast<std::size_t>(i)];
        for (int sweep = 0; sweep < sweeps; ++sweep) {
            read_through(flush_.as(), flush_.bytes(), stream_.get());
        }
        check(cudaEventRecord(span.start.get(), stream_.get()), "cudaEventRecord");
        operation.run(stream_.get());
        check(cudaEventRecord(span.end.get(), stream_.get()), "cudaEventRecord");
    }
    stream_.wait();
    for (int i = 0; i < repetitions; ++i) {
        const Span& span = spans_[static_cast<std::size_t>(i)];
        times_us.push_back(elapsed_us(span.start, span.end));
    }
    rest(kRestRatio * (now_s() - begin_s));
}

Sustained Timer::sustain(const Operation& operation, double seconds) {
    rest(kRestSecondsMax);
    std::vector<double> first_us;
    std::vector<double> last_us;
    const double begin_s = now_s();
    for (double s = 0; s < seconds; s = now_s() - begin_s) {
        throw_if_stopped();
        check(cudaEventRecord(spans_[0].start.get(), stream_.get()), "cudaEventRecord");
        for (int i = 0; i < kBatch; ++i) {
            operation.run(stream_.get());
        }
        check(cudaEventRecord(spans_[0].end.get(), stream_.get()), "cudaEventRecord");
        stream_.wait();
        const double each_us = elapsed_us(spans_[0].start, spans_[0].end) / kBatch;
        if (first_us.empty() || s < kSustainedFirstSeconds) {
            first_us.push_back(each_us);
        }
        if (last_us.empty() || s > seconds * 2 / 3) {
            last_us.push_back(each_us);
        }
    }
    return {summarize(first_us).median_us, summarize(last_us).median_us};
}

Timing Timer::measure(const Operation& operation) {
    std::vector<double> times_us;
    const double start = now_s();
    Timing timing;
    do {
        batch(operation, kBatch, times_us);
        timing = summarize(times_us);
    } while (timing.spread > kSpreadWanted && timing.repetitions < kRepetitionsMax &&
             now_s() - start < kSecondsMax);
    return timing;
}

std::size_t Timer::fastest(const std::vector<Operation>& operations) {
    R1_CHECK(!operations.empty());
    std::vector<double> medians_us;
    for (const Operation& operation : operations) {
        if (operations.size() == 1) {
            return 0;
        }
        std::vector<double> times_us;
        batch(operation, kQuickRepetitions, times_us);
        medians_us.push_back(summarize(times_us).median_us);
    }
    const auto best = std::min_element(medians_us.begin(), medians_us.end());
    return static_cast<std::size_t>(best - medians_us.begin());
}

}  // namespace r1::cuda
