// Small networks and activities that the tests of engines share.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/engine.hpp"
#include "sim/fluid_engine.hpp"
#include "sim/simgrid_engine.hpp"
#include "tests/support/catch.hpp"

namespace r1::test {

using MakeEngine = std::unique_ptr<ReplayEngine> (*)(const EngineNetwork&);

// Of a test case that runs once with each engine: the one of this run.
inline MakeEngine this_engine() {
    const bool is_fluid = GENERATE(false, true);
    UNSCOPED_INFO((is_fluid ? "fluid" : "simgrid"));
    return is_fluid ? make_fluid_engine : make_simgrid_engine;
}

// Four endpoints of 10 GB/s both ways, two of 20 GB/s up and 5 GB/s down, and two computes.
inline EngineNetwork small_network(double scale = 1.0) {
    EngineNetwork network;
    network.compute = {"a", "b"};
    for (int i = 0; i < 4; ++i) {
        network.endpoints.push_back({"even", gb_per_s(10 * scale), gb_per_s(10 * scale)});
    }
    for (int i = 0; i < 2; ++i) {
        network.endpoints.push_back({"uneven", gb_per_s(20 * scale), gb_per_s(5 * scale)});
    }
    return network;
}

inline Flow flow(std::size_t from, std::size_t to, double bytes, int multiplicity = 1,
                 BytesPerSecond rate_max = BytesPerSecond(0)) {
    return {EndpointId(from), EndpointId(to), Bytes(bytes), multiplicity, rate_max};
}

inline Activity transfer(std::vector<Flow> flows, double delay_s = 0) {
    return {Seconds(delay_s), ComputeId(), Seconds(0), std::move(flows)};
}

inline Activity computation(std::size_t compute, double time_s, double delay_s = 0) {
    return {Seconds(delay_s), ComputeId(compute), Seconds(time_s), {}};
}

}  // namespace r1::test
