// What a training run holds in the memory of its devices, planned from the graph as the run stores
// it, and taken before anything runs: a plan that does not fit ends the run at once.
#pragma once

#include <span>
#include <vector>

#include "model/memory/memory_plan.hpp"
#include "runtime/rank_trainer.hpp"

namespace r1 {

struct RunMemory {
    RankMemory rank;
    Bytes workspaces;  // of the largest kernel of each compute stream

    [[nodiscard]] Bytes total() const { return rank.total() + workspaces; }
};

// Of a rank of each program. `bound` as for plan_memory(); `device` is asked for workspaces. What
// routers send to single ranks beyond that, and copies of messages under way, come on top.
std::vector<RunMemory> plan_run_memory(const TrainingJob& job, const ExecutionGraph& graph,
                                       const SymbolValues& bound, const Device& device);

// Bytes of those ranks together, taken from the devices that they share, where these have a memory
// of their own. Throws InfeasibleError, which says what the plan is made of.
Bytes reserve_run_memory(const std::vector<RunMemory>& programs, const ExecutionGraph& graph,
                         std::span<const RankId> ranks, const DeviceKind& devices);

}  // namespace r1
