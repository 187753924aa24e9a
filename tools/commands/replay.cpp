#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "model/base/json.hpp"
#include "model/chakra/job.hpp"
#include "model/graph/graph_json.hpp"
#include "model/timeline/measured.hpp"
#include "model/timeline/timeline_reader.hpp"
#include "runtime/process_memory.hpp"
#include "sim/chakra/replay.hpp"
#include "sim/recorded_times.hpp"
#include "sim/simulate.hpp"
#include "tools/cli.hpp"
#include "tools/report/replay_report.hpp"
#include "tools/report/report.hpp"
#include "tools/report/report_html.hpp"

namespace r1 {

namespace {

Document cluster_document(const Invocation& invocation) {
    Document document = load_topology(invocation.text("cluster"));
    for (const Override& override_ : invocation.overrides()) {
        set_topology_field(document, override_);
    }
    return document;
}

Topology topology_of(const Document& document) {
    Diagnostics diagnostics;
    Topology topology = read_topology(document, "", diagnostics);
    diagnostics.throw_if_errors();
    return topology;
}

int replay_traces(const Invocation& invocation) {
    const Engine engine_kind =
        invocation.text("engine") == "fluid" ? Engine::fluid : Engine::simgrid;
    const Topology topology = topology_of(cluster_document(invocation));
    invocation.progress("reading the traces …");
    const ChakraJob job = read_chakra_job(invocation.text("chakra"));
    for (const std::string& warning : chakra_warnings(job, topology)) {
        invocation.warn(warning);
    }
    const Fabric fabric = generate_fabric(topology);
    const auto seed = invocation.has("seed")
                          ? static_cast<std::uint64_t>(invocation.get<std::int64_t>("seed"))
                          : std::uint64_t{0};
    const ReplayDag dag = lower_chakra(job, topology, fabric, seed);
    invocation.progress(fmt::format("replaying {} nodes …", job.nodes()));
    const std::unique_ptr<ReplayEngine> engine = make_engine(engine_kind, dag.network);
    const Timeline timeline = replay(dag, *engine);
    invocation.progress("");
    const Json report = replay_json(
        {invocation.text("chakra"), std::string(name(engine_kind)), R1_VERSION, engine->counts()},
        job, topology, dag, timeline);
    invocation.answer(report, replay_table(report));
    return kOk;
}

// ---- a graph

// The first step of the timeline that ran this graph.
CapturedStep captured_step(const std::string& file, const GraphHash& hash) {
    const TimelineFile timeline = read_timeline(std::filesystem::path(file));
    const auto graph = std::find_if(timeline.graphs.begin(), timeline.graphs.end(),
                                    [&](const auto& each) { return each.hash == hash.hex(); });
    if (graph == timeline.graphs.end()) {
        throw InputError(file, "/graphs: none is the graph of --graph, " + hash.hex());
    }
    const std::vector<Interval>& intervals = graph->timeline.intervals;
    const auto first = std::min_element(
        intervals.begin(), intervals.end(),
        [](const Interval& a, const Interval& b) { return a.iteration < b.iteration; });
    const std::int32_t iteration = first == intervals.end() ? 0 : first->iteration;
    return {one_iteration(graph->timeline, iteration), timeline.measured, file};
}

// What curves the kernels of the cluster's device have: the scenario's own, if they are of it.
std::optional<std::string> calibration_for(const Invocation& invocation, const Document& scenario,
                                           const Topology& topology) {
    if (invocation.has("calibration")) {
        return invocation.text("calibration");
    }
    const Json* device = scenario.find("/calibration/device");
    if (device == nullptr || *device == topology.device.name) {
        return std::nullopt;
    }
    return topology.device.name + "_published";
}

// The scenario whose graph it is, on the cluster. Of a measured timeline each rank has a lane.
Setting captured_setting(const Invocation& invocation, const GraphFile& captured, bool measured) {
    const std::string file = invocation.text("graph");
    if (!captured.scenario) {
        throw InputError(file, "/scenario: missing; simulate and run write it beside their graphs");
    }
    std::vector<std::string> notes;
    const Setting own = read_setting(load_scenario(*captured.scenario, {}, {}), notes);
    if (build_graph(own.scenario).hash() != captured.graph.hash()) {
        throw InputError(file, "/scenario: is not the one that this graph was made of");
    }
    const Document cluster = cluster_document(invocation);
    const auto calibration = calibration_for(invocation, *captured.scenario, topology_of(cluster));
    std::vector<Override> overrides = {
        {"/cluster", cluster.root(), "--cluster", {invocation.text("cluster"), 0, 0}}};
    const auto set = [&](const char* pointer, Json value, const char* option) {
        overrides.push_back({pointer, std::move(value), option, {option, 0, 0}});
    };
    if (captured.scenario->find("/baseline") != nullptr) {
        set("/baseline", Json(), "--cluster");  // what it would have been compared with
    }
    if (calibration) {
        set("/calibration", *calibration, "--calibration");
    }
    if (invocation.has("engine")) {
        set("/replay/engine", invocation.text("engine"), "--engine");
    }
    if (invocation.has("seed")) {
        set("/seed", invocation.get<std::int64_t>("seed"), "--seed");
    }
    if (measured) {
        set("/replay/fold", "none", "--timeline");
    }
    return read_setting(load_scenario(*captured.scenario, {}, overrides), notes);
}

int replay_graph(const Invocation& invocation) {
    invocation.progress("reading the graph …");
    GraphFile captured = read_graph(invocation.text("graph"));
    std::optional<CapturedStep> recorded;
    if (invocation.has("timeline")) {
        recorded = captured_step(invocation.text("timeline"), captured.graph.hash());
    }
    const Setting setting = captured_setting(invocation, captured, recorded && recorded->measured);
    for (const std::string& warning : setting.warnings) {
        invocation.warn(warning);
    }
    std::optional<Document> binding;
    if (invocation.has("binding")) {
        binding = Document::from_file(invocation.text("binding"));
    }
    Simulation simulation =
        prepare(setting, std::move(captured.graph), binding ? &*binding : nullptr);
    invocation.progress(fmt::format("replaying {} ops …", simulation.graph.ops()));
    if (recorded) {
        simulation.dag = lower(setting, simulation);
        take_recorded_times(simulation.dag, simulation.graph, *recorded);
        simulation.recorded = {recorded->file, recorded->measured};
        replay_lowered(setting, simulation);
    } else {
        replay(setting, simulation);
    }
    for (const std::string& warning : simulation.warnings) {
        invocation.warn(warning);
    }
    simulation.sensitivity = step_sensitivity(setting, simulation, false);
    invocation.progress("");
    const Json report = make_report(setting, simulation, R1_VERSION, peak_memory_bytes());
    if (invocation.has("html")) {
        write_file_atomically(invocation.text("html"), report_html({report}));
    }
    invocation.answer(report, report_table(report, invocation.color()));
    return kOk;
}

void check_usage(const Invocation& invocation) {
    const bool of_graph = invocation.has("graph");
    if (of_graph == invocation.has("chakra") || !invocation.has("cluster")) {
        throw UsageError("replay needs --cluster and one of --graph and --chakra");
    }
    for (const char* option : {"timeline", "binding", "calibration", "html"}) {
        if (invocation.has(option) && !of_graph) {
            throw UsageError(fmt::format("--{} goes with --graph", option));
        }
    }
    const std::string engine = invocation.text("engine");
    const bool is_both = engine == "both" && of_graph;
    if (invocation.has("engine") && engine != "simgrid" && engine != "fluid" && !is_both) {
        throw UsageError(fmt::format("--engine takes simgrid or fluid{}, not {}",
                                     of_graph ? " or both" : "", quote(engine)));
    }
}

int run_replay(const Invocation& invocation) {
    check_usage(invocation);
    return invocation.has("graph") ? replay_graph(invocation) : replay_traces(invocation);
}

}  // namespace

Command replay_command() {
    Command command;
    command.name = "replay";
    command.summary =
        "Replays a captured step, or Chakra execution traces of any producer, on a cluster.";
    command.arguments = "--graph FILE|--chakra FOLDER --cluster TOPOLOGY";
    command.examples = {
        "replay --graph graph.json --cluster h100_256x8_mrft --json -o report.json",
        "replay --graph graph.json --timeline measured.json --cluster h800_8x8",
        "replay --chakra traces --cluster h800_8x8 --set nvlink.bandwidth_gb_per_s=450"};
    command.outputs = {"html"};
    command.inputs = {"graph", "timeline", "binding", "calibration", "chakra", "cluster"};
    command.add_options = [](po::options_description& options) {
        options.add_options()  //
            ("graph", po::value<std::string>()->value_name("FILE"),
             "what simulate --graph or run --graph wrote")  //
            ("timeline", po::value<std::string>()->value_name("FILE"),
             "with --graph: kernels take what they took there (run or simulate --timeline); "
             "communication follows from the cluster")  //
            ("binding", po::value<std::string>()->value_name("FILE"),
             "with --graph: route as the run did that wrote FILE (run --binding)")  //
            ("calibration", po::value<std::string>()->value_name("FILE"),
             "with --graph: curves of kernels; the scenario's if not given, or the published ones "
             "of another device")  //
            ("chakra", po::value<std::string>()->value_name("FOLDER"),
             "traces, one a rank: FOLDER/NAME.RANK.et, or one file")  //
            ("cluster", po::value<std::string>()->value_name("TOPOLOGY"),
             "topology file or preset; --set changes its fields")  //
            ("engine", po::value<std::string>()->value_name("simgrid|fluid|both"),
             "replay engine; simgrid, or as the graph's scenario says, if not given")  //
            ("html", po::value<std::string>()->value_name("FILE"),
             "with --graph: write the report as a page that browsers show");
    };
    command.run = run_replay;
    return command;
}

}  // namespace r1
