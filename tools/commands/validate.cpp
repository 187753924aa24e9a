#include <algorithm>
#include <filesystem>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/timeline/alignment.hpp"
#include "model/timeline/validation.hpp"
#include "sim/simulate.hpp"
#include "tools/cli.hpp"
#include "tools/model_options.hpp"
#include "tools/report/validation_report.hpp"
#include "tools/report/validation_trace.hpp"
#include "tools/scenario_run.hpp"
#include "tools/threshold_option.hpp"

namespace r1 {

namespace {

namespace fs = std::filesystem;

// Two timelines, or a scenario that makes those that are missing.
struct Inputs {
    std::string name;
    std::string scenario;
    std::string binding;
    std::string measured;
    std::string simulated;
};

// The files of a case folder; nullopt if it is none.
std::optional<Inputs> case_of(const fs::path& folder) {
    const auto file = [&](const char* name) {
        std::error_code ignored;
        return fs::is_regular_file(folder / name, ignored) ? (folder / name).string() : "";
    };
    Inputs inputs{folder.filename().string(), file("scenario.json"), file("binding.json"),
                  file("measured.json"), file("simulated.json")};
    const bool has_both = !inputs.measured.empty() && !inputs.simulated.empty();
    return has_both || !inputs.scenario.empty() ? std::optional(inputs) : std::nullopt;
}

std::vector<Inputs> cases_in(const fs::path& folder) {
    std::vector<fs::path> folders;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
        if (entry.is_directory()) {
            folders.push_back(entry.path());
        }
    }
    std::sort(folders.begin(), folders.end());
    std::vector<Inputs> cases;
    for (const fs::path& path : folders) {
        if (const auto inputs = case_of(path)) {
            cases.push_back(*inputs);
        }
    }
    if (cases.empty()) {
        throw InputError(folder.string(),
                         "holds no validation case: a folder with scenario.json, or with "
                         "measured.json and simulated.json");
    }
    return cases;
}

// Arguments of `r1sim run` for what `invocation` says of the run.
std::vector<std::string> run_arguments(const Invocation& invocation, const std::string& scenario) {
    std::vector<std::string> arguments{scenario};
    for (const char* option : {"device", "compute", "fp8"}) {
        arguments.insert(arguments.end(), {fmt::format("--{}", option), invocation.text(option)});
    }
    const std::vector<std::string> shared = invocation.scenario_arguments();
    arguments.insert(arguments.end(), shared.begin(), shared.end());
    if (invocation.has("jobs")) {
        arguments.insert(arguments.end(),
                         {"--jobs", fmt::format("{}", invocation.get<int>("jobs"))});
    }
    if (invocation.flag("quiet")) {
        arguments.emplace_back("--quiet");
    }
    return arguments;
}

TimelineFile simulate_scenario(const Invocation& invocation, const Inputs& inputs) {
    std::vector<Override> overrides = invocation.scenario_overrides();
    // Every rank has a lane of its own.
    overrides.push_back({"/replay/fold", Json("none"), "validate"});
    for (Override& override : routed_as(inputs.binding)) {
        overrides.push_back(std::move(override));
    }
    std::vector<std::string> notes;
    const Setting setting = read_setting(load_scenario(inputs.scenario, overrides), notes);
    for (const std::string& warning : setting.warnings) {
        invocation.warn(warning);
    }
    Simulation simulation = prepare(setting);
    invocation.progress(fmt::format("replaying {} ops …", simulation.graph.ops()));
    replay(setting, simulation);
    invocation.progress("");
    return {false, {record(simulation.graph, std::move(simulation.timeline))}};
}

void warn_of_order(const Invocation& invocation, const NamedTimeline& measured,
                   const NamedTimeline& simulated) {
    if (!measured.file.measured && simulated.file.measured) {
        invocation.warn(fmt::format("{} was simulated and {} measured: are they swapped?",
                                    measured.name, simulated.name));
    }
}

// What validate_case() makes of them.
struct Timelines {
    NamedTimeline measured;
    NamedTimeline simulated;
};

// nullopt: nothing to do in this process.
std::optional<Timelines> timelines_of(const Invocation& invocation, Inputs inputs) {
    Timelines timelines{{inputs.measured, {}}, {inputs.simulated, {}}};
    std::optional<RunFolder> folder;
    if (inputs.measured.empty()) {
        const auto files =
            run_scenario(run_arguments(invocation, inputs.scenario), folder.emplace());
        if (!files) {
            return std::nullopt;
        }
        inputs.measured = files->timeline;
        inputs.binding = files->binding;
        timelines.measured.name = fmt::format("run of {}", inputs.scenario);
    }
    timelines.measured.file = read_timeline(fs::path(inputs.measured));
    if (inputs.simulated.empty()) {
        timelines.simulated = {fmt::format("simulation of {}", inputs.scenario),
                               simulate_scenario(invocation, inputs)};
    } else {
        timelines.simulated.file = read_timeline(fs::path(inputs.simulated));
    }
    return timelines;
}

// Which entries of a validation are off by more.
std::vector<std::string> above(const Json& validation, const Threshold& threshold) {
    std::vector<std::string> names;
    const Json& part = validation.at(threshold.of);
    for (const Json& entry : part.is_array() ? part : Json::array({part})) {
        if (!threshold.exceeded_by(entry.at("error_percent"))) {
            continue;
        }
        names.push_back(entry.contains("rank")
                            ? fmt::format("rank {}", entry.at("rank").get<std::int64_t>())
                            : entry.value("op_kind", entry.value("phase", threshold.of)));
    }
    return names;
}

// nullopt: nothing to do in this process.
std::optional<Json> validate_case(const Invocation& invocation, const Inputs& inputs,
                                  const std::vector<Threshold>& thresholds) {
    const std::optional<Timelines> timelines = timelines_of(invocation, inputs);
    if (!timelines) {
        return std::nullopt;
    }
    const auto& [measured, simulated] = *timelines;
    warn_of_order(invocation, measured, simulated);
    const std::vector<AlignedGraph> aligned = align(measured, simulated);
    if (invocation.has("trace")) {
        std::ostringstream text;
        write_validation_trace(text, aligned);
        write_file_atomically(invocation.text("trace"), text.str());
    }
    Json validation = validation_json(validate(aligned), {measured.name, simulated.name});
    for (const Threshold& threshold : thresholds) {
        validation["thresholds"].push_back(threshold_json(threshold, above(validation, threshold)));
    }
    return validation;
}

Inputs inputs_of(const Invocation& invocation, const std::string& scenario) {
    Inputs inputs{"", scenario, invocation.text("binding"), invocation.text("measured"),
                  invocation.text("simulated")};
    const bool has_both = !inputs.measured.empty() && !inputs.simulated.empty();
    if (scenario.empty() && !has_both) {
        throw UsageError("give SCENARIO, DIR, or both of --measured and --simulated");
    }
    if (!scenario.empty() && has_both) {
        throw UsageError("--measured and --simulated together need no scenario");
    }
    if (scenario.empty() && invocation.has("set")) {
        throw UsageError("--set changes fields of a scenario, and there is none");
    }
    if (invocation.has("binding") && (scenario.empty() || inputs.measured.empty())) {
        throw UsageError("--binding goes with SCENARIO and --measured: it is of that run");
    }
    return inputs;
}

int validate_one(const Invocation& invocation, const Inputs& inputs,
                 const std::vector<Threshold>& thresholds) {
    const std::optional<Json> validation = validate_case(invocation, inputs, thresholds);
    if (!validation) {
        return kOk;
    }
    invocation.answer(*validation, validation_table(*validation));
    return any_exceeded(validation->at("thresholds")) ? kThresholdExceeded : kOk;
}

int validate_all(const Invocation& invocation, const std::vector<Inputs>& cases,
                 const std::vector<Threshold>& thresholds) {
    std::vector<ValidationCase> results;
    bool exceeded = false;
    for (const Inputs& inputs : cases) {
        invocation.progress(
            fmt::format("case {} of {}: {} …", results.size() + 1, cases.size(), inputs.name));
        const std::optional<Json> validation = validate_case(invocation, inputs, thresholds);
        if (!validation) {
            return kOk;
        }
        exceeded = exceeded || any_exceeded(validation->at("thresholds"));
        results.push_back({inputs.name, *validation});
    }
    invocation.progress("");
    const Json scoreboard = validation_cases_json(results);
    invocation.answer(scoreboard, validation_cases_table(scoreboard));
    return exceeded ? kThresholdExceeded : kOk;
}

int run_validate(const Invocation& invocation) {
    const std::vector<Threshold> thresholds =
        thresholds_of(invocation, {"end_to_end", "op_kinds", "phases", "ranks"});
    policy_of(invocation);  // refuses what the run would, before it
    const std::string input = invocation.text("input");
    std::error_code ignored;
    if (!fs::is_directory(input, ignored)) {
        return validate_one(invocation, inputs_of(invocation, input), thresholds);
    }
    for (const char* option : {"measured", "simulated", "binding"}) {
        if (invocation.has(option)) {
            throw UsageError(
                fmt::format("--{} is for one case; {} is a folder of them", option, input));
        }
    }
    if (const auto inputs = case_of(input)) {
        return validate_one(invocation, *inputs, thresholds);
    }
    if (invocation.has("trace")) {
        throw UsageError("--trace is for one case");
    }
    return validate_all(invocation, cases_in(input), thresholds);
}

}  // namespace

