// Which of a topology's networks the wiring of an InfraGraph file is.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/hardware/import/infragraph_wiring.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {

struct InfraFabric {
    FabricKind kind = FabricKind::none;
    std::string what;  // how it was recognised
    std::string pointer;
    std::string warning;               // what it stands for, if that is not what the file says
    bool is_leaves_as_switch = false;  // every way through the one switch is by way of a spine
    std::optional<int> switch_ports;   // that make the trees of the file, where there are trees
    std::optional<double> oversubscription;
    std::string open_oversubscription;  // why there is none, where one is needed
    std::optional<double> same_leaf_us;
    std::optional<double> cross_leaf_us;
};

// `nics`: the NICs of the device that make up each NIC of the topology. An error says what of the
// wiring a topology cannot hold.
InfraFabric find_fabric(const Document& document, const InfraTree& root, const InfraWiring& wiring,
                        const std::vector<std::vector<int>>& nics, Diagnostics& diagnostics);

}  // namespace r1
