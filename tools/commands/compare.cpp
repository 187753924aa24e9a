#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "tools/cli.hpp"
#include "tools/report/comparison.hpp"
#include "tools/report/report_file.hpp"
#include "tools/threshold_option.hpp"

namespace r1 {

namespace {

constexpr const char* kAny = "any";

// Of metrics, or of what they are parts of: "step" of "step.mfu.causal".
bool is_part(const std::string& metric, const std::string& of) {
    return of == kAny || metric == of ||
           (metric.rfind(of, 0) == 0 && (metric[of.size()] == '.' || metric[of.size()] == '['));
}

// What --fail-above may name, of these figures.
std::vector<std::string> threshold_names(const std::vector<std::string>& figures) {
    std::set<std::string> names(figures.begin(), figures.end());
    for (const std::string& name : figures) {
        bool in_brackets = false;  // names of entries may hold dots
        for (std::size_t end = 0; end < name.size(); ++end) {
            if (!in_brackets && (name[end] == '.' || name[end] == '[')) {
                names.insert(name.substr(0, end));
            }
            in_brackets = name[end] == '[' || (in_brackets && name[end] != ']');
        }
    }
    std::vector<std::string> list{kAny};
    list.insert(list.end(), names.begin(), names.end());
    return list;
}

// What is above the threshold; first of all what has no size, which is above any.
std::vector<std::string> above(const Threshold& threshold, const Json& comparison) {
    std::vector<std::string> names;
    for (const auto& name : comparison.at("without_size").get<std::vector<std::string>>()) {
        if (is_part(name, threshold.of)) {
            names.push_back(name);
        }
    }
    for (const Json& metric : comparison.at("metrics")) {
        const auto name = metric.at("metric").get<std::string>();
        if (is_part(name, threshold.of) && threshold.exceeded_by(metric.at("change_percent"))) {
            names.push_back(name);
        }
    }
    return names;
}

int run_compare(const Invocation& invocation) {
    const auto files = invocation.get<std::vector<std::string>>("report");
    if (files.size() != 2) {
        throw UsageError("takes two reports");
    }
    const Json a = read_report(Document::from_file(files[0]));
    const Json b = read_report(Document::from_file(files[1]));
    Json comparison = compare_reports({files[0], a}, {files[1], b});
    std::vector<std::string> figures = figure_names(a);
    const std::vector<std::string> of_b = figure_names(b);
    figures.insert(figures.end(), of_b.begin(), of_b.end());
    for (const Threshold& threshold : thresholds_of(invocation, threshold_names(figures))) {
        comparison["thresholds"].push_back(threshold_json(threshold, above(threshold, comparison)));
    }
    invocation.answer(comparison, comparison_table(comparison));
    return any_exceeded(comparison.at("thresholds")) ? kThresholdExceeded : kOk;
}

}  // namespace

Command compare_command() {
    Command command;
    command.name = "compare";
    command.summary = "Says in what two reports differ, metric by metric.";
    command.arguments = "A.json B.json";
    command.positional = "report";
    command.positional_count = 2;
    command.examples = {"compare before.json after.json",
                        "compare before.json after.json --fail-above step.time_s=1%",
                        "compare simulated.json measured.json --json -o difference.json"};
    command.add_options = [](po::options_description& options) {
        options.add_options()("report", po::value<std::vector<std::string>>()->value_name("REPORT"),
                              "what simulate or run wrote with -o; two of them");
        add_threshold_option(options,
                             "exit with 6 if a change is larger, or B lacks a number of A or has "
                             "another flag; WHAT: a metric, or what metrics are parts of (step); "
                             "any metric if not given");
    };
    command.run = run_compare;
    return command;
}

}  // namespace r1
