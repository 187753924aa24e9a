// What `r1sim topology A --diff B` prints: in what B is another cluster for a replay.
#pragma once

#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "sim/hardware/topology.hpp"
#include "sim/resources.hpp"

namespace r1 {

// Entries of {resource, what, from, to}.
Json changes_json(const std::vector<HardwareChange>& changes);
Json topology_diff_json(const Topology& from, const Topology& to);

// A sentence for each of them.
std::string topology_diff_text(const Topology& from, const Topology& to);

}  // namespace r1
