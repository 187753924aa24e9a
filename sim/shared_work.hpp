// What simulations of several scenarios in one process share: graphs and expert traffic whose
// inputs are equal. Scenarios of a sweep differ in little, so the last graph is kept; traffic is
// small and takes a tenth of a second to draw, so all of it is. For any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

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

    [[nodiscard]] int graphs_built() const;

private:
    struct Graph {
        GraphInputs inputs;
        ExecutionGraph graph;
    };
    struct Traffic {
        TrafficInputs inputs;
        ExpertTraffic traffic;
    };

    mutable std::mutex mutex_;  // not held while something is made
    std::shared_ptr<const Graph> graph_;
    std::vector<Traffic> traffic_;
    int graphs_built_ = 0;
};

}  // namespace r1
