// What a rank does in one step, resolved once: its ops by stream, what each waits for, and which
// buffer each argument is. A tensor that is computed again (recomputation) is another buffer.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "model/graph/dependencies.hpp"
#include "model/graph/graph.hpp"
#include "runtime/stream_progress.hpp"

namespace r1 {

inline constexpr std::uint32_t kNoBuffer = 0xFFFFFFFF;

struct PlannedOp {
    ProgramOp at;
    const Item* item = nullptr;
    const ChunkTemplate* chunk = nullptr;
    const Op* op = nullptr;
    std::vector<StreamPoint> waits_for;  // of other streams
    StreamPoints behind{};  // what is done before it starts; of its own stream, all before it
    std::vector<std::uint32_t> inputs;  // buffers, kNoBuffer for what is no activation
    std::vector<std::uint32_t> outputs;
    // Of the communicator: the same number for all members of a message, exchange or collective,
    // and no other's. Small, as MPI's tags are.
    std::uint64_t channel = 0;

    [[nodiscard]] const Context& context() const { return item->contexts[op->context]; }
    [[nodiscard]] const Context& context_of(const Tensor& tensor) const {
        return item->contexts[tensor.context];
    }
};

struct RankPlan {
    std::vector<PlannedOp> ops;  // in program order
    std::array<std::vector<std::uint32_t>, kStreamCount> streams;
    std::vector<std::uint32_t> readers;  // of each buffer: how many arguments read it
    std::uint64_t spare_channel = 0;     // that no op uses, the same on all ranks

    // The graph must outlive the plan. `given`: activations that are there before the step are
    // not supported; training steps have none.
    RankPlan(const ExecutionGraph& graph, const Dependencies& dependencies, std::uint32_t program);
};

// Ranks that send each other pipeline messages: (from, to), ascending.
std::vector<std::pair<int, int>> pipeline_pairs(const ExecutionGraph& graph);

}  // namespace r1
