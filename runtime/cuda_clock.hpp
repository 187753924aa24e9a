// Marks in CUDA streams, and when the device passed them on the process's clock (clock_ps()).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "runtime/clock.hpp"

namespace r1::cuda {

class CudaClock {
public:
    CudaClock() = default;
    ~CudaClock();
    CudaClock(const CudaClock&) = delete;
    CudaClock& operator=(const CudaClock&) = delete;

    // Before the first mark, and again whenever no mark is left: CUDA gives times between events as
    // float milliseconds, so the shorter ago it was, the finer they are (0.1 microseconds at 1 s).
    void start();
    // In the calling thread's stream, behind what it has started.
    std::uint64_t mark();
    // Once the stream has passed it; forgets it.
    TimePs time_of(std::uint64_t mark);

private:
    std::mutex mutex_;
    cudaEvent_t base_ = nullptr;
    TimePs base_time_ = 0;
    std::vector<cudaEvent_t> free_;
    std::map<std::uint64_t, cudaEvent_t> marks_;
    std::uint64_t next_ = 0;
};

}  // namespace r1::cuda
