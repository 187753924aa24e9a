// The GPUs and NICs that an NCCL topology file holds (NCCL_TOPO_DUMP_FILE, NCCL_TOPO_FILE), one
// node for each host of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/hardware/import/xml.hpp"

namespace r1 {

enum class NvlinkEnd { nvswitch, gpu, cpu };

struct NcclNvlink {
    NvlinkEnd end = NvlinkEnd::nvswitch;
    std::string target;  // bus id
    int count = 0;
    int element = 0;
};

// Where a GPU or NIC hangs: the bridges above it, outermost first, as indices of elements.
struct NcclPlace {
    int cpu = -1;
    std::vector<int> bridges;
};

struct NcclGpu {
    int element = 0;  // gpu, or a pci element of a GPU's class without one
    std::string bus_id;
    NcclPlace place;
    std::optional<int> dev;        // CUDA index
    std::optional<int> sm;         // compute capability x 10
    std::optional<int> device_id;  // PCI
    bool has_rank = false;
    std::vector<NcclNvlink> nvlinks;
};

enum class NicOrigin {
    pci,       // a nic element within a pci element
    bare_pci,  // a pci element of a NIC's class without one: its speed is not known
    socket,    // a net of a nic directly under a cpu: an interface without a PCI device
};

struct NcclNic {
    int element = 0;
    std::string name;  // of its first net, else its bus id
    NcclPlace place;
    NicOrigin origin = NicOrigin::pci;
    int ports = 1;
    std::optional<double> gb_per_s;  // of all its ports, at most what its PCIe link carries
};

struct NcclNode {
    std::string host;           // host_hash; empty if the file has none
    std::vector<NcclGpu> gpus;  // by CUDA index, or by bus id where there is none
    std::vector<NcclNic> nics;  // in the order of the file
};

struct NcclSystem {
    std::vector<NcclNode> nodes;
    std::vector<std::string> warnings;
    std::vector<std::string> notes;
};

// Collects every problem (100 at most); the result is usable only if there was none.
NcclSystem read_nccl_system(const XmlDocument& document, Diagnostics& diagnostics);

}  // namespace r1
