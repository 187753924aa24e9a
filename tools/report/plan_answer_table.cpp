// The terminal view of a plan's answer (declared in plan_answer.hpp).
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "tools/report/plan_answer.hpp"
#include "tools/report/text_line.hpp"

namespace r1 {

namespace {

constexpr std::size_t kCandidateRowsMax = 10;

// So that numbers of this size show so many digits.
int decimals(double value, int digits) {
    return value > 0
               ? std::clamp(digits - 1 - static_cast<int>(std::floor(std::log10(value))), 0, 9)
               : 0;
}

std::string figure(const Json& value, int decimals) {
    return value.is_number() ? fmt::format("{:.{}f}", value.get<double>(), decimals) : "-";
}

// What tells the candidates of an answer apart: clusters by their place in the plan where several
// have one name, and of the axes those that differ.
class CandidateNames {
public:
    explicit CandidateNames(const Json& candidates) {
        std::map<std::string, std::set<std::int64_t>> places;
        const Json& first = candidates.front().at("plan");
        for (const Json& candidate : candidates) {
            const auto name = candidate.at("cluster").get<std::string>();
            places[name].insert(candidate.at("cluster_index").get<std::int64_t>());
            if (places[name].size() > 1) {
                shared_names_.insert(name);
            }
            for (const auto& [key, value] : candidate.at("plan").items()) {
                if (first.value(key, Json()) != value) {
                    differing_.insert(key);
                }
            }
        }
        for (const char* shown :
             {"pipeline_parallel", "expert_parallel", "data_parallel", "tensor_parallel",
              "schedule", "micro_batch_sequences", "recompute"}) {
            differing_.erase(shown);  // always
        }
    }

    [[nodiscard]] bool differ_in(const std::string& axis) const {
        return differing_.contains(axis);
    }

    [[nodiscard]] std::string cluster(const Json& candidate) const {
        const auto name = candidate.at("cluster").get<std::string>();
        return shared_names_.contains(name)
                   ? fmt::format("{}[{}]", name, candidate.at("cluster_index").dump())
                   : name;
    }

    [[nodiscard]] std::string plan(const Json& candidate) const {
        const Json& plan = candidate.at("plan");
        std::string text =
            fmt::format("PP{} EP{} {}{}{}", plan.value("pipeline_parallel", Json()).dump(),
                        plan.value("expert_parallel", Json(1)).dump(), data_parallel(plan),
                        tensor_parallel(plan), plan.value("schedule", "?"));
        if (const Json& sequences = plan.at("micro_batch_sequences"); sequences != 1) {
            text += fmt::format(" x{}", sequences.dump());
        }
        for (const std::string& key : differing_) {
            text += fmt::format(" {} {}", key, plan.value(key, Json("?")).dump());
        }
        if (const auto given = plan.find("recompute"); given != plan.end() && given->is_array()) {
            std::string names;
            for (const Json& each : *given) {
                names += (names.empty() ? "" : "+") + each.get<std::string>();
            }
            text += fmt::format(" recompute {}", names.empty() ? "nothing" : names);
        }
        return text;
    }

    [[nodiscard]] std::string whole(const Json& candidate) const {
        return fmt::format("{} GPUs of {}, {}", candidate.at("gpus").get<std::int64_t>(),
                           cluster(candidate), plan(candidate));
    }

private:
    // Nothing where the GPUs do not divide.
    static std::string data_parallel(const Json& plan) {
        const Json ranks = plan.value("data_parallel", Json());
        return ranks.is_null() ? "" : fmt::format("DP{} ", ranks.dump());
    }
    static std::string tensor_parallel(const Json& plan) {
        const Json ranks = plan.value("tensor_parallel", Json(1));
        return ranks == 1 ? "" : fmt::format("TP{} ", ranks.dump());
    }

