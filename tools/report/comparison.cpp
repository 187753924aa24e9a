#include "tools/report/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "tools/report/text_line.hpp"
#include "tools/report/threshold.hpp"

namespace r1 {

namespace {

// What names an entry of a list among the others; its place, if nothing does.
std::string entry_name(const Json& entry, std::size_t place) {
    for (const char* key : {"id", "component", "resource", "metric", "name", "rank", "layer"}) {
        if (entry.is_object() && entry.contains(key)) {
            const Json& value = entry.at(key);
            return value.is_string() ? value.get<std::string>() : value.dump();
        }
    }
    return fmt::format("{}", place);
}

using Members = std::vector<std::pair<std::string, const Json*>>;

// Members of an object as ".key", entries of a list as "[name]"; of several entries of one name,
// the later ones are told apart by their number.
Members members_of(const Json& value) {
    Members members;
    if (value.is_object()) {
        for (const auto& [key, member] : value.items()) {
            members.emplace_back("." + key, &member);
        }
        return members;
    }
    std::map<std::string, int> seen;
    for (std::size_t i = 0; i < value.size(); ++i) {
        const std::string name = entry_name(value[i], i);
        const int number = ++seen[name];
        members.emplace_back(
            number == 1 ? fmt::format("[{}]", name) : fmt::format("[{}#{}]", name, number),
            &value[i]);
    }
    return members;
}

// The path of a member of what stands at `path`.
std::string path_below(const std::string& path, const std::string& member) {
    return path.empty() ? member.substr(1) : path + member;
}

// Adds the paths of all numbers and flags.
void add_figures(const Json& value, const std::string& path, std::vector<std::string>& paths) {
    if (value.is_number() || value.is_boolean()) {
        paths.push_back(path);
    } else if (value.is_structured()) {
        for (const auto& [member, below] : members_of(value)) {
            add_figures(*below, path_below(path, member), paths);
        }
    }
}

// The sections of a report that hold results.
Json results_of(const Json& report) {
    Json results = report;
    for (const char* key : {"schema", "scenario", "run_info", "over_time"}) {
        results.erase(key);
    }
    for (const auto& [section, list] : {std::pair("critical_path", "ops"), {"routing", "layers"}}) {
        if (results.contains(section) && results[section].is_object()) {
            results[section].erase(list);
        }
    }
    return results;
}

Json change_percent(double a, double b) {
    if (a == b) {
        return 0.0;
    }
    return a == 0 ? Json() : finite_or_null((b / a - 1) * 100);
}

Json metric_json(const std::string& path, const Json& a, const Json& b) {
    const auto from = a.get<double>();
    const auto to = b.get<double>();
    return {{"metric", path},
            {"a", a},
            {"b", b},
            {"difference", finite_or_null(to - from)},
            {"change_percent", change_percent(from, to)}};
}

// What two documents have at the same paths.
struct Differences {
    Json metrics = Json::array();  // numbers that both have, equal or not
    Json changes = Json::array();  // all else that differs
    std::vector<std::string>
        without_size;  // of these: numbers and flags that B lacks or has not so

    void compare(const Json& a, const Json& b, const std::string& path) {
        if (a.is_number() && b.is_number()) {
            metrics.push_back(metric_json(path, a, b));
        } else if (a.is_structured() && a.type() == b.type()) {
            compare_members(a, b, path);
        } else if (a != b) {
            change(path, a, b);
        }
    }

private:
    void change(const std::string& path, const Json& a, const Json& b) {
        changes.push_back({{"path", path}, {"a", a}, {"b", b}});
        add_figures(a, path, without_size);
    }

