// A topology as an SVG picture: one node in detail, the network, and every overridden link.
#pragma once

#include <string>

#include "sim/hardware/fabric.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {

// A whole file, self-contained. What repeats is drawn once with its count, long rows keep their
// first and last things and those that overrides touch, so that the picture of any cluster stays
// readable. `fabric` is the topology's.
std::string topology_svg(const Topology& topology, const Fabric& fabric);

}  // namespace r1
