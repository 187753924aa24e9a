// What is known of NVIDIA's GPUs beside the device files.
#pragma once

namespace r1 {

// The preset of topologies/devices/ that a PCI device id (of vendor 0x10de) is; nullptr: none.
const char* device_preset(int pci_device);

// One NVLink, one direction.
struct NvlinkRate {
    int sm_min;               // of this compute capability x 10 and up to the next
    double nominal_gb_per_s;  // what a topology's bandwidth counts
    double nccl_gb_per_s;     // what NCCL expects of it (src/graph/topo.h at 5067397c26)
};
const NvlinkRate* nvlink_rate(int sm);  // nullptr: of no GPU with NVLink

}  // namespace r1
