#include "tools/sweep/sweep_line.hpp"

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
        return failed_line(sweep, point, current_failure());
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
    return point;
}

}  // namespace r1
