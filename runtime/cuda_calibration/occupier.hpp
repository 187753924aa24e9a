// Holds some SMs, as communication kernels do during training, so that others run on the rest.
//
// A block that asks for all the shared memory of an SM is alone on it: every block takes at least
// the kilobyte that the system reserves for it, and there is none left. The blocks wait for a flag,
// and end when it is raised, and by themselves after a deadline, whatever happens to the host.
//
// While SMs are held nothing may wait for the whole device: no allocation, no first launch of a
// kernel (it may have to be loaded), no default stream. If it happens nevertheless, the deadline
// ends it, and release() reports it.
#pragma once

#include <chrono>
#include <vector>

#include "runtime/cuda_calibration/resources.hpp"

namespace r1::cuda {

struct OccupierState;  // in host memory: what the blocks report

class Occupier {
public:
    // `beside` is the stream of the kernels that will run on the SMs that stay free; the held SMs
    // are verified there.
    Occupier(int device, const Stream& beside,
             std::chrono::milliseconds deadline = std::chrono::seconds(20));

    // SMs are held from construction, when blocks are known to run on that many distinct SMs and
    // no others are placed there, to release() or destruction. Throws CudaError if they cannot be.
    class Hold {
    public:
        // None for sms = 0.
        Hold(Occupier& occupier, int sms);
        ~Hold();
        Hold(const Hold&) = delete;
        Hold& operator=(const Hold&) = delete;

        // Throws CudaError if they were not held all the time: the deadline was over.
        void release();
        [[nodiscard]] const std::vector<int>& held() const { return held_; }  // %smid

    private:
        void start(int sms);
        void wait_until_running(int sms);
        void check_no_other_block_there() const;
        void let_go() noexcept;

        Occupier& occupier_;
        std::vector<int> held_;
        bool is_held_ = false;
    };

private:
    [[nodiscard]] OccupierState& state() const;
    void launch(int sms) const;
    void launch_probe() const;
    void set_released(bool is_released) const;

    int sms_ = 0;
    int shared_bytes_ = 0;
    long long deadline_ns_ = 0;
    const Stream& beside_;
    Stream stream_;
    Stream flag_stream_;
    PinnedMemory state_;
    DeviceMemory is_released_;  // an int
};

}  // namespace r1::cuda
