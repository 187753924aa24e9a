// What simulations of several scenarios in one process share: graphs and expert traffic whose
// inputs are equal. Scenarios of a sweep differ in little, so the last of each is kept.
#pragma once

#include <cstdint>
#include <optional>

#include "model/routing/traffic.hpp"
#include "model/scenario/scenario.hpp"

namespace r1 {

class SharedWork {
public:
    struct TrafficInputs {
        ModelConfig config;
        ExpertGroupShape group;
        std::int64_t node_limit = 0;
        std::uint64_t seed = 0;

        bool operator==(const TrafficInputs&) const = default;
    };

    ExecutionGraph graph(const GraphInputs& inputs);
    ExpertTraffic balanced_traffic(const TrafficInputs& inputs);

    [[nodiscard]] int graphs_built() const { return graphs_built_; }

private:
    struct Graph {
        GraphInputs inputs;
        ExecutionGraph graph;
    };
    struct Traffic {
        TrafficInputs inputs;
        ExpertTraffic traffic;
    };

    std::optional<Graph> graph_;
    std::optional<Traffic> traffic_;
    int graphs_built_ = 0;
};

}  // namespace r1
