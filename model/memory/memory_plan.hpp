// What the ranks of each program hold in device memory, from the graph alone: the state of their
// stages, and activations by the lifetimes of their buffers under the program's order.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/base/ids.hpp"
#include "model/base/units.hpp"
#include "model/graph/graph.hpp"

namespace r1 {

// One rank; all ranks of a program are equal. Buffers are whole bytes, without an allocator's
// alignment or fragments.
struct RankMemory {
    Bytes weights;
    Bytes gradients;
    Bytes optimizer;         // master weights and moments, as sharded as the graph has them
    Bytes cache;             // latent caches at their capacity
    Bytes activations_peak;  // of all that ops make and read: temporaries of the optimizer too

    // Why the peak is what it is.
    ItemIndex peak_item;            // the first item that reaches it; invalid: no activations
    int micro_batches_at_peak = 0;  // (stage, direction, micro-batch) with an activation alive

    [[nodiscard]] Bytes total() const {
        return weights + gradients + optimizer + cache + activations_peak;
    }
    bool operator==(const RankMemory&) const = default;
};

struct MemoryPlan {
    std::vector<RankMemory> programs;
    bool operator==(const MemoryPlan&) const = default;
};

// `bound` gives routed_rows and received_tokens, the same for all layers and micro-batches.
//
// State counts once for each stage of the rank; a tensor of the whole model ("model.…",
// "lm_head.…": the embedding where a rank holds both ends) once for the rank.
//
// An activation lives from the start of the op that makes it to the end of the last op of the rank
// that reads it; made again (recomputed), it lives again. What nothing reads goes with the op that
// made it. A message takes its buffer where its item stands, right before its chunk. Ops count one
// after the other in issue order: where streams overlap, the real peak can be a little higher, by
// what an op of another stream frees later than assumed here. Token ids and labels (role input)
// are left out: some ten kilobytes a micro-batch.
//
// `stored_bits`, if given: bits of a value as a run stores the tensor, which may be others than the
// graph's.
MemoryPlan plan_memory(const ExecutionGraph& graph, const SymbolValues& bound,
                       const std::function<double(const Tensor&)>& stored_bits = {});

}  // namespace r1
