// The replay of a job that Chakra execution traces tell, on a cluster: rank r on GPU r.
//
// Computations share the SMs of their rank; messages and all-to-alls go from NIC to NIC, or over
// NVLink on one node; collectives are rings, as those of an execution graph (rank_network.hpp).
#pragma once

#include <string>
#include <vector>

#include "model/chakra/job.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/replay_dag.hpp"

namespace r1 {

// An item a node, with one op. Throws InputError if the cluster is too small, or lacks a link that
// the job needs.
ReplayDag lower_chakra(const ChakraJob& job, const Topology& topology, const Fabric& fabric,
                       std::uint64_t seed);

// What the replay cannot know, for people.
std::vector<std::string> chakra_warnings(const ChakraJob& job, const Topology& topology);

}  // namespace r1
