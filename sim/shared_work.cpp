#include "sim/shared_work.hpp"

#include <algorithm>
#include <utility>

namespace r1 {

ExecutionGraph SharedWork::graph(const GraphInputs& inputs) {
    if (const std::shared_ptr<const Graph> known = known_graph(inputs)) {
        return known->graph;
    }
    auto built = std::make_shared<const Graph>(Graph{inputs, build_graph(inputs)});
    const std::lock_guard lock(mutex_);
    graphs_.push_back(built);
    ++graphs_built_;
    return built->graph;
}

std::shared_ptr<const SharedWork::Graph> SharedWork::known_graph(const GraphInputs& inputs) {
    const std::lock_guard lock(mutex_);
    const auto known = std::find_if(graphs_.begin(), graphs_.end(),
                                    [&](const auto& graph) { return graph->inputs == inputs; });
    if (known != graphs_.end()) {
        std::rotate(known, known + 1, graphs_.end());  // the last used is the last
        return graphs_.back();
    }
    if (graphs_.size() >= graphs_max_) {  // before the next is built
        graphs_.erase(graphs_.begin());
    }
    return nullptr;
}

ExpertTraffic SharedWork::balanced_traffic(const TrafficInputs& inputs) {
    {
        const std::lock_guard lock(mutex_);
        const auto known =
            std::find_if(traffic_.begin(), traffic_.end(),
                         [&](const Traffic& traffic) { return traffic.inputs == inputs; });
        if (known != traffic_.end()) {
            return known->traffic;
        }
    }
    ExpertTraffic drawn =
        r1::balanced_traffic(inputs.config, inputs.group, inputs.node_limit, inputs.seed);
    const std::lock_guard lock(mutex_);
    traffic_.push_back({inputs, drawn});  // twice if two threads were at it
    return drawn;
}

int SharedWork::graphs_built() const {
    const std::lock_guard lock(mutex_);
    return graphs_built_;
}

}  // namespace r1
