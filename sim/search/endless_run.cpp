#include "sim/search/endless_run.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "sim/search/limits.hpp"

namespace r1 {

namespace {

constexpr double kDaysMax = 1e12;  // longer than stars last

bool ends(const RunEstimate& run) { return run.days <= kDaysMax; }

RunTerms with_interval(RunTerms terms, std::optional<Seconds> interval) {
    terms.checkpoint_interval = interval;
    return terms;
}

RunTerms with_mtbf(RunTerms terms, Seconds mtbf) {
    terms.job.mtbf = mtbf;
    return terms;
}

// The number closest to `bad` that is good, between it and `good`, to seven digits.
template <class IsGood>
double closest(double bad, double good, IsGood is_good) {
    while (std::abs(good / bad - 1) > 1e-7) {
        const double middle = std::sqrt(good) * std::sqrt(bad);
        (is_good(middle) ? good : bad) = middle;
    }
    return good;
}

bool waits_for_checkpoint(const RunTerms& terms, Seconds step) {
    return terms.checkpoint_interval &&
           ends(estimate_run(with_interval(terms, std::nullopt), step));
}

}  // namespace

std::string why_endless(const RunTerms& terms, const RunEstimate& run) {
    if (ends(run)) {
        return "";
    }
    const double mtbf_s = terms.job.mtbf.value();
    if (std::isinf(mtbf_s)) {
        return fmt::format("never ends: takes {:.3g} days", run.days);
    }
    if (waits_for_checkpoint(terms, Seconds(run.step_time_s))) {
        return fmt::format(
            "never ends: something fails every {:.3g} s, and a checkpoint comes every {:.3g} s",
            mtbf_s, run.checkpoint_interval->value());
    }
    return fmt::format(
        "never ends: something fails every {:.3g} s, and a checkpoint of {:.3g} s and a restart of "
        "{:.3g} s do not get through",
        mtbf_s, terms.job.checkpoint_write.value(), terms.job.restart.value());
}

std::vector<NeededChange> changes_to_end(const CapacityPlan& plan, const CandidateAnswer& answer,
                                         Seconds step) {
    constexpr double kNever = 1e15;  // s
    const RunTerms& terms = *answer.terms;
    const bool is_interval = waits_for_checkpoint(terms, step);
    const auto changed = [&](double needed) {
        return estimate_run(
            is_interval ? with_interval(terms, Seconds(needed)) : with_mtbf(terms, Seconds(needed)),
            step);
    };
    const double given = (is_interval ? *terms.checkpoint_interval : terms.job.mtbf).value();
    const double good = is_interval ? optimal_checkpoint_interval(terms.job)->value() : kNever;
    const RunEstimate best = changed(good);
    if (!ends(best) || std::isinf(given)) {
        return {};
    }
    const std::size_t missed = misses(plan, answer, best).size();
    const auto is_good = [&](double needed) {
        const RunEstimate run = changed(needed);
        // In time, or at least not spent on failures.
        return ends(run) && misses(plan, answer, run).size() == missed &&
               (run.days <= plan.goal.days.value_or(0) ||
                run.goodput >= std::min(0.5, best.goodput));
    };
    const double needed = closest(given, good, is_good);
    std::vector<NeededChange> changes = misses(plan, answer, changed(needed));
    changes.insert(changes.begin(),
                   is_interval ? NeededChange{"prices.checkpoint.interval_s", given, needed}
                               : NeededChange{"failures.mtbf_hours", given / 3600, needed / 3600});
    return changes;
}

}  // namespace r1
