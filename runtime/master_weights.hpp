// The master weights of whole shards, of which a rank keeps only its part.
#pragma once

#include <span>
#include <vector>

#include "runtime/agreement.hpp"
#include "runtime/rank_state.hpp"

namespace r1 {

// In the same order on all ranks, whatever their programs: ranks that go through them together
// meet in the same collectives.
std::vector<StateShard*> ordered_shards(RankState& state);

// Of all holders' parts the whole, in the shard's flat order. All holders call it.
std::vector<float> gather_master(const StateShard& shard, const Everyone& ranks);

// As the optimizer hands them to the parameters: in the compute type.
void round_to_compute(const ExecutionPolicy& policy, std::span<float> values);

}  // namespace r1
