// A cluster on which times are worked out by hand: a NIC carries 64 B/s and NVLink 128 B/s;
// latencies are 0.5 s and 0.25 s.
#pragma once

#include "sim/hardware/topology.hpp"

namespace r1::test {

inline Topology toy_topology(int nodes, int gpus_per_node) {
    Topology topology;
    topology.device.sms = 1;
    topology.nodes = nodes;
    topology.gpus_per_node = gpus_per_node;
    topology.nvlink.bandwidth = BytesPerSecond(128);
    topology.nvlink.latency = Seconds(0.25);
    topology.nvlink.switches = 1;
    topology.nvlink.domain_gpus = gpus_per_node;
    topology.nic.per_node = gpus_per_node;
    topology.nic.bandwidth = BytesPerSecond(64);
    for (int gpu = 0; gpu < gpus_per_node; ++gpu) {
        topology.nic.affinity.push_back(gpu);
    }
    topology.fabric.kind = FabricKind::single_switch;
    topology.fabric.same_leaf_latency = Seconds(0.5);
    topology.fabric.cross_leaf_latency = Seconds(0.5);
    return topology;
}

}  // namespace r1::test