    std::set<std::string> shared_names_;
    std::set<std::string> differing_;
};

// Of the candidates' numbers below `key`, so that the least shows so many digits.
int decimals_of(const std::vector<const Json*>& candidates, const char* key, int digits) {
    double least = 1e300;
    for (const Json* candidate : candidates) {
        const Json& value = candidate->at(key);
        least = value.is_number() && value > 0 ? std::min(least, value.get<double>()) : least;
    }
    return decimals(least, digits);
}

std::string rows_text(const std::vector<const Json*>& candidates, const CandidateNames& names) {
    const int step = std::max(3, decimals_of(candidates, "step_time_s", 4));
    const int days = std::max(1, decimals_of(candidates, "days", 3));
    const int hours = decimals_of(candidates, "gpu_hours", 3);
    const int usd = decimals_of(candidates, "cost_usd", 3);
    std::vector<TextRow> rows = {
        {"GPUs", "cluster", "step s", "days", "GPU-hours", "USD", "GB GPU", "plan"}};
    for (const Json* candidate : candidates) {
        const double bytes = candidate->at("memory").at("total").get<double>();
        rows.push_back(
            {candidate->at("gpus").dump(), names.cluster(*candidate),
             figure(candidate->at("step_time_s"), step), figure(candidate->at("days"), days),
             figure(candidate->at("gpu_hours"), hours), figure(candidate->at("cost_usd"), usd),
             fmt::format("{:.1f}", bytes / 1e9), names.plan(*candidate)});
    }
    return text_table(rows, [last = rows.front().size() - 1](std::size_t column) {
        return column == 1 || column == last;
    });
}

// The feasible candidates that were simulated; if there are none, all that were.
std::string candidates_text(const Json& answer, const CandidateNames& names) {
    const bool feasible = answer.at("feasible").get<bool>();
    std::vector<const Json*> shown;
    std::size_t more = 0;
    for (const Json& candidate : answer.at("candidates")) {
        if (!candidate.at("step_time_s").is_number() ||
            candidate.at("feasible") != Json(feasible)) {
            continue;
        }
        if (shown.size() < kCandidateRowsMax) {
            shown.push_back(&candidate);
        } else {
            ++more;
        }
    }
    if (shown.empty()) {
        return "";
    }
    std::string text =
        feasible ? "\nFeasible, the best first\n" : "\nSimulated, none of them feasible\n";
    text += rows_text(shown, names);
    if (more > 0) {
        text += fmt::format("  and {} more, which the JSON lists\n", more);
    }
    if (names.differ_in("global_batch_sequences")) {
        text += "  Steps are of batches of different sizes: compare days.\n";
    }
    return text;
}

// Why the others are not it: how many for each kind of reason, and the first of them.
std::string reasons(const Json& candidates) {
    constexpr std::size_t kShown = 120;
    std::map<std::string, std::pair<int, std::string>> kinds;
    for (const Json& candidate : candidates) {
        if (const Json& why = candidate.at("why_not"); why.is_string()) {
            const auto text = why.get<std::string>();
            auto& [count, first] = kinds[text.substr(0, text.find_first_of("0123456789"))];
            first = count++ == 0 ? value_text(why, kShown) : first;
        }
    }
    std::string text = kinds.empty() ? "" : "\nThe others, by reason, with the first of each\n";
    for (const auto& [kind, reason] : kinds) {
        text += fmt::format("  {:>6} {}\n", reason.first, reason.second);
    }
    return text;
}

// Where the search ended before it was known.
std::string unless_proven(const Json& answer, const char* text) {
    return answer.at("search").at("proven").get<bool>() ? "" : text;
}

std::string best_text(const Json& answer, const CandidateNames& names) {
    const Json& best = answer.at("candidates").front();
    const Json& bottleneck = best.at("bottleneck");
    const Json& failures = best.at("failures");
    const Json& interval = failures.at("checkpoint_interval_s");
    const auto expected = failures.at("expected").get<double>();
    std::string text = fmt::format(
        "\nBest{}: {}\n  limited by {} ({:.0f} % of the critical path); goodput {:.1f} %, {:.{}f} "
        "failures expected, {}\n\nA tenth more of\n",
        unless_proven(answer,
                      " of those simulated (a larger search.simulate_max may find a better one)"),
        names.whole(best), bottleneck.at("resource").get<std::string>(),
        bottleneck.at("share").get<double>() * 100, failures.at("goodput").get<double>() * 100,
        expected, decimals(expected, 2),
        interval.is_null() ? "no checkpoints"
                           : fmt::format("a checkpoint every {} s", figure(interval, 0)));
    // With a digit more than the whole has.
    const int days = decimals(best.at("days").get<double>(), 4);
    const int usd = decimals(best.at("cost_usd").get<double>(), 4);
    for (const Json& upgrade : answer.at("upgrades")) {
        text += fmt::format(
            "  {:<14} saves {:>8} days, {:>10} USD\n", upgrade.at("resource").get<std::string>(),
            figure(upgrade.at("days_saved"), days), figure(upgrade.at("usd_saved"), usd));
    }
    return text;
}

// Enough digits, rounded away from what was given, so that what is needed is met.
std::string needed_text(const Json& needed, double given) {
    if (!needed.is_number()) {
        return "-";
    }
    const auto value = needed.get<double>();
    const double away = value == std::round(value) ? 0 : value > given ? 5e-6 : -5e-6;
    return short_number(value + std::abs(value) * away, 6);
}

std::string nearest_text(const Json& answer, const CandidateNames& names) {
    std::string text = "\nNo candidate " + unless_proven(answer, "that was simulated ") +
                       "is feasible" +
                       unless_proven(answer, "; a larger search.simulate_max may find one") + ".\n";
    if (answer.at("nearest").empty()) {
        text += "  No change of a limit or of a number was found that makes one feasible.\n";
    }
    for (const Json& nearest : answer.at("nearest")) {
        std::string changes;
        for (const Json& change : nearest.at("changes")) {
            const auto given = change.at("given").get<double>();
            changes += fmt::format("{}{} {} instead of {}", changes.empty() ? "" : " and ",
                                   change.at("constraint").get<std::string>(),
                                   needed_text(change.at("needed"), given), short_number(given, 6));
        }
        text += fmt::format(
            "  It would be {}with {}; now it is:\n    {}\n",
            changes.starts_with("candidates.") ? "a scenario " : "", changes,
            names.whole(answer.at("candidates").at(nearest.at("candidate").get<std::size_t>())));
    }
    return text;
}

}  // namespace

std::string plan_answer_table(const Json& answer, bool color) {
    const Json& search = answer.at("search");
    const CandidateNames names(answer.at("candidates"));
    return fmt::format("{}: {} candidates, {} bounded, {} simulated\n",
                       bold(answer.at("name").get<std::string>(), color),
                       search.at("candidates").get<int>(), search.at("bounded").get<int>(),
                       search.at("simulated").get<int>()) +
           candidates_text(answer, names) + reasons(answer.at("candidates")) +
           (answer.at("feasible").get<bool>() ? best_text(answer, names)
                                              : nearest_text(answer, names));
}

}  // namespace r1
