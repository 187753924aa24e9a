// The bound of a step's time: never above what a simulation says, and close to it where nothing
// contends; the memory of a step with few micro-batches is that of the whole.
#include <optional>
#include <string>
#include <vector>

#include "model/base/rng.hpp"
#include "sim/search/step_bound.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

// A plan of the tiny model on 64 H800, drawn from `index`; nothing if it is none.
std::optional<Setting> random_setting(std::uint64_t index) {
    const Rng rng(20260, index);
    std::uint64_t draws = 0;
    const auto pick = [&](const std::vector<std::string>& values) {
        return values[rng.bits(draws++) % values.size()];
    };
    const std::string schedule = pick({"dualpipe", "dualpipev", "1f1b", "zb1p", "interleaved"});
    const std::vector<std::string> overrides = {
        "plan.data_parallel=" + pick({"8", "16"}),
        "plan.expert_parallel=" + pick({"1", "4", "8", "16"}),
        "plan.comm_sms=" + pick({"0", "20", "64"}),
        "plan.recompute=" + pick({"[]", R"(["rms_norm","swiglu"])"}),
        "plan.zero_stage=" + pick({"0", "1"}),
        "workload.sequence_length=" + pick({"64", "256", "1024"}),
        "workload.micro_batch_sequences=" + pick({"1", "2"}),
        "workload.global_batch_sequences=" + pick({"96", "192", "768"}),
        "replay.stragglers.per_chunk=" + pick({"0", "0", "0.05"}),
        "routing.source=" + pick({"balanced", "balanced", "zipf"}),
        "cluster.nic.bandwidth_gb_per_s=" + pick({"5", "50"})};
    try {
        return test::tiny_h800_setting(schedule, std::stoi(pick({"1", "2", "3", "4"})), overrides);
    } catch (const InputError&) {
        return std::nullopt;
    }
}

std::vector<Bytes> totals(const MemoryPlan& memory) {
    std::vector<Bytes> result;
    for (const RankMemory& rank : memory.programs) {
        result.push_back(rank.total());
    }
    return result;
}

TEST_CASE("step bound: no simulation of a random plan is faster", "[sim][search][slow]") {
    int compared = 0;
    for (std::uint64_t index = 0; compared < 60; ++index) {
        const std::optional<Setting> setting = random_setting(index);
        if (!setting) {
            continue;
        }
        ++compared;
        INFO("plan " << index << ": " << setting->scenario.document.root().at("plan").dump());
        SharedWork shared;
        const StepBound bound = bound_step(*setting, shared);
        const Simulation simulation = test::simulated(*setting);
        const double step = from_ps(simulation.timeline.makespan()).value();
        CHECK(bound.time.value() <= step);
        CHECK(bound.time.value() > 0.3 * step);
        CHECK(totals(bound.memory) == totals(simulation.memory));
    }
}

}  // namespace
}  // namespace r1
