#include "sim/search/limits.hpp"

#include <cmath>

#include <fmt/format.h>

namespace r1 {

namespace {

// With so many decimals, or more where they would hide a small one.
std::string figure_of(double value, int decimals) {
    return std::abs(value) < 10 ? fmt::format("{:.4g}", value)
                                : fmt::format("{:.{}f}", value, decimals);
}

std::string sentence(const NeededChange& miss, const CandidateAnswer& answer, bool at_least) {
    const char* least = at_least ? "at least " : "";
    if (miss.constraint == "goal.days") {
        return fmt::format("takes {}{} days, not {:g}", least, figure_of(miss.needed, 1),
                           miss.given);
    }
    if (miss.constraint == "constraints.usd") {
        return fmt::format("costs {}{} USD, not {}", least, figure_of(miss.needed, 0),
                           figure_of(miss.given, 0));
    }
    if (miss.constraint == "constraints.gpus") {
        return fmt::format("{:.0f} GPUs are more than {:g}", miss.needed, miss.given);
    }
    if (miss.constraint == "constraints.power_mw") {
        return fmt::format("needs {:.2f} MW, not {:g}", miss.needed, miss.given);
    }
    return fmt::format("needs {:.1f} GB of memory on a GPU, not {:.1f}",
                       answer.memory->largest.total().value() / 1e9,
                       miss.given * answer.memory->capacity.value() / 1e9);
}

}  // namespace

std::vector<NeededChange> misses(const CapacityPlan& plan, const CandidateAnswer& answer,
                                 const RunEstimate& run) {
    std::vector<NeededChange> result;
    const auto check = [&](const char* constraint, const std::optional<double>& limit,
                           double needed) {
        if (limit && !(needed <= *limit)) {
            result.push_back({constraint, *limit, needed});
        }
    };
    check("goal.days", plan.goal.days, run.days);
    check("constraints.usd", plan.constraints.usd, run.cost_usd);
    check("constraints.gpus", plan.constraints.gpus, answer.terms->gpus);
    check("constraints.power_mw", plan.constraints.power_mw, answer.terms->power_mw);
    check("constraints.memory", plan.constraints.memory,
          answer.memory->largest.total() / answer.memory->capacity);
    return result;
}

std::string say_worse(Objective objective, double value, double best) {
    return objective == Objective::cost ? fmt::format("costs at least {} USD, the best {}",
                                                      figure_of(value, 0), figure_of(best, 0))
                                        : fmt::format("takes at least {} days, the best {}",
                                                      figure_of(value, 2), figure_of(best, 2));
}

std::string say(const std::vector<NeededChange>& misses, const CandidateAnswer& answer,
                bool at_least) {
    std::string text;
    for (const NeededChange& miss : misses) {
        text += (text.empty() ? "" : "; ") + sentence(miss, answer, at_least);
    }
    return text;
}

}  // namespace r1
