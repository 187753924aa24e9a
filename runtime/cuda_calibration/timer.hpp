// How long the GPU takes for an operation that finds nothing in its L2 cache.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "runtime/calibration/measurement.hpp"
#include "runtime/cuda_calibration/resources.hpp"

namespace r1::cuda {

// One way to do some work: a library's algorithm, or one of our kernels.
struct Operation {
    std::string ran;   // for the file
    int launches = 1;  // about how many kernels the host queues for it
    std::function<void(cudaStream_t)> run;
};

// Ways to do the same work. Of the first inner list in which any runs, the fastest is measured.
using Alternatives = std::vector<std::vector<Operation>>;

// Someone said stop; unwinds to run_cuda_calibration.
class Stopped : public std::exception {};

struct Sustained {
    double first_us = 0;  // median of the first tenth of a second
    double last_us = 0;   // median of the last third
};

class Timer {
public:
    // `stop` may be null; it is looked at between repetitions.
    Timer(const Stream& stream, std::size_t l2_bytes, const std::atomic<bool>* stop);

    // Runs it once and waits: afterwards its kernels are loaded. Loading may wait for the whole
    // device, which must not happen while SMs are held.
    void warm_up(const Operation& operation);
    // At least five repetitions, more while they disagree. Call warm_up before.
    Timing measure(const Operation& operation);
    // Runs it again and again, without a pause, after one: times at the beginning and in the end.
    Sustained sustain(const Operation& operation, double seconds);
    // The fastest of some warm operations, by a few repetitions each; at least one.
    std::size_t fastest(const std::vector<Operation>& operations);

    [[nodiscard]] const Stream& stream() const { return stream_; }

private:
    static constexpr int kBatch = 5;

    // Queues `repetitions` (kBatch at most) at once, so that the GPU never waits for the host.
    // Afterwards the GPU rests twice as long as it worked: without, matrix products soon heat it
    // and use up its power limit, and later points are measured at other clocks than earlier ones.
    void batch(const Operation& operation, int repetitions, std::vector<double>& times_us);
    void throw_if_stopped() const;

    struct Span {
        Event start;
        Event end;
    };
    const Stream& stream_;
    const std::atomic<bool>* stop_;
    DeviceMemory flush_;
    std::array<Span, kBatch> spans_;
};

}  // namespace r1::cuda
