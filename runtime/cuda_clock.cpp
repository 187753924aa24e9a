#include "runtime/cuda_clock.hpp"

#include <cmath>

#include "kernels/cuda/check.hpp"
#include "model/base/check.hpp"
#include "runtime/cuda_stream.hpp"

namespace r1::cuda {

namespace {

cudaEvent_t make_event() {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDefault), "cudaEventCreateWithFlags");
    return event;
}

}  // namespace

CudaClock::~CudaClock() {
    for (const cudaEvent_t event : free_) {
        cudaEventDestroy(event);
    }
    for (const auto& [number, event] : marks_) {
        cudaEventDestroy(event);
    }
    if (base_ != nullptr) {
        cudaEventDestroy(base_);
    }
}

void CudaClock::start() {
    const std::lock_guard lock(mutex_);
    R1_CHECK(marks_.empty());
    if (base_ == nullptr) {
        base_ = make_event();
    }
    const cudaStream_t stream = thread_stream().stream();
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    check(cudaEventRecord(base_, stream), "cudaEventRecord");
    check(cudaEventSynchronize(base_), "cudaEventSynchronize");
    base_time_ = clock_ps();
}

std::uint64_t CudaClock::mark() {
    const std::lock_guard lock(mutex_);
    R1_CHECK(base_ != nullptr);
    cudaEvent_t event = nullptr;
    if (free_.empty()) {
        event = make_event();
    } else {
        event = free_.back();
        free_.pop_back();
    }
    check(cudaEventRecord(event, thread_stream().stream()), "cudaEventRecord");
    marks_[next_] = event;
    return next_++;
}

TimePs CudaClock::time_of(std::uint64_t mark) {
    const std::lock_guard lock(mutex_);
    const auto found = marks_.find(mark);
    R1_CHECK(found != marks_.end());
    const cudaEvent_t event = found->second;
    float ms = 0;
    check(cudaEventElapsedTime(&ms, base_, event), "cudaEventElapsedTime");
    free_.push_back(event);
    marks_.erase(found);
    return base_time_ + std::llround(static_cast<double>(ms) * 1e9);
}

}  // namespace r1::cuda
