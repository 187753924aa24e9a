// What a step runs on, divided into resources: one can be exchanged for another cluster's while the
// others stay, which tells how much of a difference each one makes.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "model/base/json.hpp"
#include "sim/cost/calibration.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {

// compute: peaks, SMs and HBM of the device, and what kernels reach of them. nvlink and network:
// links, and what exchanges reach over them; the network is NICs, InfiniBand and the nodes that it
// joins. rest: all that belongs to none of the others.
enum class Resource { compute, nvlink, network, rest };
inline constexpr std::array kResources = {Resource::compute, Resource::nvlink, Resource::network,
                                          Resource::rest};
std::string_view name(Resource resource);

struct Hardware {
    Topology topology;
    Calibration calibration;
};

// `from` with one resource of `to`; the rest cannot be exchanged. Both must have nodes of the same
// number of GPUs. What replays do not read (names, sources' texts) stays or is lost.
Hardware with_resource(const Hardware& from, const Hardware& to, Resource resource);

// A number, in the unit of its file, or a text for curves and overrides; null: there is none.
struct HardwareChange {
    Resource resource = Resource::rest;
    std::string what;  // "nvlink.bandwidth_gb_per_s", "calibration.curves.gemm_fp8"
    Json from;
    Json to;
};

// All that a replay may feel, by resource.
std::vector<HardwareChange> hardware_changes(const Hardware& from, const Hardware& to);

}  // namespace r1
