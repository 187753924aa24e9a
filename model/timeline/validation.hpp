// How far simulated times are from measured ones, op kind by op kind (docs/definitions.md,
// validation).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/timeline/alignment.hpp"

namespace r1 {

// Of a set of aligned ops.
struct TimeError {
    std::string name;       // "gemm_fp8", "backward_input", "3" (of a rank)
    std::int64_t ops = 0;   // on all ranks
    double measured_s = 0;  // their durations, added up
    double simulated_s = 0;
    // Of an op kind whose ops take time: see typical_factors.hpp.
    std::optional<double> typical_factor{};

    [[nodiscard]] double difference_s() const { return simulated_s - measured_s; }
    // Signed: (simulated - measured) / measured. nullopt where nothing was measured.
    [[nodiscard]] std::optional<double> relative() const;
};

struct Validation {
    std::vector<std::string> graphs;  // hashes
    TimeError end_to_end;             // from the earliest start to the latest end
    // Those first that are off by the largest typical factor, too slow or too fast.
    std::vector<TimeError> op_kinds;
    std::vector<TimeError> phases;  // in the order of Phase
    std::vector<TimeError> ranks;   // ascending
};

Validation validate(const std::vector<AlignedGraph>& graphs);

}  // namespace r1
