// What uneven experts give the ranks of a program to do (declared in lowering.hpp).
#include "model/routing/rank_symbols.hpp"
#include "sim/lowering.hpp"

namespace r1 {

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
        const std::vector<SymbolValues> ranks =
            rank_symbols(loads(group), input_.symbols, input_.traffic);
        entry->second.insert(entry->second.end(), ranks.begin(), ranks.end());
    }
    if (input_.replay.fold == Folding::stage) {
        // The fullest rank stands for all.
        entry->second = {largest(entry->second)};
    }
    return entry->second;
}

}  // namespace r1
