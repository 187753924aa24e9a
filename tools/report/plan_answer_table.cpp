// The terminal view of a plan's answer (declared in plan_answer.hpp).
#include <map>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "tools/report/plan_answer.hpp"
#include "tools/report/text_line.hpp"

namespace r1 {

namespace {

constexpr std::size_t kCandidateRowsMax = 10;

std::string figure(const Json& value, const char* format) {
    return value.is_number() ? fmt::format(fmt::runtime(format), value.get<double>()) : "-";
}

std::string plan_text(const Json& plan) {
    std::string text =
        fmt::format("PP{} EP{} DP{} {}", plan.value("pipeline_parallel", Json()).dump(),
                    plan.value("expert_parallel", Json(1)).dump(),
                    plan.value("data_parallel", Json("?")).dump(), plan.value("schedule", "?"));
    if (const Json& sequences = plan.at("micro_batch_sequences"); sequences != 1) {
        text += fmt::format(" x{}", sequences.dump());
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

std::string candidate_row(const Json& candidate) {
    const Json& run = candidate;
    return without_trailing_spaces(fmt::format(
        "  {:>6} {:<18}{:>9}{:>8}{:>11}{:>11}{:>9}  {}", candidate.at("gpus").get<std::int64_t>(),
        candidate.at("cluster").get<std::string>(), figure(run.at("step_time_s"), "{:.3f}"),
        figure(run.at("days"), "{:.1f}"), figure(run.at("gpu_hours"), "{:.0f}"),
        figure(run.at("cost_usd"), "{:.4g}"),
        candidate.at("memory").is_null()
            ? "-"
            : fmt::format("{:.1f}", candidate.at("memory").at("total").get<double>() / 1e9),
        plan_text(candidate.at("plan"))));
}

constexpr const char* kHeader =
    "    GPUs cluster              step s    days  GPU-hours        USD   GB GPU  plan\n";

// Why the others are not it: how many for each kind of reason, and the first of them.
std::string reasons(const Json& candidates) {
    constexpr std::size_t kShown = 100;
    std::map<std::string, std::pair<int, std::string>> kinds;
    for (const Json& candidate : candidates) {
        if (const Json& why = candidate.at("why_not"); why.is_string()) {
            const auto text = why.get<std::string>();
            auto& [count, first] = kinds[text.substr(0, text.find_first_of("0123456789"))];
            first = count++ == 0 ? text.substr(0, kShown) : first;
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

std::string best_text(const Json& answer) {
    const Json& best = answer.at("candidates").front();
    const Json& bottleneck = best.at("bottleneck");
    const Json& failures = best.at("failures");
    std::string text = fmt::format(
        "\nBest{}: {} GPUs of {}, {}\n  limited by {} ({:.0f} % of the critical path); goodput "
        "{:.1f} "
        "%, {} failures expected, a checkpoint every {} s\n\nA tenth more of\n",
        unless_proven(answer,
                      " of those simulated (a larger search.simulate_max may find a better one)"),
        best.at("gpus").get<std::int64_t>(), best.at("cluster").get<std::string>(),
        plan_text(best.at("plan")), bottleneck.at("resource").get<std::string>(),
        bottleneck.at("share").get<double>() * 100, failures.at("goodput").get<double>() * 100,
        figure(failures.at("expected"), "{:.0f}"),
        figure(failures.at("checkpoint_interval_s"), "{:.0f}"));
    for (const Json& upgrade : answer.at("upgrades")) {
        text += fmt::format("  {:<14} saves {:>6.2f} days, {:>10.0f} USD\n",
                            upgrade.at("resource").get<std::string>(),
                            upgrade.at("days_saved").get<double>(),
                            upgrade.at("usd_saved").get<double>());
    }
    return text;
}

std::string nearest_text(const Json& answer) {
    std::string text = "\nNo candidate " + unless_proven(answer, "that was simulated ") +
                       "is feasible" +
                       unless_proven(answer, "; a larger search.simulate_max may find one") + ".\n";
    for (const Json& nearest : answer.at("nearest")) {
        text += "  It would be with";
        for (const Json& change : nearest.at("changes")) {
            text += fmt::format(
                " {} {} instead of {:g}", change.at("constraint").get<std::string>(),
                figure(change.at("needed"), "{:.6g}"), change.at("given").get<double>());
        }
        text += ":\n" + candidate_row(
                            answer.at("candidates").at(nearest.at("candidate").get<std::size_t>()));
    }
    return text;
}

}  // namespace

std::string plan_answer_table(const Json& answer, bool color) {
    const Json& search = answer.at("search");
    std::string text =
        fmt::format("{}{}{}: {} candidates, {} bounded, {} simulated\n\n{}", color ? "\033[1m" : "",
                    answer.at("name").get<std::string>(), color ? "\033[0m" : "",
                    search.at("candidates").get<int>(), search.at("bounded").get<int>(),
                    search.at("simulated").get<int>(), kHeader);
    std::size_t rows = 0;
    for (const Json& candidate : answer.at("candidates")) {
        if (rows < kCandidateRowsMax && candidate.at("step_time_s").is_number()) {
            text += candidate_row(candidate);
            ++rows;
        }
    }
    text += reasons(answer.at("candidates"));
    return text + (answer.at("feasible").get<bool>() ? best_text(answer) : nearest_text(answer));
}

}  // namespace r1
