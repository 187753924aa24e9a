#include "tools/sweep/sweep_line.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "runtime/process_memory.hpp"
#include "sim/simulate.hpp"
#include "tools/report/report.hpp"

namespace r1 {

namespace {

Json line_head(const Sweep& sweep, std::size_t point, ExitCode code) {
    return {{"schema", "r1sim.sweep_line/1"},
            {"sweep", sweep.hash},
            {"point", point},
            {"axes", changes_of(sweep, point)},
            {"exit_code", static_cast<int>(code)}};
}

// Of the exception that is being handled. Files are named from the folder of the sweep file, so
// that lines are the same wherever the sweep was started.
Failure failure_of_point(const Sweep& sweep) {
    try {
        throw;
    } catch (const InputError& error) {
        const std::string folder = (sweep.file_folder / "").string();
        std::vector<Diagnostic> diagnostics = error.diagnostics();
        for (Diagnostic& diagnostic : diagnostics) {
            std::string& file = diagnostic.location.file;
            if (file.starts_with(folder)) {
                file.erase(0, folder.size());
            }
        }
        return {exit_code_of(error), render(diagnostics)};
    } catch (const std::exception&) {
        return current_failure();
    }
}

// Whether it has what sweep_result() reads: a file of lines may come from anywhere.
bool is_whole(const Json& line) {
    const auto is_number = [&](const Json& in, const char* pointer) {
        const Json* value = report_value(in, pointer);
        return value != nullptr && value->is_number();
    };
    const Json* code = report_value(line, "/exit_code");
    if (code == nullptr || !code->is_number_integer()) {
        return false;
    }
    if (!is_simulated(line)) {
        return line.contains("error") && line.at("error").is_string();
    }
    const Json* rate = report_value(line, "/step/tokens_per_s");
    const Json* fits = report_value(line, "/memory/fits");
    const Json* ranks = report_value(line, "/memory/per_rank");
    return is_number(line, "/step/time_s") && is_number(line, "/cost/usd") && rate != nullptr &&
           (rate->is_null() || rate->is_number()) && fits != nullptr && fits->is_boolean() &&
           ranks != nullptr && ranks->is_array() &&
           std::all_of(ranks->begin(), ranks->end(),
                       [&](const Json& rank) { return is_number(rank, "/total"); });
}

}  // namespace

Json simulate_point(const Sweep& sweep, std::size_t point, SharedWork& shared) {
    try {
        std::vector<std::string> notes;
        const Setting setting = read_setting(scenario_of(sweep, point), notes);
        Simulation simulation = prepare(setting, shared);
        replay(setting, simulation);
        if (setting.baseline) {
            simulation.baseline = compare_with_baseline(setting, simulation);
        }
        Json line = line_head(sweep, point, kOk);
        line.update(make_summary(setting, simulation, R1_VERSION, peak_memory_bytes()));
        return line;
    } catch (const std::exception&) {
        return failed_line(sweep, point, failure_of_point(sweep));
    }
}

Json failed_line(const Sweep& sweep, std::size_t point, const Failure& failure) {
    Json line = line_head(sweep, point, failure.code);
    line["error"] = failure.message;
    return line;
}

std::size_t point_of_line(const Sweep& sweep, const std::string& line, const std::string& origin) {
    const Json json = Json::parse(line, nullptr, false);
    const auto is = [&](const char* key, const Json& value) {
        return json.contains(key) && json.at(key) == value;
    };
    if (!json.is_object() || !is("schema", "r1sim.sweep_line/1") || !json.contains("point") ||
        !json.at("point").is_number_unsigned()) {
        throw InputError(origin, "is no line of a sweep");
    }
    if (!is("sweep", sweep.hash)) {
        throw InputError(origin, "is of another sweep: other points, another base, or other --set");
    }
    const auto point = json.at("point").get<std::size_t>();
    if (point >= sweep.points.size() || !is("axes", changes_of(sweep, point))) {
        throw InputError(origin, fmt::format("point {} is none of the sweep", point));
    }
    if (!is_whole(json)) {
        throw InputError(origin, fmt::format("point {} lacks a part of its results", point));
    }
    return point;
}

}  // namespace r1
