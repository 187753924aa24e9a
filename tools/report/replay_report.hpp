// What the replay of Chakra traces found, as JSON ("r1sim.replay/1") and as a table.
#pragma once

#include <string>

#include "model/base/json_fwd.hpp"
#include "model/chakra/job.hpp"
#include "sim/hardware/topology.hpp"
#include "sim/replay_dag.hpp"

namespace r1 {

struct ReplayRun {
    std::string traces;  // folder or file
    std::string engine;
    std::string version;
    EngineCounts counts;
};
Json replay_json(const ReplayRun& run, const ChakraJob& job, const Topology& topology,
                 const ReplayDag& dag, const Timeline& timeline);
std::string replay_table(const Json& report);

}  // namespace r1
