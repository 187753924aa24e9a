// The published calibration and cluster that cost tests start from.
#pragma once

#include "model/base/json.hpp"
#include "sim/cost/calibration.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {

inline Calibration read_or_throw(const Document& document) {
    Diagnostics diagnostics;
    Calibration calibration = read_calibration(document, "", diagnostics);
    diagnostics.throw_if_errors();
    return calibration;
}

inline const Calibration& h800_calibration() {
    static const Calibration calibration = read_or_throw(load_calibration("h800_published"));
    return calibration;
}

inline Topology topology_of(const std::string& preset) {
    Diagnostics diagnostics;
    Topology topology = read_topology(load_topology(preset), "", diagnostics);
    diagnostics.throw_if_errors();
    return topology;
}

inline const Topology& h800_topology() {
    static const Topology topology = topology_of("h800_8x8");
    return topology;
}

}  // namespace r1
