// From an op of the graph to the call that a device gets: sizes, storage types, no data yet.
#pragma once

#include "runtime/device.hpp"

namespace r1 {

// What is the same for all calls of a run.
struct CallSettings {
    const ModelConfig& config;
    const ExecutionPolicy& policy;
    std::int64_t sequence_length = 0;
};

// Arguments have tensors and storage types; data, weights and workspace are the caller's to set.
OpCall shaped_call(const ChunkTemplate& chunk, const Op& op, const CallSettings& settings,
                   const SymbolValues& symbols);

}  // namespace r1
