#include "runtime/cuda_device.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "kernels/cuda/blas.hpp"
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/hopper/use.hpp"
#include "model/base/diagnostics.hpp"
#include "runtime/cuda_clock.hpp"
#include "runtime/cuda_memory.hpp"
#include "runtime/cuda_recording.hpp"
#include "runtime/cuda_stream.hpp"
#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#else  // the emulation of tests has no profiler
inline void nvtxRangePushA(const char* /*name*/) {}
inline void nvtxRangePop() {}
#endif

namespace r1 {

namespace cuda {

namespace {

int attribute(cudaDeviceAttr which, int index) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, index), "cudaDeviceGetAttribute");
    return value;
}

int compute_capability(int index) {
    return 10 * attribute(cudaDevAttrComputeCapabilityMajor, index) +
           attribute(cudaDevAttrComputeCapabilityMinor, index);
}

// What the kernels are compiled for: sm_90a code, which later and earlier GPUs do not run, and
// sm_80 code without FP8 where the build asked for it (CMAKE_CUDA_ARCHITECTURES).
constexpr int kHopper = 90;
constexpr int kAmpere = 80;
#ifdef R1_CUDA_SM80
constexpr bool kHasAmpere = true;
#else
constexpr bool kHasAmpere = false;
#endif

// Of the process, as its GPU is.
struct Gpu {
    int sms = attribute(cudaDevAttrMultiProcessorCount, device());
    bool has_fp8 = compute_capability(device()) == kHopper;
    bool is_hopper = use_hopper_kernels(compute_capability(device()));
    CudaMemory memory;
    cublasLtContext* blas = blas_create();

    Gpu() = default;
    ~Gpu() { blas_destroy(blas); }
    Gpu(const Gpu&) = delete;
    Gpu& operator=(const Gpu&) = delete;
};

class CudaDevice final : public Device {
public:
    CudaDevice(Gpu& gpu, const ModelConfig& config)
        : Device("cuda", gpu.memory, cuda::kernels(gpu.has_fp8), config), gpu_(gpu) {
        for (std::size_t i = 0; i < kStreamCount; ++i) {
            const bool is_compute = computes(static_cast<Stream>(i));
            streams_[i] = std::make_unique<StreamSlot>(cuda::device(), !is_compute);
            // Not when they are first used: allocating waits for the device, where another stream
            // may wait for a peer by then.
            streams_[i]->staging();
            if (is_compute && gpu_.blas != nullptr) {
                streams_[i]->blas_workspace();
            }
        }
    }

    void attach(Stream stream) override {
        set_thread_stream(streams_[static_cast<std::size_t>(stream)].get());
    }
    void start_clock() override { clock_.start(); }
    std::uint64_t mark() override { return clock_.mark(); }
    TimePs time_of(std::uint64_t mark) override { return clock_.time_of(mark); }
    std::unique_ptr<Recording> record(const std::function<void()>& work) override {
        return record_graph(work);
    }
    void begin_op(const Op& op) override { nvtxRangePushA(std::string(kind_name(op)).c_str()); }
    void end_op() override { nvtxRangePop(); }

    [[nodiscard]] Launch launch(std::int64_t left_sms) const override {
        StreamSlot& slot = thread_stream();
        // Streams of messages are the urgent ones.
        const std::int64_t planned =
            slot.is_urgent() && comm_sms() > 0 ? comm_sms() : gpu_.sms - left_sms;
        const auto sms = static_cast<int>(std::clamp<std::int64_t>(planned, 1, gpu_.sms));
        if (gpu_.blas == nullptr) {
            return {slot.stream(), sms, gpu_.is_hopper};
        }
        return {slot.stream(),      sms, gpu_.is_hopper, gpu_.blas, slot.blas_workspace(),
                kBlasWorkspaceBytes};
    }

private:
    Gpu& gpu_;
    std::array<std::unique_ptr<StreamSlot>, kStreamCount> streams_;
    CudaClock clock_;
};

void require_code(int index) {
    const int found = compute_capability(index);
    if (found != kHopper && !(kHasAmpere && found == kAmpere)) {
        throw FeatureError(
            fmt::format("--device cuda: GPU {} has compute capability {}.{}; this build's kernels "
                        "are for 9.0 (Hopper){}",
                        index, found / 10, found % 10, kHasAmpere ? " and 8.0" : ""));
    }
}

Gpu& gpu_of_process(int index) {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
        throw FeatureError(fmt::format(
            "--device cuda: this machine has no GPU that CUDA can use{}",
            status == cudaSuccess ? "" : std::string(" (") + cudaGetErrorString(status) + ")"));
    }
    // Lives as long as the process: streams of threads that end late still use it.
    static Gpu* gpu = [&] {
        require_code(index % count);
        set_device(index % count);
        return new Gpu;
    }();
    return *gpu;
}

}  // namespace

}  // namespace cuda

DeviceKind cuda_devices(int index) {
    cuda::Gpu& gpu = cuda::gpu_of_process(index);
    DeviceKind kind;
    kind.name = "cuda";
    kind.memory = &gpu.memory;
    kind.kernels = cuda::kernels(gpu.has_fp8);
    if (!gpu.has_fp8) {
        kind.lacks = ": FP8 needs compute capability 9.0; --fp8 dequantize computes without";
    }
    kind.reserve = [&gpu](std::size_t bytes, const std::string& what) {
        gpu.memory.reserve(bytes, what);
    };
    kind.peak_bytes = [&gpu] { return gpu.memory.peak_bytes(); };
    kind.make = [&gpu](const ModelConfig& config) {
        return std::make_unique<cuda::CudaDevice>(gpu, config);
    };
    return kind;
}

}  // namespace r1
