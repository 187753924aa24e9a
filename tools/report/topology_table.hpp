// What `r1sim topology` prints: a JSON object, or a table with a drawing.
#pragma once

#include <string>

#include "model/base/json_fwd.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {

// nodes, gpus, device, links[] (one entry a kind and rate), path_latency_us, bisection_gb_per_s,
// rails, diameter_hops (null if some GPUs cannot reach each other), switches{leaf, spine}.
Json topology_json(const Topology& topology, const Fabric& fabric);

// The same as a table, and an ASCII drawing of one node and of the network.
std::string topology_text(const Topology& topology, const Fabric& fabric);

}  // namespace r1
