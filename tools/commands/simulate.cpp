#include <sstream>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "model/graph/graph_json.hpp"
#include "model/timeline/timeline_json.hpp"
#include "runtime/process_memory.hpp"
#include "sim/simulate.hpp"
#include "tools/chakra_files.hpp"
#include "tools/cli.hpp"
#include "tools/report/report.hpp"
#include "tools/report/report_html.hpp"
#include "tools/report/trace.hpp"

namespace r1 {

namespace {

// --binding is short for --set too.
std::vector<Override> all_overrides(const Invocation& invocation) {
    std::vector<Override> overrides = invocation.scenario_overrides();
    if (invocation.has("binding")) {
        overrides.push_back({"/routing/source", Json("captured"), "--binding"});
        overrides.push_back({"/routing/binding", Json(invocation.text("binding")), "--binding"});
    }
    return overrides;
}

void write_trace_file(const Invocation& invocation, const Simulation& simulation) {
    std::ostringstream text;
    write_trace(
        text, simulation.graph, simulation.timeline,
        invocation.text("trace-detail") == "ops" ? TraceDetail::ops : TraceDetail::segments);
    write_file_atomically(invocation.text("trace"), text.str());
}

int run_simulate(const Invocation& invocation) {
    const std::string detail = invocation.text("trace-detail");
    if (detail != "segments" && detail != "ops") {
        throw UsageError("--trace-detail takes segments or ops, not '" + detail + "'");
    }
    const bool replays = !invocation.flag("dry-run");
    const auto need_replay = [&](const char* option, bool given) {
        if (given && !replays) {
            throw UsageError(fmt::format("--{} needs a replay, --dry-run makes none", option));
        }
    };
    need_replay("trace", invocation.has("trace"));
    need_replay("timeline", invocation.has("timeline"));
    need_replay("chakra", invocation.has("chakra"));
    need_replay("check-sensitivity", invocation.flag("check-sensitivity"));
    need_replay("bubble-parts", invocation.flag("bubble-parts"));
    std::vector<std::string> notes;
    const Setting setting =
        read_setting(load_scenario(invocation.text("scenario"), all_overrides(invocation)), notes);
    for (const std::string& note : notes) {
        invocation.detail(note);
    }
    for (const std::string& warning : setting.warnings) {
        invocation.warn(warning);
    }
    invocation.progress("building the execution graph …");
    Simulation simulation = prepare(setting);
    if (replays) {
        invocation.progress(fmt::format("replaying {} ops …", simulation.graph.ops()));
        replay(setting, simulation);
        for (const std::string& warning : simulation.warnings) {
            invocation.warn(warning);
        }
        const bool check = invocation.flag("check-sensitivity");
        if (check) {
            invocation.progress("replaying with faster and slower resources …");
        }
        simulation.sensitivity = step_sensitivity(setting, simulation, check);
        if (invocation.flag("bubble-parts")) {
            invocation.progress("replaying without transfers and with all SMs …");
            simulation.bubble_parts = bubble_parts(setting, simulation);
        }
        if (setting.baseline) {
            invocation.progress("replaying on the baseline …");
            simulation.baseline = compare_with_baseline(setting, simulation);
        }
    }
    invocation.progress("");
    if (invocation.has("graph")) {
        write_graph(invocation.text("graph"), simulation.graph, &setting.scenario.document.root());
    }
    if (invocation.has("trace")) {
        write_trace_file(invocation, simulation);
    }
    if (invocation.has("timeline")) {
        const Timeline& timeline = simulation.timeline;
        write_file_atomically(
            invocation.text("timeline"),
            timeline_text({{simulation.graph, timeline.intervals}}, timeline.lanes, false));
    }
    if (invocation.has("chakra")) {
        write_chakra_files(invocation, setting, simulation);
    }
    const Json report = make_report(setting, simulation, R1_VERSION, peak_memory_bytes());
    if (invocation.has("html")) {
        write_file_atomically(invocation.text("html"), report_html({report}));
    }
    invocation.answer(report, report_table(report, invocation.color()));
    return kOk;
}

}  // namespace

Command simulate_command() {
    Command command;
    command.name = "simulate";
    command.summary = "Builds the execution graph of a scenario and replays it on its cluster.";
    command.arguments = "SCENARIO";
    command.positional = "scenario";
    command.examples = {
        "simulate scenarios/train_v3_2048_h800.json",
        "simulate scenarios/train_v3_2048_h800.json --json -o report.json --trace trace.json",
        "simulate scenarios/train_v3_2048_h800.json --set cluster.nvlink.bandwidth_gb_per_s=450"};
    command.outputs = {"html", "trace", "timeline", "graph"};
    command.inputs = {"binding"};
    command.add_options = [](po::options_description& options) {
        options.add_options()                                                                //
            ("scenario", po::value<std::string>()->value_name("SCENARIO"), "scenario file")  //
            ("engine", po::value<std::string>()->value_name("simgrid|fluid|both"),
             "replay engine; the scenario says if not given")  //
            ("binding", po::value<std::string>()->value_name("FILE"),
             "route as the run did that wrote FILE (run --binding)")  //
            ("trace", po::value<std::string>()->value_name("FILE"),
             "write a Chrome trace; Perfetto opens it")  //
            ("trace-detail",
             po::value<std::string>()->default_value("segments")->value_name("segments|ops"),
             "what the trace shows")  //
            ("timeline", po::value<std::string>()->value_name("FILE"),
             "write when each op ran (JSON)")  //
            ("graph", po::value<std::string>()->value_name("FILE"),
             "write the execution graph (compressed if FILE ends in .zst)")  //
            ("chakra", po::value<std::string>()->value_name("FOLDER"),
             "write Chakra execution traces, one a rank (FOLDER/SCENARIO.RANK.et)")  //
            ("check-sensitivity", po::bool_switch(),
             "replay with each resource 10 % faster and slower, beside the predictions")  //
            ("bubble-parts", po::bool_switch(),
             "say what bubbles come from: dependencies, transfers, contention for SMs")  //
            ("html", po::value<std::string>()->value_name("FILE"),
             "write the report as a page that browsers show (one file, no network)")  //
            ("dry-run", po::bool_switch(), "check everything and build the graph, replay nothing");
    };
    command.run = run_simulate;
    return command;
}

}  // namespace r1
