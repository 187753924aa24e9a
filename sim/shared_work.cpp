#include "sim/shared_work.hpp"

#include <algorithm>
#include <utility>

namespace r1 {

ExecutionGraph SharedWork::graph(const GraphInputs& inputs) {
    std::shared_ptr<const Graph> known;
    {
        const std::lock_guard lock(mutex_);
        if (graph_ && !(graph_->inputs == inputs)) {
            graph_.reset();  // before the next is built
        }
        known = graph_;
    }
    if (!known) {
        known = std::make_shared<const Graph>(Graph{inputs, build_graph(inputs)});
        const std::lock_guard lock(mutex_);
        graph_ = known;
        ++graphs_built_;
    }
    return known->graph;
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
