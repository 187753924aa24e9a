// Buffers of routed tokens: as large as the fullest rank needs them, or as the plan says.
#include <algorithm>
#include <string>
#include <vector>

#include "model/base/exit_code.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

constexpr auto kRows = static_cast<std::size_t>(Symbol::routed_rows);

Simulation prepared(const std::vector<std::string>& overrides) {
    return prepare(test::tiny_setting(overrides));
}

double peak(const Simulation& simulation) {
    double most = 0;
    for (const RankMemory& memory : simulation.memory.programs) {
        most = std::max(most, memory.activations_peak.value());
    }
    return most;
}

}  // namespace

TEST_CASE("routed buffers: as large as the fullest rank needs them", "[sim][memory]") {
    const Simulation even = prepared({});
    CHECK(even.buffer_symbols == even.symbols);
    double before = peak(even);
    for (const char* skew : {"0.3", "1", "3"}) {
        const Simulation uneven =
            prepared({R"(routing.source="zipf")", std::string("routing.skew=") + skew});
        double fullest = 0;  // rows for a token of a source, of which each rank has 256
        for (const ExpertLoads& loads : uneven.routing.all()) {
            fullest = std::max(fullest, *std::max_element(loads.rows.begin(), loads.rows.end()));
        }
        CHECK(uneven.buffer_symbols[kRows] == Approx(256 * fullest));
        CHECK(uneven.memory == plan_memory(uneven.graph, uneven.buffer_symbols));
        CHECK(peak(uneven) > before);
        before = peak(uneven);
    }
}

// 256 tokens of each of 2 ranks, 4 experts each: 1024 copies come to a rank if all are even.
TEST_CASE("routed buffers: a plan's capacity is their size, and must do", "[sim][memory]") {
    CHECK(peak(prepared({"plan.routed_capacity=1024"})) == peak(prepared({})));
    const Simulation twice = prepared({"plan.routed_capacity=2048"});
    CHECK(twice.buffer_symbols[kRows] == 2048);
    CHECK(twice.symbols[kRows] == 1024);  // kernels work on what comes
    CHECK(peak(twice) > peak(prepared({})));
    CHECK_THROWS_AS(prepared({"plan.routed_capacity=1023"}), InfeasibleError);
    CHECK_THROWS_AS(
        prepared({"plan.routed_capacity=1024", R"(routing={"source": "zipf", "skew": 1})"}),
        InfeasibleError);
}

TEST_CASE("uneven routing of a model whose layers are all dense changes nothing", "[sim]") {
    const std::vector<std::string> dense = {"model.first_k_dense_replace=7", "replay.engine=fluid",
                                            "model.num_nextn_predict_layers=0"};
    std::vector<std::string> zipf = dense;
    zipf.emplace_back(R"(routing={"source": "zipf", "skew": 1})");
    CHECK(test::simulated(test::tiny_setting(zipf)).timeline.makespan() ==
          test::simulated(test::tiny_setting(dense)).timeline.makespan());
}

}  // namespace r1
