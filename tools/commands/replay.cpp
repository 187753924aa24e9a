#include <algorithm>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "model/base/json.hpp"
#include "model/chakra/job.hpp"
#include "sim/chakra/replay.hpp"
#include "sim/simulate.hpp"
#include "tools/cli.hpp"
#include "tools/report/replay_report.hpp"

namespace r1 {

namespace {

Topology replay_cluster(const Invocation& invocation) {
    Document document = load_topology(invocation.text("cluster"));
    for (const Override& override_ : invocation.overrides()) {
        set_topology_field(document, override_);
    }
    Diagnostics diagnostics;
    Topology topology = read_topology(document, "", diagnostics);
    diagnostics.throw_if_errors();
    return topology;
}

Engine replay_engine(const Invocation& invocation) {
    const std::string engine = invocation.text("engine");
    if (engine != "simgrid" && engine != "fluid") {
        throw UsageError("--engine takes simgrid or fluid, not " + quote(engine));
    }
    return engine == "fluid" ? Engine::fluid : Engine::simgrid;
}

int run_replay(const Invocation& invocation) {
    if (!invocation.has("chakra") || !invocation.has("cluster")) {
        throw UsageError("replay needs --chakra and --cluster");
    }
    const Engine engine_kind = replay_engine(invocation);
    const Topology topology = replay_cluster(invocation);
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
        {invocation.text("chakra"), invocation.text("engine"), R1_VERSION, engine->counts()}, job,
        topology, dag, timeline);
    invocation.answer(report, replay_table(report));
    return kOk;
}

}  // namespace

Command replay_command() {
    Command command;
    command.name = "replay";
    command.summary = "Replays Chakra execution traces, of any producer, on a cluster.";
    command.arguments = "--chakra FOLDER --cluster TOPOLOGY";
    command.examples = {"replay --chakra traces --cluster h800_8x8",
                        "replay --chakra traces --cluster h800_8x8 --json -o replay.json",
                        "replay --chakra traces --cluster h800_8x8 "
                        "--set nvlink.bandwidth_gb_per_s=450"};
    command.add_options = [](po::options_description& options) {
        options.add_options()  //
            ("chakra", po::value<std::string>()->value_name("FOLDER"),
             "traces, one a rank: FOLDER/NAME.RANK.et, or one file")  //
            ("cluster", po::value<std::string>()->value_name("TOPOLOGY"),
             "topology file or preset; --set changes its fields")  //
            ("engine",
             po::value<std::string>()->default_value("simgrid")->value_name("simgrid|fluid"),
             "replay engine");
    };
    command.run = run_replay;
    return command;
}

}  // namespace r1
