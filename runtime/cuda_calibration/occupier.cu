#include "runtime/cuda_calibration/occupier.hpp"

#include <algorithm>
#include <thread>

namespace r1::cuda {

namespace {

constexpr int kSmsMax = 512;  // %smid stays below; no GPU has more
constexpr int kThreads = 32;  // one warp: waiting needs no more

int most_urgent_priority() {
    int least = 0;
    int most = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &most), "cudaDeviceGetStreamPriorityRange");
    return most;
}

}  // namespace

struct OccupierState {
    int is_released;
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

// The dynamic shared memory is not touched: its size is what keeps others away.
__global__ void __launch_bounds__(kThreads)
    occupy(volatile OccupierState* state, long long deadline_ns) {
    if (threadIdx.x != 0) {
        return;
    }
    const long long start = time_ns();
    state->sm_of_block[blockIdx.x] = sm_id() + 1;
    __threadfence_system();
    while (state->is_released == 0) {
        if (time_ns() - start > deadline_ns) {
            state->is_expired = 1;
            __threadfence_system();
            return;
        }
        __nanosleep(1000);
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
      memory_(sizeof(OccupierState)) {
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
    state().is_released = 1;
    launch(2);
    stream_.wait();
    launch_probe();
    beside_.wait();
}

OccupierState& Occupier::state() const { return *memory_.as<OccupierState>(); }

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
    check(cudaLaunchKernelEx(&config, occupy, static_cast<volatile OccupierState*>(&state()),
                             deadline_ns_),
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
        // No destructor after a constructor that throws; and blocks may wait for the flag.
        occupier_.state().is_released = 1;
        cudaStreamSynchronize(occupier_.stream_.get());
        throw;
    }
}

void Occupier::Hold::start(int sms) {
    occupier_.beside_.wait();
    occupier_.state() = OccupierState{};
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
        const_cast<volatile int&>(occupier_.state().is_released) = 1;
        cudaStreamSynchronize(occupier_.stream_.get());
    }
}

void Occupier::Hold::release() {
    if (!is_held_) {
        return;
    }
    const_cast<volatile int&>(occupier_.state().is_released) = 1;
    is_held_ = false;
    occupier_.stream_.wait();
    if (const_cast<volatile int&>(occupier_.state().is_expired) != 0) {
        throw CudaError(
            "the held SMs were given back by the deadline: something waited for the "
            "whole device");
    }
}

}  // namespace r1::cuda
