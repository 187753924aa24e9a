#include "sim/hardware/topology.hpp"

#include <optional>

#include "model/base/json.hpp"
#include "sim/hardware/fabric.hpp"
#include "tools/cli.hpp"
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

int run_topology(const Invocation& invocation) {
    for (const char* later : {"import", "discover"}) {
        if (invocation.has(later)) {
            throw FeatureError(std::string("topology --") + later +
                               " is not implemented in this version");
        }
    }
    if (!invocation.has("file")) {
        throw UsageError("missing FILE");
    }
    Document document = load_topology(invocation.text("file"));
    for (const Override& override : invocation.overrides()) {
        if (!document.set(override.pointer, override.value, {"--set", 0, 0})) {
            throw InputError("--set " + override.text, "there is no such field to override");
        }
    }
    const Topology topology = checked(document);
    std::optional<Topology> other;
    if (invocation.has("diff")) {
        other = checked(load_topology(invocation.text("diff")));
    }
    const Fabric fabric = generate_fabric(topology);
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
    command.arguments = "FILE";
    command.positional = "file";
    command.examples = {"topology h800_256x8_mpft --svg h800.svg",
                        "topology h100_256x8_mrft --set fabric.oversubscription=2",
                        "topology h800_256x8_mpft --diff h100_256x8_mpft"};
    command.add_options = [](po::options_description& options) {
        options.add_options()                                                                  //
            ("file", po::value<std::string>()->value_name("FILE"), "topology file or preset")  //
            ("import", po::value<std::string>(), "not in this version")                        //
            ("discover", po::value<std::string>()->implicit_value(""), "not in this version")  //
            ("diff", po::value<std::string>()->value_name("FILE2"),
             "in what another topology differs, in words; --set changes FILE alone")(
                "svg", po::value<std::string>()->value_name("FILE"),
                "write a picture: a node, the network, overridden links");
    };
    command.run = run_topology;
    return command;
}

}  // namespace r1