Command validate_command() {
    Command command;
    command.name = "validate";
    command.summary = "Says how far a simulated timeline is from the measured one, op by op.";
    command.arguments = "[SCENARIO|DIR]";
    command.positional = "input";
    command.examples = {
        "validate scenarios/tiny_train_cpu.json --trace both.json",
        "validate --measured measured.json --simulated simulated.json --fail-above 5%",
        "validate cases --json -o scoreboard.json"};
    command.outputs = {"trace"};
    command.inputs = {"measured", "simulated", "binding"};
    command.add_options = [](po::options_description& options) {
        options.add_options()  //
            ("input", po::value<std::string>()->value_name("SCENARIO|DIR"),
             "scenario, which is run and simulated under the routing of the run; or a folder of "
             "cases, each a folder with scenario.json or measured.json and simulated.json, or "
             "with scenario.json, measured.json and its binding.json")  //
            ("measured", po::value<std::string>()->value_name("TIMELINE"),
             "what run --timeline wrote, instead of a run")  //
            ("simulated", po::value<std::string>()->value_name("TIMELINE"),
             "what simulate --timeline wrote, instead of a simulation")  //
            ("binding", po::value<std::string>()->value_name("FILE"),
             "with SCENARIO and --measured: simulate the routing that run --binding wrote")  //
            ("trace", po::value<std::string>()->value_name("FILE"),
             "write a Chrome trace with both timelines; Perfetto opens it")  //
            ("device", po::value<std::string>()->default_value("cpu")->value_name("cpu|cuda"),
             "where the scenario runs")  //
            ("compute", po::value<std::string>()->default_value("bf16")->value_name("fp32|bf16"),
             "what BF16 tensors of the run are computed in")  //
            ("fp8",
             po::value<std::string>()->default_value("simulate")->value_name("simulate|dequantize"),
             "FP8 weights of the run: quantise activations too, or expand the weights");
        add_threshold_option(options,
                             "exit with 6 if an error is larger; WHAT: end_to_end (the default), "
                             "op_kinds, phases or ranks");
    };
    command.run = run_validate;
    return command;
}

}  // namespace r1
