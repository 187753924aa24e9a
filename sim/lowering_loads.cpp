// What uneven experts give the ranks of a program to do (declared in lowering.hpp).
#include <algorithm>

#include "model/base/index.hpp"
#include "sim/lowering.hpp"

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

LayerLoads::LayerLoads(const LoweringInput& input, const LaneSet& lanes)
    : input_(input), lanes_(lanes) {}

bool LayerLoads::differ() const { return input_.routing != nullptr && !input_.routing->even(); }

std::size_t LayerLoads::index(const Context& context, std::int32_t layer,
                              std::int32_t group) const {
    return input_.routing->index(
        {context.stage, layer, context.direction, context.micro_batch, group});
}

const ExpertLoads& LayerLoads::loads(std::size_t index) const {
    return input_.routing->loads(index);
}

const std::vector<SymbolValues>& LayerLoads::symbols(const Context& context, std::int32_t layer) {
    const std::int32_t groups = lanes_.per_program() / lanes_.per_group();
    std::vector<std::size_t> key;
    for (std::int32_t group = 0; group < groups; ++group) {
        key.push_back(index(context, layer, group));
    }
    const auto [entry, is_new] = symbols_.try_emplace(key);
    if (!is_new) {
        return entry->second;
    }
    for (const std::size_t group : key) {
        add_group(loads(group), entry->second);
    }
    if (input_.replay.fold == Folding::stage) {
        // The fullest rank stands for all.
        SymbolValues most = entry->second.front();
        for (const SymbolValues& values : entry->second) {
            for (std::size_t i = 0; i < kSymbolCount; ++i) {
                most[i] = std::max(most[i], values[i]);
            }
        }
        entry->second = {most};
    }
    return entry->second;
}

void LayerLoads::add_group(const ExpertLoads& loads, std::vector<SymbolValues>& symbols) const {
    const std::vector<double> tokens = received(loads.traffic);
    double rows_sum = 0;
    for (const double rows : loads.rows) {
        rows_sum += rows;
    }
    const auto ranks = static_cast<double>(loads.rows.size());
    constexpr auto kRows = static_cast<std::size_t>(Symbol::routed_rows);
    constexpr auto kTokens = static_cast<std::size_t>(Symbol::received_tokens);
    for (std::size_t rank = 0; rank < loads.rows.size(); ++rank) {
        SymbolValues values = input_.symbols;
        values[kRows] *= loads.rows[rank] * ranks / rows_sum;
        values[kTokens] *= tokens[rank] / input_.traffic.ranks_per_token;
        symbols.push_back(values);
    }
}

}  // namespace r1
