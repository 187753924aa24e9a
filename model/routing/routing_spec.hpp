// Where the loads of experts come from: `routing` of a scenario.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace r1 {

enum class RoutingSource : std::uint8_t {
    balanced,  // every expert is as likely as any other
    zipf,      // popularity by a power law, anew for each layer
    router,    // biased scores of tokens whose affinities to experts differ
    captured,  // those of a run, from the binding that it wrote
};
std::string_view name(RoutingSource source);

enum class PlacementPolicy : std::uint8_t {
    contiguous,  // experts one after the other, each on one rank
    balanced,    // by their loads, plan.redundant_experts of them a second time
};

struct RoutingSpec {
    RoutingSource source = RoutingSource::balanced;
    PlacementPolicy placement = PlacementPolicy::contiguous;
    std::int64_t node_limit = 0;  // 0: groups as the model says
    // zipf: the k-th most popular expert is chosen in proportion to k^-skew, as long as a token
    // takes it once only.
    double skew = 0.5;
    // router: standard deviation of an expert's mean logit; that of a token's around it is 1.
    double affinity_spread = 0.5;
    double bias_update_speed = 0.001;  // router: gamma (arXiv 2412.19437, sec. 2.1.2)
    std::int64_t bias_updates = 0;     // router: steps that the bias has had
    std::filesystem::path binding{};   // captured: the file
};

}  // namespace r1
