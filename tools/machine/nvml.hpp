// NVIDIA's management library, as far as an inventory of GPUs needs it. It comes with the driver,
// so it is opened where there is one, and its functions are declared here as its manual has them
// (docs.nvidia.com/deploy/nvml-api).
#pragma once

#include <filesystem>

#include "tools/machine/machine.hpp"

namespace r1 {

using NvmlDevice = struct NvmlDeviceOpaque*;
using NvmlReturn = int;  // 0: success

struct NvmlPciInfo {  // nvmlPciInfo_t of version 3
    char bus_id_legacy[16];
    unsigned domain;
    unsigned bus;
    unsigned device;
    unsigned pci_device_id;  // device << 16 | vendor
    unsigned pci_subsystem_id;
    char bus_id[32];  // "00000000:1B:00.0"
};
struct NvmlMemory {  // nvmlMemory_t
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
};

struct NvmlFunctions {
    NvmlReturn (*init)() = nullptr;
    NvmlReturn (*shutdown)() = nullptr;
    const char* (*error_string)(NvmlReturn) = nullptr;
    NvmlReturn (*driver_version)(char* version, unsigned length) = nullptr;
    NvmlReturn (*cuda_version)(int* version) = nullptr;  // 13000: 13.0
    NvmlReturn (*count)(unsigned* count) = nullptr;
    NvmlReturn (*handle)(unsigned index, NvmlDevice* device) = nullptr;
    NvmlReturn (*name)(NvmlDevice device, char* name, unsigned length) = nullptr;
    NvmlReturn (*memory)(NvmlDevice device, NvmlMemory* memory) = nullptr;
    NvmlReturn (*pci)(NvmlDevice device, NvmlPciInfo* pci) = nullptr;
    NvmlReturn (*compute_capability)(NvmlDevice device, int* major, int* minor) = nullptr;
    NvmlReturn (*nvlink_state)(NvmlDevice device, unsigned link, unsigned* is_active) = nullptr;
    NvmlReturn (*nvlink_remote)(NvmlDevice device, unsigned link, NvmlPciInfo* pci) = nullptr;
};

// Driver, GPUs and NVLinks, into `machine`; `sysfs` says where they lie.
void read_gpus(const NvmlFunctions& nvml, const std::filesystem::path& sysfs, Machine& machine);

// Those of libnvidia-ml.so.1. `problem` says why there are none.
std::optional<NvmlFunctions> load_nvml(std::string& problem);

}  // namespace r1
