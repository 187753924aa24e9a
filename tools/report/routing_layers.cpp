#include "tools/report/routing_layers.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>
#include <string>

#include <fmt/format.h>

#include "model/base/json.hpp"

namespace r1 {

namespace {

// "98 103 99": whole per cents of `whole`.
std::string percents(const std::vector<double>& values, double whole) {
    std::string text;
    for (const double value : values) {
        fmt::format_to(std::back_inserter(text), "{}{:.0f}", text.empty() ? "" : " ",
                       whole > 0 ? value / whole * 100 : 0);
    }
    return text;
}

std::string over_mean(const std::vector<double>& loads) {
    const double sum = std::accumulate(loads.begin(), loads.end(), 0.0);
    return percents(loads, sum / static_cast<double>(loads.size()));
}

struct LayerSum {
    std::vector<double> experts;
    std::vector<double> nodes;
    double rows = 0;  // of sources, that `nodes` adds up
};

void add(std::vector<double>& sum, const double* values, std::size_t count) {
    sum.resize(std::max(sum.size(), count));
    for (std::size_t i = 0; i < count; ++i) {
        sum[i] += values[i];
    }
}

void add(LayerSum& sum, const ExpertLoads& loads) {
    add(sum.experts, loads.experts.data(), loads.experts.size());
    const auto nodes = static_cast<std::size_t>(loads.traffic.group.nodes());
    for (std::int64_t source = 0; source < loads.traffic.sources; ++source) {
        add(sum.nodes, &loads.traffic.to_nodes[static_cast<std::size_t>(source) * nodes], nodes);
        sum.rows += 1;
    }
}

}  // namespace

Json routing_layers_json(const ExpertRouting& routing,
                         const std::vector<std::int64_t>& stage_layers) {
    std::map<std::int64_t, LayerSum> layers;
    for (const auto& [place, index] : routing.places()) {
        const auto stage = stage_layers.begin() + place.stage;
        const std::int64_t before = std::accumulate(stage_layers.begin(), stage, std::int64_t{0});
        add(layers[before + place.layer], routing.loads(index));
    }
    Json list = Json::array();
    for (const auto& [layer, sum] : layers) {
        list.push_back({{"layer", layer},
                        {"expert_load", over_mean(sum.experts)},
                        {"node_share", percents(sum.nodes, sum.rows)}});
    }
    return list;
}

Json routing_layers_json(const std::vector<std::vector<std::int32_t>>& tokens) {
    Json list = Json::array();
    for (std::size_t layer = 0; layer < tokens.size(); ++layer) {
        if (!tokens[layer].empty()) {
            list.push_back({{"layer", layer},
                            {"expert_load", over_mean(std::vector<double>(tokens[layer].begin(),
                                                                          tokens[layer].end()))}});
        }
    }
    return list;
}

}  // namespace r1
