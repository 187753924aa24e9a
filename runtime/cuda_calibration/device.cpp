#include "runtime/cuda_calibration/device.hpp"

#include <dlfcn.h>

#include "model/base/diagnostics.hpp"
#include "runtime/cuda_calibration/resources.hpp"

namespace r1::cuda {

namespace {

// 13000 is "13.0".
std::string cuda_version(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// 130100 is "13.1.0".
std::string cublaslt_version(std::size_t version) {
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
}

int attribute(cudaDeviceAttr which, int device) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
    return value;
}

void check_is_there(int index) {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
        const char* why = status == cudaSuccess ? "none is visible" : cudaGetErrorString(status);
        throw FeatureError(std::string("no CUDA device: ") + why);
    }
    if (index < 0 || index >= count) {
        throw FeatureError("no CUDA device " + std::to_string(index) + ": there are " +
                           std::to_string(count) + ", counted from 0");
    }
}

}  // namespace

MeasuredDevice open_device(int index) {
    check_is_there(index);
    check(cudaSetDevice(index), "cudaSetDevice");
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    MeasuredDevice device;
    device.name = properties.name;
    device.compute_capability =
        std::to_string(properties.major) + "." + std::to_string(properties.minor);
    if (properties.major != 9 || properties.minor != 0) {
        throw FeatureError(
            "the calibration's kernels are for compute capability 9.0 (H100, H800, " +
            std::string("H200); ") + device.name + " has " + device.compute_capability);
    }
    device.sms = properties.multiProcessorCount;
    device.memory_gb = static_cast<double>(properties.totalGlobalMem) / 1e9;
    device.l2_mb = properties.l2CacheSize / 1e6;
    device.sm_clock_max_mhz = attribute(cudaDevAttrClockRate, index) / 1e3;
    device.memory_clock_max_mhz = attribute(cudaDevAttrMemoryClockRate, index) / 1e3;
    int version = 0;
    check(cudaDriverGetVersion(&version), "cudaDriverGetVersion");
    device.cuda_driver_api = cuda_version(version);
    check(cudaRuntimeGetVersion(&version), "cudaRuntimeGetVersion");
    device.cuda_runtime = cuda_version(version);
    device.cublaslt = cublaslt_version(cublasLtGetVersion());
    return device;
}

// The few entry points of NVML that are used, declared as its header does: status 0 is success.
struct DeviceMonitor::Library {
    using Device = void*;
    static constexpr int kClockSm = 1;  // NVML_CLOCK_SM

    void* handle = nullptr;
    Device device = nullptr;
    int (*shutdown)() = nullptr;
    int (*power_limit)(Device, unsigned* milliwatts) = nullptr;
    int (*clock)(Device, int type, unsigned* mhz) = nullptr;
    int (*driver)(char* version, unsigned length) = nullptr;

    template <class Function>
    void find(Function*& function, const char* name) const {
        function = reinterpret_cast<Function*>(dlsym(handle, name));
    }
};

DeviceMonitor::DeviceMonitor(int device) {
    void* handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        return;
    }
    auto library = std::make_unique<Library>();
    library->handle = handle;
    int (*init)() = nullptr;
    int (*by_bus)(const char*, Library::Device*) = nullptr;
    library->find(init, "nvmlInit_v2");
    library->find(by_bus, "nvmlDeviceGetHandleByPciBusId_v2");
    library->find(library->shutdown, "nvmlShutdown");
    library->find(library->power_limit, "nvmlDeviceGetPowerManagementLimit");
    library->find(library->clock, "nvmlDeviceGetClockInfo");
    library->find(library->driver, "nvmlSystemGetDriverVersion");
    char bus[32] = {};
    const bool is_complete = init != nullptr && by_bus != nullptr && library->shutdown != nullptr &&
                             library->power_limit != nullptr && library->clock != nullptr &&
                             library->driver != nullptr;
    const bool is_bus_known = cudaDeviceGetPCIBusId(bus, sizeof bus, device) == cudaSuccess;
    if (!is_complete || !is_bus_known || init() != 0) {
        dlclose(handle);
        return;
    }
    if (by_bus(bus, &library->device) != 0) {
        library->device = nullptr;  // the driver's version is known nevertheless
    }
    library_ = std::move(library);
}

DeviceMonitor::~DeviceMonitor() {
    if (library_ != nullptr) {
        library_->shutdown();
        dlclose(library_->handle);
    }
}

std::optional<double> DeviceMonitor::power_limit_w() const {
    unsigned milliwatts = 0;
    if (library_ == nullptr || library_->device == nullptr ||
        library_->power_limit(library_->device, &milliwatts) != 0) {
        return std::nullopt;
    }
    return milliwatts / 1e3;
}

std::optional<double> DeviceMonitor::sm_clock_mhz() const {
    unsigned mhz = 0;
    if (library_ == nullptr || library_->device == nullptr ||
        library_->clock(library_->device, Library::kClockSm, &mhz) != 0) {
        return std::nullopt;
    }
    return mhz;
}

std::string DeviceMonitor::driver_version() const {
    char text[96] = {};
    if (library_ == nullptr || library_->driver(text, sizeof text) != 0) {
        return {};
    }
    return text;
}

}  // namespace r1::cuda
