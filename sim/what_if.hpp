// Ways in which a replay departs from the plain machine: slow ranks, and things left out to see
// what they contribute. None changes the graph.
#pragma once

#include <vector>

#include "model/graph/graph.hpp"
#include "model/routing/traffic.hpp"
#include "model/scenario/scenario.hpp"

namespace r1 {

// How much longer the compute ops of an item take on the slowest of `ranks` ranks that a lane
// stands for: `first`, and others `stride` apart. 1 without stragglers.
double straggler_factor(const Stragglers& stragglers, std::uint64_t seed, RankId first,
                        std::int64_t ranks, std::int64_t stride, std::uint32_t item);

// By stage: what makes the compute time of all stages the same, given each stage's own.
std::vector<double> balancing_factors(const std::vector<Seconds>& compute_by_stage);

// The traffic if every GPU that a token goes to got its own copy from the source: no landing on the
// same rail, no forwarding.
ExpertTraffic single_hop_traffic(const ExpertTraffic& traffic, const ExpertGroupShape& group);

// What low-latency kernels send: for each chosen expert a copy, straight to its GPU.
ExpertTraffic copy_per_expert(ExpertTraffic traffic, double experts, const ExpertGroupShape& group);

}  // namespace r1
