// Which ranks of an expert-parallel group the tokens of each source rank go to, in one exchange.
#pragma once

#include <cstdint>
#include <vector>

#include "model/routing/traffic.hpp"

namespace r1 {

// Shares of a source's tokens, by place in the group. Sources that are alike share one row.
struct GroupTraffic {
    ExpertGroupShape group;
    std::int64_t sources = 1;      // rows: 1, or as many as ranks
    std::vector<double> to_nodes;  // [sources, nodes]: with an expert on the node
    std::vector<double> to_ranks;  // [sources, ranks]: with an expert on the rank

    [[nodiscard]] double to_node(std::int64_t source, std::int64_t node) const {
        return to_nodes[row(source) * static_cast<std::size_t>(group.nodes()) +
                        static_cast<std::size_t>(node)];
    }
    [[nodiscard]] double to_rank(std::int64_t source, std::int64_t rank) const {
        return to_ranks[row(source) * static_cast<std::size_t>(group.ranks) +
                        static_cast<std::size_t>(rank)];
    }

private:
    [[nodiscard]] std::size_t row(std::int64_t source) const {
        return sources == 1 ? 0 : static_cast<std::size_t>(source);
    }
};

// All nodes and ranks are as likely as any other.
GroupTraffic even_traffic(const ExpertTraffic& traffic, const ExpertGroupShape& group);

}  // namespace r1