    void compare_members(const Json& a, const Json& b, const std::string& path) {
        const Members of_b = members_of(b);
        std::map<std::string, const Json*> left(of_b.begin(), of_b.end());
        for (const auto& [name, value] : members_of(a)) {
            const auto found = left.find(name);
            if (found == left.end()) {
                change(path_below(path, name), *value, Json());
            } else {
                compare(*value, *found->second, path_below(path, name));
                left.erase(found);
            }
        }
        for (const auto& [name, value] : of_b) {
            if (left.count(name) > 0) {
                change(path_below(path, name), Json(), *value);
            }
        }
    }
};

// As they are in a report: with model, cluster and calibration inline.
Json scenario_changes(const Json& a, const Json& b) {
    Differences found;
    found.compare(a.value("scenario", Json::object()), b.value("scenario", Json::object()), "");
    for (const Json& number : found.metrics) {
        if (number.at("a") != number.at("b")) {
            found.changes.push_back(
                {{"path", number.at("metric")}, {"a", number.at("a")}, {"b", number.at("b")}});
        }
    }
    return found.changes;
}

constexpr std::size_t kValueWidthMax = 32;
constexpr const char* kMetricRow = "  {:<48}{:>14}{:>14}{:>13}";

std::string metric_row(const Json& metric) {
    const Json& percent = metric.at("change_percent");
    return without_trailing_spaces(fmt::format(
        fmt::runtime(kMetricRow), metric.at("metric").get<std::string>(),
        value_text(metric.at("a"), kValueWidthMax), value_text(metric.at("b"), kValueWidthMax),
        percent.is_null() ? "-" : fmt::format("{:+.2f} %", percent.get<double>())));
}

double size_of_change(const Json& metric) {
    const Json& percent = metric.at("change_percent");
    return percent.is_null() ? HUGE_VAL : std::abs(percent.get<double>());
}

std::string changes_text(const char* title, const Json& changes) {
    constexpr std::size_t kShownMax = 20;
    std::string text;
    for (std::size_t i = 0; i < std::min(changes.size(), kShownMax); ++i) {
        text += fmt::format("  {}: {} -> {}\n", changes[i].at("path").get<std::string>(),
                            value_text(changes[i].at("a"), kValueWidthMax),
                            value_text(changes[i].at("b"), kValueWidthMax));
    }
    if (changes.size() > kShownMax) {
        text += fmt::format("  and {} more\n", changes.size() - kShownMax);
    }
    return text.empty() ? "" : fmt::format("{}\n{}\n", title, text);
}

// Whole-step metrics, and whatever changes most elsewhere.
bool is_headline(const std::string& metric) {
    constexpr const char* kSections[] = {"step.", "pipeline.breakdown_s.", "overlap.comm_",
                                         "cost."};
    return std::any_of(std::begin(kSections), std::end(kSections),
                       [&](const char* section) { return metric.rfind(section, 0) == 0; });
}

}  // namespace

Json compare_reports(const NamedReport& a, const NamedReport& b) {
    Differences found;
    found.compare(results_of(a.report), results_of(b.report), "");
    return {{"schema", "r1sim.comparison/1"},
            {"a", a.name},
            {"b", b.name},
            {"scenario", scenario_changes(a.report, b.report)},
            {"metrics", found.metrics},
            {"changes", found.changes},
            {"without_size", found.without_size},
            {"thresholds", Json::array()}};
}

std::vector<std::string> figure_names(const Json& report) {
    std::vector<std::string> names;
    add_figures(results_of(report), "", names);
    return names;
}

std::string comparison_table(const Json& comparison) {
    constexpr std::size_t kOthersMax = 20;
    std::string head;
    std::vector<Json> others;
    for (const Json& metric : comparison.at("metrics")) {
        if (is_headline(metric.at("metric").get<std::string>())) {
            head += metric_row(metric);
        } else if (size_of_change(metric) > 0) {
            others.push_back(metric);
        }
    }
    std::stable_sort(others.begin(), others.end(), [](const Json& x, const Json& y) {
        return size_of_change(x) > size_of_change(y);
    });
    std::string rest;
    for (std::size_t i = 0; i < std::min(others.size(), kOthersMax); ++i) {
        rest += metric_row(others[i]);
    }
    if (others.size() > kOthersMax) {
        rest += fmt::format("  and {} more\n", others.size() - kOthersMax);
    }
    std::string text = fmt::format("A: {}\nB: {}\n\n", comparison.at("a").get<std::string>(),
                                   comparison.at("b").get<std::string>());
    text += changes_text("Scenarios differ in", comparison.at("scenario"));
    text += changes_text("Not numbers, or of one report", comparison.at("changes"));
    text += without_trailing_spaces(
        fmt::format(fmt::runtime(kMetricRow), "metric", "A", "B", "B / A - 1"));
    text += head;
    text +=
        rest.empty() ? "  and nothing else differs\n" : "\nOthers that differ, most first\n" + rest;
    for (const Json& threshold : comparison.at("thresholds")) {
        text += threshold_text(threshold);
    }
    return text;
}

}  // namespace r1
