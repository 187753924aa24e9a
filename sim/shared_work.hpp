// What simulations of several scenarios in one process share: graphs and expert traffic whose
// inputs are equal. Scenarios of a sweep differ in little, so the last graphs are kept, one for
// each thread that simulates; traffic is small and takes a tenth of a second to draw, so all of it
// is. For any number of threads.
#pragma once

#include <algorithm>
#include <cstddef>
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

    explicit SharedWork(int threads = 1)
        : graphs_max_(static_cast<std::size_t>(std::max(1, threads))) {}

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

    // Of the graphs that are kept; nullptr where there is none, and room for it.
    std::shared_ptr<const Graph> known_graph(const GraphInputs& inputs);

    const std::size_t graphs_max_;
    mutable std::mutex mutex_;                          // not held while something is made
    std::vector<std::shared_ptr<const Graph>> graphs_;  // the last used last
    std::vector<Traffic> traffic_;
    int graphs_built_ = 0;
};

}  // namespace r1
