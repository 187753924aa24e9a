// What bubbles come from.
#include "sim/bubble_parts.hpp"

#include "model/timeline/breakdown.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

double bubble_s(const Simulation& simulation) {
    return pipeline_times(simulation.graph, simulation.timeline).mean.bubble_s;
}

}  // namespace

TEST_CASE("bubble parts: add up to the bubble", "[sim][bubbles]") {
    for (const char* schedule : {"dualpipe", "1f1b", "zb1p", "interleaved"}) {
        INFO(schedule);
        const Setting setting = test::tiny_h800_setting(schedule, 4);
        const Simulation simulation = test::simulated(setting);
        const BubbleParts parts = bubble_parts(setting, simulation);
        CHECK(parts.dependency_s + parts.network_s + parts.sm_contention_s ==
              Approx(bubble_s(simulation)));
        CHECK(parts.dependency_s > 0);
        CHECK(parts.network_s != 0);
    }
}

TEST_CASE("bubble parts: without overlapped chunks nothing contends for SMs", "[sim][bubbles]") {
    for (const char* schedule : {"1f1b", "zb1p"}) {
        const Setting setting = test::tiny_h800_setting(schedule, 4);
        CHECK(bubble_parts(setting, test::simulated(setting)).sm_contention_s == 0);
    }
}

TEST_CASE("bubble parts: without transfers all of a bubble is dependency", "[sim][bubbles]") {
    const Setting setting = test::tiny_h800_setting("1f1b", 4, {R"(replay.without=["network"])"});
    const Simulation simulation = test::simulated(setting);
    const BubbleParts parts = bubble_parts(setting, simulation);
    CHECK(parts.network_s == 0);
    CHECK(parts.dependency_s == bubble_s(simulation));
}

}  // namespace r1
