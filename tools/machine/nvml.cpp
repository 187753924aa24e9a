#include "tools/machine/nvml.hpp"

#include <array>

#include <dlfcn.h>
#include <fmt/format.h>

namespace r1 {

namespace {

constexpr unsigned kNvLinksMax = 36;  // tries; a device without a link says that it has none
constexpr std::size_t kTextMax = 96;

template <class Function>
bool find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    return function != nullptr;
}

// NVML's domain has eight digits, the kernel's four, and its letters are small.
std::string bus_id_of(const NvmlPciInfo& pci) {
    return fmt::format("{:04x}:{:02x}:{:02x}.0", pci.domain, pci.bus, pci.device);
}

void add_nvlinks(const NvmlFunctions& nvml, NvmlDevice device, const std::filesystem::path& sysfs,
                 MachineGpu& gpu) {
    for (unsigned link = 0; link < kNvLinksMax; ++link) {
        unsigned is_active = 0;
        if (nvml.nvlink_state(device, link, &is_active) != 0 || is_active == 0) {
            continue;
        }
        NvmlPciInfo remote{};
        MachineGpu::NvLink& there = gpu.nvlinks.emplace_back();
        // In a virtual machine the switches are invisible: NCCL writes them with this bus id.
        there.bus_id = "fffffff:ff:ff.0";
        there.device_class = "0x068000";
        if (nvml.nvlink_remote(device, link, &remote) == 0) {
            const std::string bus_id = bus_id_of(remote);
            const PciPlace place = read_pci(sysfs, bus_id);
            if (!place.device_class.empty()) {
                there = {bus_id, place.device_class};
            }
        }
    }
}

}  // namespace

std::optional<NvmlFunctions> load_nvml(std::string& problem) {
    // Never closed: the inventory is taken once.
    void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        problem = "no NVIDIA driver: libnvidia-ml.so.1 is not there";
        return std::nullopt;
    }
    NvmlFunctions nvml;
    const bool complete =
        find(library, "nvmlInit_v2", nvml.init) && find(library, "nvmlShutdown", nvml.shutdown) &&
        find(library, "nvmlErrorString", nvml.error_string) &&
        find(library, "nvmlSystemGetDriverVersion", nvml.driver_version) &&
        find(library, "nvmlSystemGetCudaDriverVersion_v2", nvml.cuda_version) &&
        find(library, "nvmlDeviceGetCount_v2", nvml.count) &&
        find(library, "nvmlDeviceGetHandleByIndex_v2", nvml.handle) &&
        find(library, "nvmlDeviceGetName", nvml.name) &&
        find(library, "nvmlDeviceGetMemoryInfo", nvml.memory) &&
        find(library, "nvmlDeviceGetPciInfo_v3", nvml.pci) &&
        find(library, "nvmlDeviceGetCudaComputeCapability", nvml.compute_capability) &&
        find(library, "nvmlDeviceGetNvLinkState", nvml.nvlink_state) &&
        find(library, "nvmlDeviceGetNvLinkRemotePciInfo_v2", nvml.nvlink_remote);
    if (!complete) {
        problem = "libnvidia-ml.so.1 is too old";
        return std::nullopt;
    }
    return nvml;
}

void read_gpus(const NvmlFunctions& nvml, const std::filesystem::path& sysfs, Machine& machine) {
    if (const NvmlReturn result = nvml.init(); result != 0) {
        machine.no_gpus = fmt::format("NVML: {}", nvml.error_string(result));
        return;
    }
    std::array<char, kTextMax> text{};
    if (nvml.driver_version(text.data(), kTextMax) == 0) {
        machine.driver = text.data();
    }
    int cuda = 0;
    if (nvml.cuda_version(&cuda) == 0) {
        machine.cuda_version = fmt::format("{}.{}", cuda / 1000, cuda % 1000 / 10);
    }
    unsigned count = 0;
    nvml.count(&count);
    for (unsigned index = 0; index < count; ++index) {
        NvmlDevice device = nullptr;
        NvmlPciInfo pci{};
        if (nvml.handle(index, &device) != 0 || nvml.pci(device, &pci) != 0) {
            continue;
        }
        MachineGpu& gpu = machine.gpus.emplace_back();
        gpu.index = static_cast<int>(index);
        text = {};
        nvml.name(device, text.data(), kTextMax);
        gpu.name = text.data();
        gpu.pci = read_pci(sysfs, bus_id_of(pci));
        NvmlMemory memory{};
        nvml.memory(device, &memory);
        gpu.memory_bytes = memory.total;
        int major = 0;
        int minor = 0;
        nvml.compute_capability(device, &major, &minor);
        gpu.compute_capability = 10 * major + minor;
        add_nvlinks(nvml, device, sysfs, gpu);
    }
    if (machine.gpus.empty()) {
        machine.no_gpus = "the driver shows no GPU";
    }
    nvml.shutdown();
}

}  // namespace r1
