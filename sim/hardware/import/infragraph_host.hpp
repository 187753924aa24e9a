// What an InfraGraph device holds that is a node of a cluster: accelerators, NICs, and the links
// that join the accelerators.
#pragma once

#include <string>
#include <vector>

#include "sim/hardware/import/infragraph_tree.hpp"

namespace r1 {

struct InfraNic {
    int node = 0;
    std::string name;
};

// Links between accelerators only, through switches or directly: NVLink, in a topology's words.
struct InfraScaleUp {
    const InfraLink* link = nullptr;  // nullptr: `why` there is none that a topology can hold
    std::string why;
    int links = 0;     // of each accelerator
    int switches = 0;  // 0: direct
};

struct InfraHost {
    std::vector<int> xpus;  // nodes of the tree
    std::vector<InfraNic> nics;
    std::vector<int> nic_of_node;  // [node] the NIC that it belongs to, -1: none
    InfraScaleUp scale_up;
    std::vector<std::vector<int>> closeness;  // [xpu][nic] minus the links between them
};

// `tree` is that of the device, with all edges.
InfraHost analyse_host(const InfraTree& tree);

}  // namespace r1
