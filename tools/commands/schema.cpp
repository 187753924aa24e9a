#include <fmt/format.h>

#include "model/base/json.hpp"
#include "sim/hardware/presets.hpp"
#include "tools/cli.hpp"

namespace r1 {

namespace {

// Published schemas lie beside the data that they describe.
struct PublishedSchema {
    const char* kind;
    const char* file;
};
constexpr PublishedSchema kSchemas[] = {
    {"binding", "scenarios/binding.schema.json"},
    {"calibration", "topologies/calibration/calibration.schema.json"},
    {"calibration_report", "topologies/calibration/calibration_report.schema.json"},
    {"comparison", "scenarios/comparison.schema.json"},
    {"device", "topologies/devices/device.schema.json"},
    {"eval", "scenarios/eval.schema.json"},
    {"generate", "scenarios/generate.schema.json"},
    {"graph", "scenarios/graph.schema.json"},
    {"model", "scenarios/model.schema.json"},
    {"plan", "scenarios/plan.schema.json"},
    {"plan_answer", "scenarios/plan_answer.schema.json"},
    {"prices", "topologies/prices/prices.schema.json"},
    {"replay", "scenarios/replay.schema.json"},
    {"report", "scenarios/report.schema.json"},
    {"scenario", "scenarios/scenario.schema.json"},
    {"sweep", "scenarios/sweep.schema.json"},
    {"sweep_line", "scenarios/sweep_line.schema.json"},
    {"sweep_result", "scenarios/sweep_result.schema.json"},
    {"timeline", "scenarios/timeline.schema.json"},
    {"topology", "topologies/topology.schema.json"},
    {"trainer_state", "scenarios/trainer_state.schema.json"},
    {"validation", "scenarios/validation.schema.json"},
    {"validation_cases", "scenarios/validation_cases.schema.json"}};

std::vector<std::string> schema_kinds() {
    std::vector<std::string> kinds;
    for (const PublishedSchema& schema : kSchemas) {
        kinds.emplace_back(schema.kind);
    }
    return kinds;
}

int run_schema(const Invocation& invocation) {
    const std::string kind = invocation.text("kind");
    for (const PublishedSchema& schema : kSchemas) {
        if (kind == schema.kind) {
            const Document document = Document::from_file(data_root() / schema.file);
            invocation.answer(document.root(), document.root().dump(2) + "\n");
            return kOk;
        }
    }
    throw UsageError("there is no schema '" + kind + "'" + did_you_mean(kind, schema_kinds()));
}

}  // namespace

Command schema_command() {
    Command command;
    command.name = "schema";
    command.summary = "Prints the JSON Schema of a kind of file.";
    command.arguments = "KIND";
    command.positional = "kind";
    command.choices = schema_kinds();
    command.examples = {"schema scenario", "schema topology -o topology.schema.json",
                        "schema report --json"};
    command.add_options = [](po::options_description& options) {
        options.add_options()("kind", po::value<std::string>()->value_name("KIND"),
                              fmt::format("{}", fmt::join(schema_kinds(), ", ")).c_str());
    };
    command.run = run_schema;
    return command;
}

}  // namespace r1
