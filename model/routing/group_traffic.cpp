#include "model/routing/group_traffic.hpp"

namespace r1 {

GroupTraffic even_traffic(const ExpertTraffic& traffic, const ExpertGroupShape& group) {
    const auto even = [](double sum, std::int64_t count) {
        return std::vector<double>(static_cast<std::size_t>(count),
                                   sum / static_cast<double>(count));
    };
    return {group, 1, even(traffic.nodes_per_token, group.nodes()),
            even(traffic.ranks_per_token, group.ranks)};
}

}  // namespace r1
