#include "runtime/cuda_calibration/occupier.hpp"

#include <algorithm>
#include <thread>

namespace r1::cuda {

namespace {

constexpr int kSmsMax = 512;  // %smid stays below; no GPU has more
constexpr int kThreads = 32;  // one warp: waiting needs no more
constexpr int kWaitNs = 1000;
constexpr int kWaitsPerDeadlineCheck = 1000;

int most_urgent_priority() {
    int least = 0;
    int most = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &most), "cudaDeviceGetStreamPriorityRange");
    return most;
}

}  // namespace

struct OccupierState {
    int is_expired;
    int sm_of_block[kSmsMax];  // + 1; 0: not running yet
    int is_seen[kSmsMax];      // SMs on which the probe had a block
};

namespace {

__device__ long long time_ns() {
    long long now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    return now;
}

__device__ int sm_id() {
    int id;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(id));
    return id;
}

// The dynamic shared memory is not touched: its size is what keeps others away. The flag is in
// device memory and the clock is rarely read: blocks that ask the host, or the device's timer,
// slow down everything that runs beside them.
__global__ void __launch_bounds__(kThreads)
    occupy(volatile OccupierState* state, const volatile int* is_released, long long deadline_ns) {
    if (threadIdx.x != 0) {
        return;
    }
    const long long start = time_ns();
    state->sm_of_block[blockIdx.x] = sm_id() + 1;
    __threadfence_system();
    for (int waits = 1; *is_released == 0; ++waits) {
        if (waits % kWaitsPerDeadlineCheck == 0 && time_ns() - start > deadline_ns) {
            state->is_expired = 1;
            __threadfence_system();
            return;
        }
        __nanosleep(kWaitNs);
    }
}

// Many short blocks: where they run is where blocks can run.
__global__ void probe(volatile OccupierState* state) {
    if (threadIdx.x == 0) {
        state->is_seen[sm_id()] = 1;
        __nanosleep(5000);
    }
}

}  // namespace

Occupier::Occupier(int device, const Stream& beside, std::chrono::milliseconds deadline)
    : deadline_ns_(std::chrono::nanoseconds(deadline).count()),
      beside_(beside),
      stream_(most_urgent_priority()),
      state_(sizeof(OccupierState)),
      is_released_(sizeof(int)) {
    check(cudaDeviceGetAttribute(&sms_, cudaDevAttrMultiProcessorCount, device),
          "cudaDeviceGetAttribute");
    check(cudaDeviceGetAttribute(&shared_bytes_, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "cudaDeviceGetAttribute");
    check(cudaFuncSetAttribute(occupy, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes_),
          "cudaFuncSetAttribute");
    check(cudaFuncSetAttribute(occupy, cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared),
          "cudaFuncSetAttribute");
    // Both run once, released already, so that they are loaded.
    state() = OccupierState{};
    set_released(true);
    launch(2);
    stream_.wait();
    launch_probe();
    beside_.wait();
}

OccupierState& Occupier::state() const { return *state_.as<OccupierState>(); }

// On a stream of its own: the one of the blocks waits for them.
void Occupier::set_released(bool is_released) const {
    check(cudaMemsetAsync(is_released_.as(), is_released ? 1 : 0, sizeof(int), flag_stream_.get()),
          "cudaMemsetAsync");
    flag_stream_.wait();
}

void Occupier::launch(int sms) const {
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(sms));
    config.blockDim = dim3(kThreads);
    config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes_);
    config.stream = stream_.get();
    // In pairs, as DeepEP launches its kernels (csrc/kernels/launch.cuh, SETUP_LAUNCH_CONFIG):
    // single SMs scattered over the chip would leave no room for clusters of a GEMM.
    cudaLaunchAttribute pairs{};
    pairs.id = cudaLaunchAttributeClusterDimension;
    pairs.val.clusterDim.x = sms % 2 == 0 ? 2 : 1;
    pairs.val.clusterDim.y = 1;
    pairs.val.clusterDim.z = 1;
    config.attrs = &pairs;
    config.numAttrs = 1;
    check(
        cudaLaunchKernelEx(&config, occupy, static_cast<volatile OccupierState*>(&state()),
                           static_cast<const volatile int*>(is_released_.as<int>()), deadline_ns_),
        "occupy");
}

void Occupier::launch_probe() const {
    constexpr int kBlocksPerSm = 16;
    probe<<<static_cast<unsigned>(sms_ * kBlocksPerSm), kThreads, 0, beside_.get()>>>(&state());
    check(cudaGetLastError(), "probe");
}

Occupier::Hold::Hold(Occupier& occupier, int sms) : occupier_(occupier) {
    if (sms == 0) {
        return;
    }
    if (sms < 0 || sms >= std::min(occupier.sms_, kSmsMax)) {
        throw CudaError("cannot hold " + std::to_string(sms) + " of " +
                        std::to_string(occupier.sms_) + " SMs");
    }
    try {
        start(sms);
    } catch (...) {
        let_go();  // no destructor after a constructor that throws
        throw;
    }
}

void Occupier::Hold::start(int sms) {
    occupier_.beside_.wait();
    occupier_.state() = OccupierState{};
    occupier_.set_released(false);
    occupier_.launch(sms);
    is_held_ = true;
    wait_until_running(sms);
    occupier_.launch_probe();
    occupier_.beside_.wait();
    check_no_other_block_there();
}

void Occupier::Hold::wait_until_running(int sms) {
    const volatile OccupierState& state = occupier_.state();
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    for (int block = 0; block < sms; ++block) {
        while (state.sm_of_block[block] == 0) {
            if (std::chrono::steady_clock::now() > give_up) {
                throw CudaError("only " + std::to_string(block) + " of " + std::to_string(sms) +
                                " SMs could be held");
            }
            std::this_thread::yield();
        }
        held_.push_back(state.sm_of_block[block] - 1);
    }
    std::sort(held_.begin(), held_.end());
    if (std::adjacent_find(held_.begin(), held_.end()) != held_.end()) {
        throw CudaError("two blocks that should hold an SM each share one");
    }
}

void Occupier::Hold::check_no_other_block_there() const {
    const volatile OccupierState& state = occupier_.state();
    for (const int sm : held_) {
        if (state.is_seen[sm] != 0) {
            throw CudaError("SM " + std::to_string(sm) + " is held, but took another block");
        }
    }
}

Occupier::Hold::~Hold() {
    if (is_held_) {
        let_go();
    }
}

// For the ways out after an error, which is the one to report.
void Occupier::Hold::let_go() noexcept {
    try {
        occupier_.set_released(true);
        occupier_.stream_.wait();
    } catch (const CudaError&) {
    }
}

void Occupier::Hold::release() {
    if (!is_held_) {
        return;
    }
    is_held_ = false;
    occupier_.set_released(true);
    occupier_.stream_.wait();
    if (const_cast<volatile int&>(occupier_.state().is_expired) != 0) {
        throw CudaError(
            "the held SMs were given back by the deadline: something waited for the "
            "whole device");
    }
}

}  // namespace r1::cuda
