// The published training trace against its simulation: one overlapped pair of chunks of four MoE
// layers on 64 H800. The expected figures are the trace's own (profile_data_training.json and its
// events), read by hand; see docs/validation.md.
#include <array>
#include <set>
#include <string>

#include "model/timeline/layer_times.hpp"
#include "sim/hardware/presets.hpp"
#include "sim/simulate.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

Setting setting_of(const char* scenario, const std::vector<std::string>& overrides = {}) {
    std::vector<Override> parsed;
    for (const std::string& text : overrides) {
        parsed.push_back(parse_override(text));
    }
    std::vector<std::string> notes;
    return read_setting(load_scenario(data_root() / "scenarios" / scenario, parsed), notes);
}

std::vector<LayerTimes> layers_of(const std::vector<std::string>& overrides = {}) {
    const Setting setting = setting_of("trace_pair_h800_ep64.json", overrides);
    Simulation simulation = prepare(setting);
    replay(setting, simulation);
    return layer_times(simulation.graph, simulation.timeline);
}

// Layers 0 and 1.
constexpr std::array<LayerTimes, 2> kTrace = {
    {{31.816e-3, 30.972e-3, 20.601e-3, 0.312e-3}, {31.307e-3, 30.855e-3, 20.796e-3, 0.167e-3}}};

void check_near(const LayerTimes& simulated, const LayerTimes& trace) {
    CHECK(simulated.period_s == Approx(trace.period_s).epsilon(0.05));
    CHECK(simulated.compute_busy_s == Approx(trace.compute_busy_s).epsilon(0.05));
    CHECK(simulated.comm_busy_s == Approx(trace.comm_busy_s).epsilon(0.05));
    CHECK(std::abs(simulated.comm_exposed_s - trace.comm_exposed_s) <= 0.3e-3);
}

}  // namespace

TEST_CASE("trace pair: periods and busy times are those of the published trace", "[sim][trace]") {
    const std::vector<LayerTimes> layers = layers_of();
    REQUIRE(layers.size() == 4);
    for (std::size_t i = 0; i < kTrace.size(); ++i) {
        INFO("layer " << i);
        check_near(layers[i], kTrace[i]);
    }
}

TEST_CASE("trace pair: fitted without layer 1 it predicts layer 1", "[sim][trace][slow]") {
    const std::vector<LayerTimes> layers = layers_of({R"(calibration.leave_out=["layer 1 "])"});
    check_near(layers.at(1), kTrace[1]);
    CHECK(layers.at(1).period_s != layers_of().at(1).period_s);  // something was left out
}

TEST_CASE("trace pair: its chunk is a template of the step on 2048 GPUs", "[sim][trace]") {
    const ExecutionGraph pair = build_graph(setting_of("trace_pair_h800_ep64.json").scenario);
    const ExecutionGraph step = build_graph(setting_of("train_v3_2048_h800.json").scenario);
    std::set<std::string> hashes;
    for (const ChunkTemplate& chunk : step.templates()) {
        hashes.insert(hash_of(chunk).hex());
    }
    REQUIRE(pair.templates().size() == 1);
    CHECK(hashes.count(hash_of(pair.templates().front()).hex()) == 1);
    CHECK(pair.instances().ranks() == 64);
}

TEST_CASE("trace pair: no pipeline message, and the span of the pair is the step", "[sim][trace]") {
    const Setting setting = setting_of("trace_pair_h800_ep64.json");
    Simulation simulation = prepare(setting);
    replay(setting, simulation);
    for (const RankProgram& program : simulation.graph.programs()) {
        for (const Item& item : program.items) {
            CHECK(item.kind == ItemKind::overlapped);
        }
    }
    double sum = 0;
    for (const LayerTimes& layer : layer_times(simulation.graph, simulation.timeline)) {
        sum += layer.period_s;
    }
    // All but the gap before the first kernel.
    CHECK(sum == Approx(from_ps(simulation.timeline.makespan()).value()).epsilon(1e-3));
}

}  // namespace r1
