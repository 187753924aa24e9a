// The critical path of a replayed step by what its time goes by.
#pragma once

#include <map>
#include <string>

#include "model/timeline/critical_path.hpp"
#include "sim/replay_dag.hpp"

namespace r1 {

// Seconds; they add up to the path. matrix_units and hbm: kernels, in proportion to how their time
// follows from either rate, and that of others on the same SMs. nvlink, network, comm_sms:
// transfers, by what bounds them. And what no rate shortens: latency of transfers, overhead of
// kernels (launches, gaps, helper kernels), wait for other ranks.
std::map<std::string, double> path_resources(const ReplayDag& dag, const Timeline& timeline,
                                             const CriticalPath& path);

}  // namespace r1
