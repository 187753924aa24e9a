#include "tools/report/validation_report.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "tools/report/text_line.hpp"
#include "tools/report/threshold.hpp"

namespace r1 {

namespace {

constexpr const char* kErrorRow = "  {:<28}{:>9}{:>13}{:>13}{:>13}{:>10}{:>11}";

Json percent_json(const std::optional<double>& relative) {
    return relative ? finite_or_null(*relative * 100) : Json();
}

void add_error(Json& to, const TimeError& error) {
    to["ops"] = error.ops;
    to["measured_s"] = error.measured_s;
    to["simulated_s"] = error.simulated_s;
    to["difference_s"] = error.difference_s();
    to["error_percent"] = percent_json(error.relative());
}

// `name_of` an entry: under `key`.
template <class NameOf>
Json errors_json(const std::vector<TimeError>& errors, const char* key, NameOf name_of) {
    Json list = Json::array();
    for (const TimeError& error : errors) {
        Json entry{{key, name_of(error)}};
        add_error(entry, error);
        list.push_back(std::move(entry));
    }
    return list;
}

Json end_to_end_json(const TimeError& error) {
    Json json = Json::object();
    add_error(json, error);
    return json;
}

std::string name_of(const TimeError& error) { return error.name; }

Json op_kinds_json(const std::vector<TimeError>& errors) {
    Json list = errors_json(errors, "op_kind", name_of);
    for (std::size_t i = 0; i < errors.size(); ++i) {
        const std::optional<double>& factor = errors[i].typical_factor;
        list[i]["typical_error_percent"] = factor ? finite_or_null((*factor - 1) * 100) : Json(0.0);
    }
    return list;
}

Json ranks_json(const std::vector<TimeError>& errors) {
    return errors_json(errors, "rank",
                       [](const TimeError& error) { return std::stoll(error.name); });
}

std::string percent_text(const Json& entry, const char* key) {
    return !entry.contains(key)      ? ""
           : entry.at(key).is_null() ? "-"
                                     : fmt::format("{:+.1f} %", entry.at(key).get<double>());
}

double figure_of(const Json& entry, const char* key) { return entry.at(key).get<double>(); }

std::string error_row(const std::string& title, const Json& entry) {
    return without_trailing_spaces(fmt::format(
        fmt::runtime(kErrorRow), title, entry.at("ops").get<std::int64_t>(),
        fmt::format("{:.3f}", figure_of(entry, "measured_s") * 1e3),
        fmt::format("{:.3f}", figure_of(entry, "simulated_s") * 1e3),
        fmt::format("{:+.3f}", figure_of(entry, "difference_s") * 1e3),
        percent_text(entry, "error_percent"), percent_text(entry, "typical_error_percent")));
}

std::string head_row(const char* title, const char* last) {
    return without_trailing_spaces(fmt::format(fmt::runtime(kErrorRow), title, "ops", "measured ms",
                                               "simulated ms", "difference", "error", last));
}

// The ranks that are furthest off, if there are many.
std::vector<Json> shown_ranks(const Json& ranks) {
    constexpr std::size_t kShownMax = 8;
    std::vector<Json> shown(ranks.begin(), ranks.end());
    if (shown.size() > kShownMax) {
        std::stable_sort(shown.begin(), shown.end(), [](const Json& a, const Json& b) {
            return std::abs(figure_of(a, "difference_s")) > std::abs(figure_of(b, "difference_s"));
        });
        shown.resize(kShownMax);
    }
    return shown;
}

const Json& largest_difference(const Json& op_kinds) {
    return *std::max_element(op_kinds.begin(), op_kinds.end(), [](const Json& a, const Json& b) {
        return std::abs(figure_of(a, "difference_s")) < std::abs(figure_of(b, "difference_s"));
    });
}

std::string verdict(const Json& validation) {
    const Json& kinds = validation.at("op_kinds");
    if (kinds.empty()) {
        return "Neither timeline holds an op.\n";
    }
    const Json& most = largest_difference(kinds);
    if (figure_of(most, "difference_s") == 0) {
        return "Every op kind takes the same time in both.\n";
    }
    return fmt::format(
        "Furthest off: {} ({} an op). Most time: {} ({:+.3f} ms).\n",
        kinds[0].at("op_kind").get<std::string>(), percent_text(kinds[0], "typical_error_percent"),
        most.at("op_kind").get<std::string>(), figure_of(most, "difference_s") * 1e3);
}

}  // namespace

Json validation_json(const Validation& validation, const ValidationSources& sources) {
    return {{"schema", "r1sim.validation/1"},
            {"measured", sources.measured},
            {"simulated", sources.simulated},
            {"graphs", validation.graphs},
            {"alignment",
             {{"ranks", validation.ranks.size()},
              {"ops", validation.end_to_end.ops},
              {"unmatched", 0}}},
            {"end_to_end", end_to_end_json(validation.end_to_end)},
            {"op_kinds", op_kinds_json(validation.op_kinds)},
            {"phases", errors_json(validation.phases, "phase", name_of)},
            {"ranks", ranks_json(validation.ranks)},
            {"thresholds", Json::array()}};
}

std::string validation_table(const Json& validation) {
    const Json& alignment = validation.at("alignment");
    const Json& ranks = validation.at("ranks");
    std::string text = fmt::format(
        "{} against {}\nEvery op aligned: {} on {} ranks\n\n",
        validation.at("simulated").get<std::string>(), validation.at("measured").get<std::string>(),
        alignment.at("ops").get<std::int64_t>(), alignment.at("ranks").get<std::int64_t>());
    text += head_row("op kind", "an op");
    for (const Json& entry : validation.at("op_kinds")) {
        text += error_row(entry.at("op_kind").get<std::string>(), entry);
    }
    text += "\n" + head_row("phase", "");
    for (const Json& entry : validation.at("phases")) {
        text += error_row(entry.at("phase").get<std::string>(), entry);
    }
    const std::vector<Json> shown = shown_ranks(ranks);
    text +=
        "\n" + head_row(shown.size() < ranks.size() ? "rank (largest differences)" : "rank", "");
    for (const Json& entry : shown) {
        text += error_row(fmt::format("{}", entry.at("rank").get<std::int64_t>()), entry);
    }
    text +=
        "\n" + error_row("end to end", validation.at("end_to_end")) + "\n" + verdict(validation);
    for (const Json& threshold : validation.at("thresholds")) {
        text += threshold_text(threshold);
    }
    return text;
}

Json validation_cases_json(const std::vector<ValidationCase>& cases) {
    Json list = Json::array();
    std::vector<double> sizes;
    for (const ValidationCase& entry : cases) {
        const Json& error = entry.validation.at("end_to_end").at("error_percent");
        if (!error.is_null()) {
            sizes.push_back(std::abs(error.get<double>()));
        }
        list.push_back({{"name", entry.name}, {"validation", entry.validation}});
    }
    Json mean;
    Json largest;
    if (!sizes.empty()) {
        mean = std::accumulate(sizes.begin(), sizes.end(), 0.0) / static_cast<double>(sizes.size());
        largest = *std::max_element(sizes.begin(), sizes.end());
    }
    return {{"schema", "r1sim.validation_cases/1"},
            {"cases", list},
            {"end_to_end",
             {{"mean_absolute_error_percent", mean}, {"max_absolute_error_percent", largest}}}};
}

std::string validation_cases_table(const Json& scoreboard) {
    constexpr const char* kCaseRow = "  {:<32}{:>13}{:>13}{:>10}  {}";
    std::string text = fmt::format(fmt::runtime(kCaseRow), "case", "measured ms", "simulated ms",
                                   "error", "furthest off") +
                       "\n";
    for (const Json& entry : scoreboard.at("cases")) {
        const Json& validation = entry.at("validation");
        const Json& whole = validation.at("end_to_end");
        const Json& kinds = validation.at("op_kinds");
        text += without_trailing_spaces(fmt::format(
            fmt::runtime(kCaseRow), entry.at("name").get<std::string>(),
            fmt::format("{:.3f}", figure_of(whole, "measured_s") * 1e3),
            fmt::format("{:.3f}", figure_of(whole, "simulated_s") * 1e3),
            percent_text(whole, "error_percent"),
            kinds.empty() ? ""
                          : fmt::format("{} {}", kinds[0].at("op_kind").get<std::string>(),
                                        percent_text(kinds[0], "typical_error_percent"))));
    }
    const Json& errors = scoreboard.at("end_to_end");
    if (errors.at("mean_absolute_error_percent").is_null()) {
        return text;
    }
    return text + fmt::format("\nEnd to end: {:.1f} % off in the mean, {:.1f} % at most\n",
                              figure_of(errors, "mean_absolute_error_percent"),
                              figure_of(errors, "max_absolute_error_percent"));
}

}  // namespace r1
