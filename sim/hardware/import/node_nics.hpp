// Which NIC of a node each GPU uses: a topology names one for each GPU, a machine may have several
// beside a GPU, or one for several GPUs.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace r1 {

struct NicCandidate {
    std::string name;
    std::optional<double> gb_per_s;  // nothing: the file does not say
};

struct NicPlan {
    std::vector<std::vector<int>> nics;  // the candidates that make up each NIC of the topology
    std::vector<int> affinity;           // [gpu] index into nics
    std::vector<int> left_out;           // candidates that no GPU is closest to
};

// `closeness[gpu][candidate]`: the larger, the closer. Each GPU takes one of its closest NICs, the
// one that the fewest GPUs took so far. NICs that are left over join the one beside them, if they
// are as close to its GPU and as fast: several NICs of a GPU become one of their bandwidth.
NicPlan plan_nics(const std::vector<std::vector<int>>& closeness,
                  const std::vector<NicCandidate>& candidates);

// The bandwidth of a NIC of the plan; nothing if the file does not say.
std::optional<double> merged_gb_per_s(const std::vector<int>& nic,
                                      const std::vector<NicCandidate>& candidates);

}  // namespace r1
