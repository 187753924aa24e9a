// What this machine has of GPUs and NICs, as its driver and its kernel say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace r1 {

// Of a PCI device, and of the bridges above it.
struct PciPlace {
    std::string bus_id;                 // "0000:1b:00.0"
    std::string device_class;           // "0x030200"
    std::string vendor;                 // "0x10de"
    std::string device;                 // likewise
    std::string link_speed;             // "32.0 GT/s PCIe"; empty: unknown
    std::string link_width;             // "16"
    int numa_node = -1;                 // -1: unknown
    std::vector<std::string> upstream;  // bus ids of bridges, the nearest first
};

struct MachineGpu {
    int index = 0;  // NVML's
    std::string name;
    PciPlace pci;
    int compute_capability = 0;  // times 10: 90
    std::uint64_t memory_bytes = 0;
    // The other end of each active NVLink: bus id and PCI class of an NVSwitch or a GPU.
    struct NvLink {
        std::string bus_id;
        std::string device_class;
    };
    std::vector<NvLink> nvlinks;
};

struct MachineNic {
    std::string name;  // of the kernel: "mlx5_0"
    PciPlace pci;
    int port = 1;
    double mbit_per_s = 0;
    bool is_active = false;
    std::string link_layer;  // "InfiniBand", "Ethernet"
    std::string guid;        // "0xb83fd20300a1b2c3"
};

struct Machine {
    std::optional<std::string> driver;  // nullopt: no NVIDIA driver
    std::string cuda_version;           // that the driver serves: "13.0"
    std::string no_gpus;                // why there are none
    std::optional<std::string> nccl;    // version of the library that is found
    std::vector<MachineGpu> gpus;
    std::vector<MachineNic> nics;
};

// Looks at libnvidia-ml, libnccl and sysfs; nothing that is missing is an error. `sysfs`: another
// root in tests.
Machine inspect_machine(const std::filesystem::path& sysfs = "/sys");

// The same, part by part. NICs: those of class infiniband, with RoCE.
std::vector<MachineNic> read_nics(const std::filesystem::path& sysfs);
PciPlace read_pci(const std::filesystem::path& sysfs, const std::string& bus_id);

// As NCCL writes it with NCCL_TOPO_DUMP_FILE, for import_nccl_xml().
std::string nccl_topology_xml(const Machine& machine, const std::filesystem::path& sysfs = "/sys");

}  // namespace r1
