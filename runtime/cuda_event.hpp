// A point in a CUDA stream.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <thread>

#include "kernels/cuda/check.hpp"
#include "runtime/cuda_stream.hpp"
#include "runtime/memory.hpp"

namespace r1::cuda {

class Event final : public DeviceEvent {
public:
    // Behind what the stream has been given.
    explicit Event(cudaStream_t stream) {
        check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming),
              "cudaEventCreateWithFlags");
        check(cudaEventRecord(event_, stream), "cudaEventRecord");
    }
    ~Event() override { cudaEventDestroy(event_); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    // What `stream` is given from now on waits for it.
    void before(cudaStream_t stream) const {
        check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
    }
    void wait() const override { before(thread_stream().stream()); }
    void finish() const override { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }
    [[nodiscard]] bool has_passed() const override {
        const cudaError_t status = cudaEventQuery(event_);
        if (status != cudaErrorNotReady) {
            check(status, "cudaEventQuery");
        }
        return status == cudaSuccess;
    }

    // The host waits, and calls `look` now and then, which may throw.
    template <class Look>
    void finish(const Look& look) const {
        constexpr std::chrono::microseconds kPause{5};
        while (!has_passed()) {
            look();
            std::this_thread::sleep_for(kPause);
        }
    }

private:
    cudaEvent_t event_ = nullptr;
};

}  // namespace r1::cuda
