// A cluster that a plan could run on: an entry of its `candidates.clusters`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/base/json.hpp"

namespace r1 {

struct CandidateCluster {
    std::string name;
    Json topology;  // its device in place; `nodes` follow from the GPUs of a candidate
    std::int64_t gpus_per_node = 1;
    std::string calibration;  // file or preset
    double usd_per_gpu_hour = 0;
    std::vector<std::int64_t> gpus;  // to try
};

// The entry at `pointer`, a name or an object, with the price and the GPUs of `defaults` where it
// gives none; nothing if it cannot be used. Problems go to `diagnostics`.
std::optional<CandidateCluster> read_candidate_cluster(Document& document,
                                                       const std::string& pointer,
                                                       const std::filesystem::path& base,
                                                       CandidateCluster defaults,
                                                       Diagnostics& diagnostics);

// Untouched where there are none.
void read_gpus_to_try(ObjectReader& reader, std::vector<std::int64_t>& gpus);

}  // namespace r1
