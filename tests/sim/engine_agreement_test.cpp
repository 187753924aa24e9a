// Both engines on the same random graphs and networks, of 8 to 512 GPUs, without ties.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/sim/random_load.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Completion;
using test::Dag;

std::vector<double> ends_of(ReplayEngine& engine, const Dag& dag) {
    std::vector<double> ends(dag.activities.size(), -1);
    for (const Completion& completion : replay(engine, dag)) {
        ends.at(completion.id) = static_cast<double>(completion.time);
    }
    return ends;
}

// The largest difference of any completion, as a share of the later of the two.
double difference_of(const Dag& dag) {
    const std::vector<double> simgrid = ends_of(*make_simgrid_engine(dag.network), dag);
    const std::vector<double> fluid = ends_of(*make_fluid_engine(dag.network), dag);
    double most = 0;
    for (std::size_t i = 0; i < simgrid.size(); ++i) {
        CHECK(simgrid[i] >= 0);
        CHECK(fluid[i] >= 0);
        const double end = std::max({simgrid[i], fluid[i], 1.0});
        most = std::max(most, std::abs(simgrid[i] - fluid[i]) / end);
    }
    return most;
}

TEST_CASE("engines: the same times on random graphs and networks", "[sim][engine][slow]") {
    struct Size {
        std::size_t gpus;
        int graphs;
    };
    for (const auto& [gpus, graphs] : {Size{8, 30}, Size{64, 20}, Size{512, 10}}) {
        for (const std::size_t trunks : {std::size_t{0}, std::size_t{3}, gpus / 8}) {
            double most = 0;
            for (int graph = 0; graph < graphs; ++graph) {
                const auto seed =
                    static_cast<std::uint64_t>(1000 * gpus) + static_cast<std::uint64_t>(graph);
                most = std::max(most, difference_of(Dag({seed, std::max<std::size_t>(400, 4 * gpus),
                                                         2 * gpus, gpus, gpus, trunks})));
            }
            INFO(gpus << " GPUs, " << trunks << " trunks");
            CHECK(most < 1e-5);
        }
    }
}

}  // namespace
}  // namespace r1
