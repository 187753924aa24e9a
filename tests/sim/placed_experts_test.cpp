// What balanced experts change in a replay: rows of ranks, exchanges and memory, in every folding.
#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

constexpr const char* kContiguous = R"(routing={"source": "zipf", "skew": 0.5, "node_limit": 2})";
constexpr const char* kBalanced =
    R"(routing={"source": "zipf", "skew": 0.5, "node_limit": 2, "placement": "balanced"})";

// 64 experts on two nodes of eight, four on each rank, large enough to matter beside launches.
Simulation placed_step(const char* routing, std::vector<std::string> overrides = {}) {
    overrides.insert(overrides.end(), {"model.n_routed_experts=64", "model.hidden_size=512",
                                       "model.moe_intermediate_size=1024", routing});
    return test::simulated(test::tiny_h800_setting("1f1b", 1, overrides));
}

// One dispatch and one combine on 16 GPUs, `redundant` replicas beside 32 experts.
Simulation placed_exchange(const std::string& kernel, const std::string& fold,
                           const std::string& placement, int redundant) {
    std::vector<Override> overrides;
    for (const std::string& text : std::vector<std::string>{
             "workload.kernel=" + kernel, "workload.experts=32", "plan.expert_parallel=16",
             "plan.redundant_experts=" + std::to_string(redundant), "replay.engine=fluid",
             "replay.fold=" + fold,
             R"(routing={"source": "zipf", "skew": 0.5, "placement": ")" + placement + "\"}"}) {
        overrides.push_back(parse_override(text));
    }
    std::vector<std::string> notes;
    return test::simulated(read_setting(
        load_scenario(data_root() / "scenarios" / "expert_all_to_all_h800.json", overrides),
        notes));
}

double seconds_of(const Simulation& simulation) {
    return from_ps(simulation.timeline.makespan()).value();
}

std::vector<std::string> long_sequences(const std::string& fold) {
    return {R"(workload={"kind": "train", "sequence_length": 2048, "global_batch_sequences": 64})",
            "replay.fold=" + fold};
}

std::vector<std::string> prefill_with(int redundant) {
    return {
        R"(workload={"kind": "prefill", "sequence_length": 2048, "global_batch_sequences": 16})",
        "plan.redundant_experts=" + std::to_string(redundant)};
}

}  // namespace

TEST_CASE("placed experts: balanced ones make a training step faster in every folding",
          "[sim][placement][folding][slow]") {
    std::vector<double> balanced;
    for (const std::string fold : {"none", "ep_group", "stage"}) {
        INFO(fold);
        const Simulation plain = placed_step(kContiguous, long_sequences(fold));
        const Simulation placed = placed_step(kBalanced, long_sequences(fold));
        CHECK(rank_load_max_over_mean(placed.routing) <
              0.8 * rank_load_max_over_mean(plain.routing));
        CHECK(seconds_of(placed) < 0.98 * seconds_of(plain));
        // Where experts lie is no part of the graph, nor of how they are chosen.
        CHECK(placed.graph.hash() == plain.graph.hash());
        CHECK(load_spread(placed.routing).gini == load_spread(plain.routing).gini);
        balanced.push_back(seconds_of(placed));
    }
    CHECK(balanced[1] == Approx(balanced[0]).epsilon(0.02));
    CHECK(balanced[2] == Approx(balanced[0]).epsilon(0.05));
}

TEST_CASE("placed experts: grouped GEMMs take the rows of their rank", "[sim][placement]") {
    const Simulation plain = placed_step(kContiguous, long_sequences("none"));
    const Simulation placed = placed_step(kBalanced, long_sequences("none"));
    const auto slowest = [](const Simulation& s) {
        const ChunkTemplate& chunk = s.graph.chunk(s.graph.programs().front().items.front().chunk);
        TimePs sum = 0;
        for (std::uint32_t op = 0; op < chunk.ops.size(); ++op) {
            TimePs longest = 0;
            for (std::uint32_t lane = 0; lane < s.timeline.lanes.size(); ++lane) {
                const Interval* interval = s.timeline.find({lane, 0, op});
                if (interval != nullptr && kind_name(chunk.ops[op]).starts_with("grouped_gemm")) {
                    longest = std::max(longest, interval->end - interval->start);
                }
            }
            sum += longest;
        }
        return sum;
    };
    CHECK(slowest(placed) < slowest(plain));
}

TEST_CASE("placed experts: exchanges get faster with replicas in every folding",
          "[sim][placement][folding][slow]") {
    std::vector<double> normal;
    for (const auto& [kernel, fold] : {std::pair{"normal", "none"},
                                       {"normal", "ep_group"},
                                       {"normal", "stage"},
                                       {"low_latency", "ep_group"}}) {
        INFO(kernel << ", " << fold);
        const double plain = seconds_of(placed_exchange(kernel, fold, "contiguous", 0));
        const Simulation replicated = placed_exchange(kernel, fold, "balanced", 16);
        CHECK(seconds_of(replicated) < 0.9 * plain);
        normal.push_back(seconds_of(replicated));
        for (const ExpertLoads& loads : replicated.routing.all()) {
            CHECK(std::accumulate(loads.rows.begin(), loads.rows.end(), 0.0) == Approx(8 * 16));
        }
    }
    CHECK(normal[1] == Approx(normal[0]).epsilon(0.02));
    CHECK(normal[2] == Approx(normal[0]).epsilon(0.05));
}

TEST_CASE("placed experts: replicas take memory and even out a prefill", "[sim][placement]") {
    const Simulation plain = placed_step(kContiguous, prefill_with(0));
    const Simulation packed = placed_step(kBalanced, prefill_with(0));
    const Simulation replicated = placed_step(kBalanced, prefill_with(16));
    CHECK(rank_load_max_over_mean(packed.routing) < rank_load_max_over_mean(plain.routing));
    CHECK(rank_load_max_over_mean(replicated.routing) < rank_load_max_over_mean(packed.routing));
    CHECK(replicated.traffic.nodes_per_token_max <= 2);
    CHECK(seconds_of(packed) < seconds_of(plain));
    // One replica on each rank in each of six layers and the MTP module: three matrices of
    // 512 x 1024 in FP8, with a scale for each block of 128 x 128.
    const auto weights = [](const Simulation& s) { return s.memory.programs.front().weights; };
    CHECK(weights(packed) == weights(plain));
    CHECK((weights(replicated) - weights(packed)).value() == 7.0 * 3 * (512 * 1024 + 4 * 8 * 4));
}

}  // namespace r1
