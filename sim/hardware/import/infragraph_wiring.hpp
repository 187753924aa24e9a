// How the instances of an InfraGraph file are joined: which switch each NIC of each host is on, and
// what joins the switches.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/hardware/import/infragraph_host.hpp"

namespace r1 {

// Parallel links between the same two ends.
struct InfraTrunk {
    int links = 0;
    std::optional<double> gb_per_s = 0.0;  // together; nothing: some link does not say
    std::optional<double> latency_us;      // of one
    const InfraEdge* edge = nullptr;       // the first
    const InfraLink* link = nullptr;

    void add(const InfraJoin& join);
};

struct InfraWire {
    int leaf = -1;  // node of the root's tree; -1: joined to nothing
    InfraTrunk trunk;
};

struct InfraWiring {
    std::vector<int> hosts;                            // nodes of the root's tree, in file order
    std::vector<std::vector<InfraWire>> wires;         // [host][nic of the device]
    std::map<std::pair<int, int>, InfraTrunk> trunks;  // between switches, lower node first
    std::map<int, int> ports;                          // of each switch that something joins

    [[nodiscard]] std::set<int> leaves() const;  // switches that NICs are on
};

// `root` holds the instances and the edges between them; all `hosts` are copies of one device,
// analysed as `host`. Errors: ends that are neither NICs of hosts nor switches, hosts joined to
// each other, a NIC on two switches, hosts that are wired differently.
InfraWiring read_wiring(const Document& document, const InfraTree& root, std::vector<int> hosts,
                        const InfraHost& host, Diagnostics& diagnostics);

}  // namespace r1
