#include "sim/hardware/topology.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/base/json.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/hardware/import/import.hpp"
#include "sim/hardware/import/nccl_xml.hpp"
#include "tools/cli.hpp"
#include "tools/machine/machine.hpp"
#include "tools/report/topology_diff.hpp"
#include "tools/report/topology_svg.hpp"
#include "tools/report/topology_table.hpp"

namespace r1 {

namespace {

Topology checked(const Document& document) {
    Diagnostics diagnostics;
    Topology topology = read_topology(document, "", diagnostics);
    diagnostics.throw_if_errors();
    return topology;
}

Document document_of(const Invocation& invocation, const ImportedTopology& topology) {
    for (const std::string& note : topology.notes) invocation.detail(note);
    for (const std::string& warning : topology.warnings) invocation.warn(warning);
    return topology_document(topology, invocation.overrides());
}

// This machine: as NCCL saw it, where its dump is at hand, else as driver and kernel show it.
Document discovered(const Invocation& invocation) {
    const char* dump = std::getenv("NCCL_TOPO_DUMP_FILE");
    if (dump != nullptr && std::filesystem::exists(dump)) {
        invocation.detail(fmt::format("read {}, which NCCL_TOPO_DUMP_FILE names", dump));
        return document_of(invocation, import_topology(dump, ForeignFormat::nccl_xml));
    }
    const Machine machine = inspect_machine();
    if (machine.gpus.empty()) {
        throw FeatureError("topology --discover: no GPU here: " + machine.no_gpus);
    }
    return document_of(invocation, import_nccl_xml(nccl_topology_xml(machine), "this machine"));
}

Document imported(const Invocation& invocation) {
    const std::vector<std::string>& names = foreign_format_names();
    const std::string format = invocation.text("import");
    const auto found = std::find(names.begin(), names.end(), format);
    if (found == names.end()) {
        throw UsageError(fmt::format("--import takes {}, not {}{}", fmt::join(names, " or "),
                                     quote(format), did_you_mean(format, names)));
    }
    const ImportedTopology topology =
        import_topology(invocation.text("file"), static_cast<ForeignFormat>(found - names.begin()));
    return document_of(invocation, topology);
}

Document described(const Invocation& invocation) {
    if (invocation.flag("discover")) return discovered(invocation);
    if (invocation.has("import")) return imported(invocation);
    Document document = load_topology(invocation.text("file"));
    for (const Override& override_ : invocation.overrides()) {
        set_topology_field(document, override_);
    }
    return document;
}

int run_topology(const Invocation& invocation) {
    if (invocation.has("file") == invocation.flag("discover")) {
        throw UsageError(invocation.has("file") ? "--discover takes no FILE"
                                                : "missing FILE, or --discover");
    }
    const Document document = described(invocation);
    const Topology topology = checked(document);
    std::optional<Topology> other;
    if (invocation.has("diff")) {
        other = checked(load_topology(invocation.text("diff")));
    }
    const Fabric fabric = generate_fabric(topology);
    if (invocation.has("topology-out")) {
        write_file_atomically(invocation.text("topology-out"), document.root().dump(2) + "\n");
    }
    if (invocation.has("svg")) {
        write_file_atomically(invocation.text("svg"), topology_svg(topology, fabric));
    }
    Json answer = topology_json(topology, fabric);
    std::string text = topology_text(topology, fabric);
    if (other) {
        answer["diff"] = {{"name", other->name}, {"changes", topology_diff_json(topology, *other)}};
        text += topology_diff_text(topology, *other);
    }
    invocation.answer(answer, text);
    return kOk;
}

}  // namespace

Command topology_command() {
    Command command;
    command.name = "topology";
    command.summary = "Checks, counts and draws a cluster.";
    command.arguments = "[FILE]";
    command.positional = "file";
    command.examples = {
        "topology h800_256x8_mpft --svg h800.svg",
        "topology h800_256x8_mpft --diff h100_256x8_mpft",
        "topology node.xml --import nccl-xml --set nodes=256 --set fabric.kind=mpft "
        "--topology-out mine.json"};
    command.outputs = {"topology-out", "svg"};
    command.inputs = {"diff"};
    command.add_options = [](po::options_description& options) {
        options.add_options()                                                                  //
            ("file", po::value<std::string>()->value_name("FILE"), "topology file or preset")  //
            ("import", po::value<std::string>()->value_name("nccl-xml|infragraph"),
             "FILE is of this format; --set gives what it lacks")  //
            ("topology-out", po::value<std::string>()->value_name("FILE"),
             "write the topology, with what --set changed, for simulate --set cluster=FILE")  //
            ("discover", po::bool_switch(),
             "this machine instead of FILE, as the NVIDIA driver and /sys show it, or as the file "
             "does that NCCL_TOPO_DUMP_FILE names")  //
            ("diff", po::value<std::string>()->value_name("FILE2"),
             "in what another topology differs, in words; --set changes FILE alone")(
                "svg", po::value<std::string>()->value_name("FILE"),
                "write a picture: a node, the network, overridden links");
    };
    command.run = run_topology;
    return command;
}

}  // namespace r1
