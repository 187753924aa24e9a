#include "sim/shared_work.hpp"

namespace r1 {

ExecutionGraph SharedWork::graph(const GraphInputs& inputs) {
    if (!graph_ || !(graph_->inputs == inputs)) {
        graph_.reset();  // one at a time in memory
        graph_ = Graph{inputs, build_graph(inputs)};
        ++graphs_built_;
    }
    return graph_->graph;
}

ExpertTraffic SharedWork::balanced_traffic(const TrafficInputs& inputs) {
    if (!traffic_ || !(traffic_->inputs == inputs)) {
        traffic_ = Traffic{inputs, r1::balanced_traffic(inputs.config, inputs.group,
                                                        inputs.node_limit, inputs.seed)};
    }
    return traffic_->traffic;
}

}  // namespace r1
