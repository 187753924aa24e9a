#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

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

// A schema as one document: the other files that it refers to stand in its $defs, by their names.
class SchemaBundle {
public:
    explicit SchemaBundle(const std::filesystem::path& file) : file_(file.lexically_normal()) {}

    Json document() {
        Json schema = read(file_);
        for (const auto& [name, definition] : definitions_.items()) {
            schema["$defs"][name] = definition;
        }
        return schema;
    }

private:
    // With all references into the bundle.
    Json read(const std::filesystem::path& file) {
        Json schema = Document::from_file(file).root();
        redirect(schema, file);
        return schema;
    }

    void redirect(Json& value, const std::filesystem::path& file) {
        if (value.is_object() && value.contains("$ref")) {
            const auto reference = value.at("$ref").get<std::string>();
            const std::size_t sharp = std::min(reference.find('#'), reference.size());
            const std::string pointer = reference.substr(std::min(sharp + 1, reference.size()));
            const std::filesystem::path target =
                sharp == 0 ? file : file.parent_path() / reference.substr(0, sharp);
            value["$ref"] = "#" + place_of(target.lexically_normal()) + pointer;
        }
        for (Json& member : value) {
            if (member.is_structured()) {
                redirect(member, file);
            }
        }
    }

    // Of the file's schema in the bundle; "" of the root.
    std::string place_of(const std::filesystem::path& file) {
        const std::string name = file.filename().string();
        if (file != file_ && !definitions_.contains(name)) {
            definitions_[name] = Json();  // taken: schemas may refer to each other
            Json schema = read(file);
            schema.erase("$schema");  // which only a root has
            definitions_[name] = std::move(schema);
        }
        return file == file_ ? "" : "/$defs/" + name;
    }

    std::filesystem::path file_;
    Json definitions_ = Json::object();
};

int run_schema(const Invocation& invocation) {
    const std::string kind = invocation.text("kind");
    for (const PublishedSchema& schema : kSchemas) {
        if (kind == schema.kind) {
            const Json document = SchemaBundle(data_root() / schema.file).document();
            invocation.answer(document, document.dump(2) + "\n");
            return kOk;
        }
    }
    throw UsageError("there is no schema '" + kind + "'" + did_you_mean(kind, schema_kinds()));
}

}  // namespace

Command schema_command() {
    Command command;
    command.name = "schema";
    command.summary = "Prints the JSON Schema of a kind of file, in one piece.";
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
