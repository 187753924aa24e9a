#include "sim/simulate.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/exit_code.hpp"
#include "model/routing/captured_routing.hpp"
#include "model/routing/rank_symbols.hpp"
#include "sim/fluid_engine.hpp"
#include "sim/hardware/presets.hpp"
#include "sim/lowering.hpp"
#include "sim/unused_overrides.hpp"
#include "sim/what_if.hpp"
#ifdef R1_HAVE_SIMGRID
#include "sim/simgrid_engine.hpp"
#endif

namespace r1 {

namespace {

class Stopwatch {
public:
    [[nodiscard]] double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    }

private:
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// Engine both needs both.
void require_engine(Engine engine) {
#ifdef R1_HAVE_SIMGRID
    static_cast<void>(engine);
#else
    if (engine != Engine::fluid) {
        throw FeatureError(
            fmt::format("engine '{}' needs SimGrid, which this build has not (fluid "
                        "works)",
                        name(engine)));
    }
#endif
}

// `pointer`: where the topology stands.
void check_against_hardware(const Document& document, const Scenario& scenario,
                            const std::string& pointer, const Topology& topology,
                            Diagnostics& diagnostics) {
    const bool spans_nodes = scenario.ranks() > topology.gpus_per_node;
    if (spans_nodes && topology.fabric.kind == FabricKind::none) {
        diagnostics.error(document.diagnostic(
            pointer + "/fabric", fmt::format("{} ranks need a network between nodes of {} GPUs",
                                             scenario.ranks(), topology.gpus_per_node)));
    }
    if (scenario.plan.comm_sms > 0 && scenario.plan.comm_sms >= topology.device.sms) {
        diagnostics.error(document.diagnostic(
            "/plan/comm_sms", fmt::format("leaves no SM for computation: the device of {} has {}",
                                          pointer, topology.device.sms)));
    }
}

// What folding leaves out of the given topology.
std::vector<std::string> warnings_of(const Topology& topology, Folding fold) {
    constexpr std::size_t kShownMax = 10;
    std::vector<std::string> warnings;
    for (const LinkOverride& override : topology.overrides) {
        if (warnings.size() == kShownMax) {
            warnings.push_back(
                fmt::format("{} more links are overridden", topology.overrides.size() - kShownMax));
            break;
        }
        // Of trunks, another warning speaks for all.
        if (fold != Folding::none && override.link.find(".spine") == std::string::npos) {
            warnings.push_back(fmt::format(
                "link {} differs: folding '{}' gives {} the slowest link", override.link,
                name(fold),
                fold == Folding::stage ? "its whole stage"
                                       : "its likes in the other expert-parallel groups"));
        }
    }
    return warnings;
}

void warn_of_trunks(const Scenario& scenario, const Fabric& fabric,
                    std::vector<std::string>& warnings) {
    if (scenario.replay.fold != Folding::none &&
        Trunks(fabric, scenario.ranks(), scenario.seed).any()) {
        warnings.push_back(
            fmt::format("uplinks of leaf switches can limit: folding '{}' gives all ranks the "
                        "share of the worst placed, with all that crosses at once",
                        name(scenario.replay.fold)));
    }
}

// Exchanges would have the rate of kernels that have SMs, and take none.
void warn_of_free_exchanges(const Scenario& scenario, const Topology& topology,
                            std::vector<std::string>& warnings) {
    if (scenario.plan.comm_sms == 0 && scenario.plan.expert_parallel > 1 &&
        topology.device.sms > 1) {
        warnings.emplace_back(
            "plan.comm_sms is 0: tokens are exchanged as fast as by kernels with SMs of their own, "
            "and computation has all of them: a limit that no plan reaches");
    }
}

// What SimGrid has no time for (2-core machine: 43,000 flows a second, and fewer the more there
// are).
void warn_of_time(const Scenario& scenario, std::vector<std::string>& warnings) {
    constexpr std::int64_t kLanesMax = 512;
    const std::int64_t lanes =
        scenario.replay.fold == Folding::none
            ? scenario.ranks()
            : scenario.plan.pipeline_parallel * scenario.plan.expert_parallel;
    if (scenario.replay.fold != Folding::stage && scenario.replay.engine != Engine::fluid &&
        lanes > kLanesMax) {
        warnings.push_back(fmt::format("engine '{}' may take hours for {} lanes: --engine fluid",
                                       name(scenario.replay.engine), lanes));
    }
}

ReplayDag lower_step(const Setting& setting, const Simulation& simulation,
                     const ExpertRouting* routing) {
    const FittedCostModel cost(setting.calibration, setting.topology);
    return lower({simulation.graph, setting.topology, setting.fabric, cost, simulation.symbols,
                  simulation.traffic, setting.scenario.plan.comm_sms, setting.scenario.replay,
                  setting.scenario.seed, routing});
}

ScenarioLoaders scenario_loaders() {
    ScenarioLoaders loaders;
    loaders.cluster = load_topology;
    loaders.calibration = load_calibration;
    loaders.inline_cluster = graft_device;
    return loaders;
}

// Of two, SimGrid: its timeline is the one that counts.
Engine first_engine(const Setting& setting) {
    const Engine engine = setting.scenario.replay.engine;
    return engine == Engine::both ? Engine::simgrid : engine;
}

}  // namespace

Document load_scenario(const std::filesystem::path& file, const std::vector<Override>& overrides) {
    return load_scenario(Document::from_file(file), file.parent_path(), overrides);
}

Document load_scenario(Document document, const std::filesystem::path& base,
                       const std::vector<Override>& overrides) {
    return complete_scenario_document(std::move(document), base, overrides, scenario_loaders());
}

Setting read_setting(const Document& document, std::vector<std::string>& notes) {
    Diagnostics diagnostics;
    Setting setting;
    setting.scenario = read_scenario(document, diagnostics);
    const Json* cluster = document.find("/cluster");
    if (cluster != nullptr && cluster->is_object()) {
        setting.topology = read_topology(document, "/cluster", diagnostics);
    }
    if (document.find("/calibration") != nullptr) {
        setting.calibration = read_calibration(document, "/calibration", diagnostics);
    }
    setting.baseline = read_baseline(document, diagnostics);
    if (diagnostics.ok()) {
        check_against_hardware(document, setting.scenario, "/cluster", setting.topology,
                               diagnostics);
    }
    if (diagnostics.ok() && setting.baseline) {
        check_against_hardware(document, setting.scenario, "/baseline/cluster",
                               setting.baseline->topology, diagnostics);
        check_baseline(document, setting.scenario, *setting.baseline, diagnostics);
    }
    diagnostics.throw_if_errors();
    notes = diagnostics.notes();
    require_engine(setting.scenario.replay.engine);
    setting.fabric = generate_fabric(setting.topology);
    setting.warnings = warnings_of(setting.topology, setting.scenario.replay.fold);
    warn_of_trunks(setting.scenario, setting.fabric, setting.warnings);
    warn_of_time(setting.scenario, setting.warnings);
    warn_of_free_exchanges(setting.scenario, setting.topology, setting.warnings);
    return setting;
}

Simulation prepare(const Setting& setting) {
    SharedWork none;
    return prepare(setting, none);
}

namespace {

// What buffers have room for: the fullest rank, or what the plan gives them.
SymbolValues buffer_symbols(const Scenario& scenario, const Simulation& simulation) {
    SymbolValues bound =
        fullest_symbols(simulation.routing, simulation.symbols, simulation.traffic);
    double& rows = bound[static_cast<std::size_t>(Symbol::routed_rows)];
    const auto capacity = static_cast<double>(scenario.plan.routed_capacity);
    if (capacity > 0 && !expert_layers(simulation.graph).empty()) {
        if (std::floor(rows) > capacity) {
            throw InfeasibleError(
                fmt::format("plan.routed_capacity: buffers have room for {} token copies, and the "
                            "fullest rank gets {:.0f} in a layer",
                            scenario.plan.routed_capacity, std::ceil(rows)));
        }
        rows = capacity;
    }
    return bound;
}

Simulation prepare_graph(const Setting& setting, ExecutionGraph graph, const Document* binding,
                         SharedWork& shared) {
    const Scenario& scenario = setting.scenario;
    Simulation simulation;
    simulation.graph = std::move(graph);
    const ExpertGroupShape group = expert_group_shape(simulation.graph, setting.topology);
    if (binding != nullptr || scenario.routing.source == RoutingSource::captured) {
        simulation.routing = captured_routing(
            binding != nullptr ? *binding : Document::from_file(scenario.routing.binding),
            simulation.graph, scenario.model, group);
        simulation.traffic = mean_traffic(simulation.routing);
    } else if (scenario.routing.source == RoutingSource::balanced ||
               expert_layers(simulation.graph).empty()) {
        simulation.traffic = shared.balanced_traffic(
            {scenario.model, group, scenario.routing.node_limit, scenario.seed});
    } else {
        simulation.routing =
            sampled_routing(simulation.graph, scenario.model, group, scenario.routing,
                            scenario.seed, scenario.plan.redundant_experts);
        simulation.traffic = mean_traffic(simulation.routing);
    }
    if (scenario.workload.kind == WorkloadKind::expert_all_to_all &&
        scenario.workload.kernel == ExpertKernels::low_latency) {
        simulation.traffic = copy_per_expert(
            simulation.traffic, static_cast<double>(scenario.model.num_experts_per_tok), group);
    } else if (scenario.replay.without.two_hop) {
        simulation.traffic = single_hop_traffic(simulation.traffic, group);
    }
    simulation.symbols = balanced_binding(scenario.model, simulation.traffic,
                                          scenario.training_setup().sizes.tokens());
    simulation.buffer_symbols = buffer_symbols(scenario, simulation);
    simulation.memory = plan_memory(simulation.graph, simulation.buffer_symbols);
    return simulation;
}

}  // namespace

Simulation prepare(const Setting& setting, SharedWork& shared) {
    const Stopwatch watch;
    ExecutionGraph graph = shared.graph(graph_inputs(setting.scenario));
    const double graph_build_s = watch.seconds();
    Simulation simulation = prepare_graph(setting, std::move(graph), nullptr, shared);
    simulation.wall.graph_build_s = graph_build_s;
    return simulation;
}

Simulation prepare(const Setting& setting, ExecutionGraph graph, const Document* binding) {
    SharedWork none;
    return prepare_graph(setting, std::move(graph), binding, none);
}

ReplayDag lower(const Setting& setting, const Simulation& simulation) {
    return lower_step(setting, simulation, &simulation.routing);
}

void replay(const Setting& setting, Simulation& simulation) {
    const Stopwatch lowering;
    simulation.dag = lower(setting, simulation);
    simulation.wall.lower_s = lowering.seconds();
    replay_lowered(setting, simulation);
    if (setting.scenario.replay.fold == Folding::stage && !simulation.routing.even()) {
        const ReplayDag even = lower_step(setting, simulation, nullptr);
        simulation.even_step =
            replay(even, *make_engine(first_engine(setting), even.network)).makespan();
    }
}

void replay_lowered(const Setting& setting, Simulation& simulation) {
    simulation.warnings = unused_override_warnings(
        setting.scenario, setting.topology, setting.fabric, simulation.graph, simulation.dag);
    const Stopwatch replaying;
    {  // SimGrid holds one replay at a time, and there may be another below
        const std::unique_ptr<ReplayEngine> engine =
            make_engine(first_engine(setting), simulation.dag.network);
        simulation.timeline = replay(simulation.dag, *engine);
        simulation.counts = engine->counts();
    }
    if (setting.scenario.replay.engine == Engine::both) {
        simulation.engine_difference = engine_difference(
            simulation.timeline,
            replay(simulation.dag, *make_engine(Engine::fluid, simulation.dag.network)));
    }
    simulation.wall.replay_s = replaying.seconds();
}

Timeline replay_step(const Setting& setting, const Simulation& simulation) {
    const ReplayDag dag = lower(setting, simulation);
    return replay(dag, *make_engine(first_engine(setting), dag.network));
}

std::unique_ptr<ReplayEngine> make_engine(Engine engine, const EngineNetwork& network) {
    require_engine(engine);
#ifdef R1_HAVE_SIMGRID
    if (engine == Engine::simgrid) {
        return make_simgrid_engine(network);
    }
#endif
    R1_CHECK(engine == Engine::fluid);
    return make_fluid_engine(network);
}

}  // namespace r1
