// One scenario, simulated: graph, memory, replay, and everything a report needs of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/memory/memory_plan.hpp"
#include "model/routing/expert_routing.hpp"
#include "model/routing/traffic.hpp"
#include "model/scenario/scenario.hpp"
#include "model/timeline/timeline.hpp"
#include "sim/baseline.hpp"
#include "sim/bubble_parts.hpp"
#include "sim/cost/calibration.hpp"
#include "sim/engine_difference.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/replay_dag.hpp"
#include "sim/sensitivity.hpp"
#include "sim/shared_work.hpp"

namespace r1 {

// Loads a scenario with the presets and files of clusters and calibrations; the second, one that
// stands elsewhere and names files relative to `base`. Throws InputError.
Document load_scenario(const std::filesystem::path& file, const std::vector<Override>& overrides);
Document load_scenario(Document document, const std::filesystem::path& base,
                       const std::vector<Override>& overrides);

// A scenario with its cluster and calibration, all checked.
struct Setting {
    Scenario scenario;
    Topology topology;
    Fabric fabric;
    Calibration calibration;
    std::optional<Hardware> baseline;
    std::vector<std::string> warnings;
};
// Throws InputError with every problem; FeatureError for what this version or build lacks. Notes
// (ignored keys of foreign files) go to `notes`.
Setting read_setting(const Document& document, std::vector<std::string>& notes);

struct WallClock {
    double graph_build_s = 0;
    double lower_s = 0;
    double replay_s = 0;
};

// Whose times kernels have, if not the calibration's (recorded_times.hpp).
struct RecordedKernels {
    std::string timeline;
    bool measured = false;
};

struct Simulation {
    ExecutionGraph graph;
    ExpertTraffic traffic;          // means
    ExpertRouting routing;          // empty: even
    SymbolValues symbols{};         // of even experts
    SymbolValues buffer_symbols{};  // that buffers have room for
    MemoryPlan memory;
    ReplayDag dag;
    std::optional<RecordedKernels> recorded;  // of `dag`
    Timeline timeline;
    EngineCounts counts;
    WallClock wall;
    std::vector<std::string> warnings;                  // that only the replayed step can tell
    std::optional<EngineDifference> engine_difference;  // fluid against simgrid, of engine both
    // Where lanes of a stage stand for ranks with uneven experts: the step with even ones. That of
    // all ranks lies between this and the timeline's.
    std::optional<TimePs> even_step;
    std::vector<Sensitivity> sensitivity;  // replay() leaves these empty
    std::optional<BubbleParts> bubble_parts;
    std::optional<BaselineComparison> baseline;
};

// The graph and what follows from it without replay; `dag` and `timeline` stay empty. `shared`
// saves what simulations of this process have in common; it changes no result.
Simulation prepare(const Setting& setting, SharedWork& shared);
Simulation prepare(const Setting& setting);
// Of a graph that is there already: the scenario's. `binding`: routes as the run did that wrote it,
// instead of as the scenario says; nullptr: none.
Simulation prepare(const Setting& setting, ExecutionGraph graph, const Document* binding = nullptr);
// What replay() replays.
ReplayDag lower(const Setting& setting, const Simulation& simulation);
// Replays what prepare() made.
void replay(const Setting& setting, Simulation& simulation);
// Replays simulation.dag, which lower() made, perhaps with other times.
void replay_lowered(const Setting& setting, Simulation& simulation);
// The same, of a setting whose hardware may be another; on the first engine, if there are two.
Timeline replay_step(const Setting& setting, const Simulation& simulation);

// simgrid or fluid. Throws FeatureError if this build lacks it.
std::unique_ptr<ReplayEngine> make_engine(Engine engine, const EngineNetwork& network);

}  // namespace r1
