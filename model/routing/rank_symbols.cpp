#include "model/routing/rank_symbols.hpp"

#include <algorithm>
#include <numeric>

#include "model/base/index.hpp"

namespace r1 {

namespace {

// Tokens that dispatch brings to each rank of the group, per token of a source.
std::vector<double> received(const GroupTraffic& traffic) {
    std::vector<double> sums(at(traffic.group.ranks));
    for (std::int64_t source = 0; source < traffic.group.ranks; ++source) {
        for (std::int64_t rank = 0; rank < traffic.group.ranks; ++rank) {
            sums[at(rank)] += traffic.to_rank(source, rank);
        }
    }
    return sums;
}

}  // namespace

std::vector<SymbolValues> rank_symbols(const ExpertLoads& loads, const SymbolValues& even,
                                       const ExpertTraffic& mean) {
    const std::vector<double> tokens = received(loads.traffic);
    const double rows_sum = std::accumulate(loads.rows.begin(), loads.rows.end(), 0.0);
    const auto ranks = static_cast<double>(loads.rows.size());
    constexpr auto kRows = static_cast<std::size_t>(Symbol::routed_rows);
    constexpr auto kTokens = static_cast<std::size_t>(Symbol::received_tokens);
    std::vector<SymbolValues> symbols;
    for (std::size_t rank = 0; rank < loads.rows.size(); ++rank) {
        SymbolValues values = even;
        values[kRows] *= loads.rows[rank] * ranks / rows_sum;
        values[kTokens] *= tokens[rank] / mean.ranks_per_token;
        symbols.push_back(values);
    }
    return symbols;
}

SymbolValues largest(const std::vector<SymbolValues>& values) {
    SymbolValues most = values.front();
    for (const SymbolValues& each : values) {
        for (std::size_t i = 0; i < kSymbolCount; ++i) {
            most[i] = std::max(most[i], each[i]);
        }
    }
    return most;
}

SymbolValues fullest_symbols(const ExpertRouting& routing, const SymbolValues& even,
                             const ExpertTraffic& mean) {
    std::vector<SymbolValues> fullest{even};
    for (const ExpertLoads& loads : routing.all()) {
        fullest.push_back(largest(rank_symbols(loads, even, mean)));
    }
    return largest(fullest);
}

}  // namespace r1
