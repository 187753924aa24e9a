#include "sim/search/search.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/timeline/critical_path.hpp"
#include "sim/path_resources.hpp"
#include "sim/search/limits.hpp"
#include "sim/search/parallel.hpp"
#include "sim/search/step_bound.hpp"
#include "sim/shared_work.hpp"

namespace r1 {

namespace {

// Candidates are simulated so many at a time, whatever the number of threads, so that the answer
// does not depend on it.
constexpr std::size_t kRound = 8;
// Simulations for each constraint that could be given way to.
constexpr std::size_t kNearestMax = 24;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class Search {
public:
    Search(const CapacityPlan& plan, const CandidateScenarios& scenarios,
           const SearchOptions& options)
        : plan_(plan), options_(options), scenarios_(scenarios) {
        for (Candidate& candidate : enumerate_candidates(plan)) {
            answers_.push_back({std::move(candidate), {}, {}, {}, {}, {}, {}, {}, {}});
        }
    }

    SearchResult run() && {
        bound_all();
        std::optional<std::size_t> best = find_best();
        if (!best) {
            find_nearest();
        }
        simulate_more();
        best = best_simulated(best);
        if (best) {
            result_.nearest.clear();
        }
        explain(best);
        result_.feasible = best.has_value();
        rank();
        return std::move(result_);
    }

private:
    using Indices = std::vector<std::size_t>;

    [[nodiscard]] double value(const RunEstimate& run) const {
        return plan_.objective == Objective::cost ? run.cost_usd : run.days;
    }
    void progress(const std::string& message) const {
        if (options_.progress) {
            options_.progress(message);
        }
    }
    static CandidateMemory memory_of(Bytes capacity, const MemoryPlan& memory) {
        const auto largest = std::max_element(
            memory.programs.begin(), memory.programs.end(),
            [](const RankMemory& a, const RankMemory& b) { return a.total() < b.total(); });
        return {*largest, capacity};
    }

    // ---- work on one candidate, by any thread

    void bound(CandidateAnswer& answer) {
        std::optional<Setting> setting = scenarios_.setting(answer.candidate, answer.why_not);
        if (!setting) {
            return;
        }
        answer.plan = setting->scenario.plan;
        answer.terms = run_terms(plan_, plan_.clusters[answer.candidate.cluster], *setting);
        try {
            const Bytes capacity = setting->topology.device.memory;
            const StepBound least = bound_step(*std::move(setting), shared_);
            answer.memory = memory_of(capacity, least.memory);
            answer.bound = estimate_run(*answer.terms, least.time);
        } catch (const InputError& error) {  // a link that the cluster has not
            answer.why_not = error.diagnostics().front().message;
        }
    }

    void simulate(CandidateAnswer& answer) {
        std::string unused;
        const std::optional<Setting> setting = scenarios_.setting(answer.candidate, unused);
        R1_CHECK(setting);
        Simulation simulation = prepare(*setting, shared_);
        try {
            replay(*setting, simulation);
        } catch (const InputError& error) {  // longer than a timeline counts
            answer.bound.reset();
            answer.why_not = error.diagnostics().front().message;
            return;
        }
        answer.memory = memory_of(setting->topology.device.memory, simulation.memory);
        answer.run = estimate_run(*answer.terms, from_ps(simulation.timeline.makespan()));
        SimulatedStep& step = answer.step.emplace();
        step.path_resources = path_resources(simulation.dag, simulation.timeline,
                                             critical_path(simulation.graph, simulation.timeline));
        step.sensitivity = step_sensitivity(*setting, simulation, false);
        step.confidence = confidence_of(*setting, simulation);
        step.warnings = setting->warnings;
        step.warnings.insert(step.warnings.end(), simulation.warnings.begin(),
                             simulation.warnings.end());
    }

    // ---- the search

    void bound_all() {
        for_each_in_parallel(
            answers_.size(), options_.jobs, [this](std::size_t i) { bound(answers_[i]); },
            [this](std::size_t done) {
                progress(fmt::format("bounding candidates: {} of {} …", done, answers_.size()));
            });
        result_.bounded = static_cast<std::size_t>(
            std::count_if(answers_.begin(), answers_.end(),
                          [](const CandidateAnswer& answer) { return answer.bound.has_value(); }));
    }

    void simulate(const Indices& candidates) {
        Indices missing;
        std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(missing),
                     [this](std::size_t i) { return !answers_[i].run && answers_[i].bound; });
        for_each_in_parallel(
            missing.size(), options_.jobs, [&](std::size_t i) { simulate(answers_[missing[i]]); },
            [&](std::size_t done) {
                progress(
                    fmt::format("simulating candidates: {} so far …", result_.simulated + done));
            });
        result_.simulated += missing.size();
    }

    [[nodiscard]] std::vector<NeededChange> bound_misses(const CandidateAnswer& answer) const {
        return misses(plan_, answer, *answer.bound);
    }

    // Candidates with a bound that `wanted` takes, the smallest by `key` first.
    template <class Wanted, class Key>
    [[nodiscard]] Indices sorted(Wanted wanted, Key key) const {
        Indices result;
        for (std::size_t i = 0; i < answers_.size(); ++i) {
            if (answers_[i].bound && wanted(answers_[i])) {
                result.push_back(i);
            }
        }
        std::stable_sort(result.begin(), result.end(), [&](std::size_t a, std::size_t b) {
            return key(answers_[a]) < key(answers_[b]);
        });
        return result;
    }

    // Simulates candidates in order of what they need at least, until the next needs at least what
    // the best does: the first of the best by `needed(answer, run)`, among those that `accepted`
    // takes.
    struct Limits {
        std::size_t min = 0;
        std::size_t max = 0;
    };
    template <class Needed, class Accepted>
    std::optional<std::size_t> branch_and_bound(const Indices& order, const Limits& limits,
                                                Needed needed, Accepted accepted) {
        std::optional<std::size_t> best;
        double least = kInfinity;
        std::size_t taken = 0;
        while (taken < order.size() && taken < limits.max) {
            Indices round;
            while (taken < order.size() && taken < limits.max && round.size() < kRound &&
                   (taken < limits.min ||
                    needed(answers_[order[taken]], *answers_[order[taken]].bound) < least)) {
                round.push_back(order[taken++]);
            }
            if (round.empty()) {
                break;
            }
            simulate(round);
            for (const std::size_t i : round) {
                const CandidateAnswer& answer = answers_[i];
                if (answer.run && accepted(answer) && needed(answer, *answer.run) < least) {
                    least = needed(answer, *answer.run);
                    best = i;
                }
            }
        }
        return best;
    }

    std::optional<std::size_t> find_best() {
        const Indices order =
            sorted([this](const CandidateAnswer& answer) { return bound_misses(answer).empty(); },
                   [this](const CandidateAnswer& answer) { return value(*answer.bound); });
        return branch_and_bound(
            order,
            {static_cast<std::size_t>(plan_.search.simulate_min),
             static_cast<std::size_t>(plan_.search.simulate_max)},
            [this](const CandidateAnswer&, const RunEstimate& run) { return value(run); },
            [this](const CandidateAnswer& answer) {
                return misses(plan_, answer, *answer.run).empty();
            });
    }

    // What was simulated for another reason may turn out to be better.
    [[nodiscard]] std::optional<std::size_t> best_simulated(std::optional<std::size_t> best) const {
        for (std::size_t i = 0; i < answers_.size(); ++i) {
            const CandidateAnswer& answer = answers_[i];
            if (answer.run && misses(plan_, answer, *answer.run).empty() &&
                (!best || value(*answer.run) < value(*answers_[*best].run))) {
                best = i;
            }
        }
        return best;
    }

    // Up to search.simulate_min: of what is left, what misses fewest limits and needs least.
    void simulate_more() {
        Indices order =
            sorted([](const CandidateAnswer& answer) { return !answer.run; },
                   [this](const CandidateAnswer& answer) {
                       return std::pair(bound_misses(answer).size(), value(*answer.bound));
                   });
        const auto min = static_cast<std::size_t>(plan_.search.simulate_min);
        order.resize(std::min(order.size(), min - std::min(min, result_.simulated)));
        simulate(order);
    }

    // ---- nothing is feasible

    void find_nearest() {
        for (const char* constraint : {"goal.days", "constraints.usd", "constraints.gpus",
                                       "constraints.power_mw", "constraints.memory"}) {
            give_way(constraint);
        }
        if (!result_.nearest.empty()) {
            return;
        }
        // No single constraint is enough: the candidate that misses fewest.
        const auto count = [](const std::vector<NeededChange>& list) {
            return static_cast<double>(list.size());
        };
        const auto rank_of = [&](const CandidateAnswer& answer, const RunEstimate& run) {
            return std::pair(count(misses(plan_, answer, run)), value(run));
        };
        Indices order =
            sorted([](const CandidateAnswer&) { return true; },
                   [&](const CandidateAnswer& answer) { return rank_of(answer, *answer.bound); });
        order.resize(std::min(order.size(), kRound));
        simulate(order);
        std::erase_if(order, [this](std::size_t i) { return !answers_[i].run; });
        const auto best =
            std::min_element(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
                return rank_of(answers_[a], *answers_[a].run) <
                       rank_of(answers_[b], *answers_[b].run);
            });
        if (best != order.end()) {
            result_.nearest.push_back(
                {*best, misses(plan_, answers_[*best], *answers_[*best].run)});
        }
    }

    // Adds the candidate that meets all else and needs least of this.
    void give_way(const std::string& constraint) {
        const auto only_that = [&](const std::vector<NeededChange>& list) {
            return std::all_of(list.begin(), list.end(), [&](const NeededChange& miss) {
                return miss.constraint == constraint;
            });
        };
        const auto needed = [&](const CandidateAnswer& answer, const RunEstimate& run) {
            const std::vector<NeededChange> list = misses(plan_, answer, run);
            const auto miss = std::find_if(list.begin(), list.end(), [&](const NeededChange& each) {
                return each.constraint == constraint;
            });
            return miss == list.end() ? -kInfinity : miss->needed;
        };
        const Indices order =
            sorted([&](const CandidateAnswer& answer) { return only_that(bound_misses(answer)); },
                   [&](const CandidateAnswer& answer) {
                       return std::pair(needed(answer, *answer.bound), value(*answer.bound));
                   });
        const std::optional<std::size_t> best =
            branch_and_bound(order, {0, kNearestMax}, needed, [&](const CandidateAnswer& answer) {
                return only_that(misses(plan_, answer, *answer.run));
            });
        if (best) {
            result_.nearest.push_back(
                {*best, misses(plan_, answers_[*best], *answers_[*best].run)});
        }
    }

    // ---- the answer

    void explain(const std::optional<std::size_t>& best) {
        const double least = best ? value(*answers_[*best].run) : kInfinity;
        for (CandidateAnswer& answer : answers_) {
            if (!answer.bound) {
                answer.feasible = false;
                continue;
            }
            const RunEstimate& run = answer.run ? *answer.run : *answer.bound;
            const std::vector<NeededChange> missed = misses(plan_, answer, run);
            if (answer.run || !missed.empty()) {
                answer.feasible = missed.empty();
                answer.why_not = say(missed, answer, !answer.run);
            } else if (value(run) >= least) {
                answer.why_not = plan_.objective == Objective::cost
                                     ? fmt::format("costs at least {:.0f} USD, the best {:.0f}",
                                                   run.cost_usd, least)
                                     : fmt::format("takes at least {:.2f} days, the best {:.2f}",
                                                   run.days, least);
            } else {
                result_.proven = false;
                answer.why_not = fmt::format("not simulated: search.simulate_max is {}",
                                             plan_.search.simulate_max);
            }
        }
    }

    // Feasible, undecided, simulated, bounded, and no candidate at all.
    [[nodiscard]] std::pair<int, double> place_of(const CandidateAnswer& answer) const {
        if (!answer.bound) {
            return {4, 0};
        }
        if (!answer.feasible) {
            return {1, value(*answer.bound)};
        }
        if (answer.run) {
            return {*answer.feasible ? 0 : 2, value(*answer.run)};
        }
        return {3, value(*answer.bound)};
    }

    void rank() {
        Indices order(answers_.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
            return place_of(answers_[a]) < place_of(answers_[b]);
        });
        Indices place(order.size());
        for (std::size_t i = 0; i < order.size(); ++i) {
            place[order[i]] = i;
            result_.candidates.push_back(std::move(answers_[order[i]]));
        }
        for (NearestAnswer& nearest : result_.nearest) {
            nearest.candidate = place[nearest.candidate];
        }
    }

    const CapacityPlan& plan_;
    const SearchOptions& options_;
    const CandidateScenarios& scenarios_;
    SharedWork shared_;
    std::vector<CandidateAnswer> answers_;
    SearchResult result_;
};

}  // namespace

SearchResult search_plan(const CapacityPlan& plan, const CandidateScenarios& scenarios,
                         const SearchOptions& options) {
    return Search(plan, scenarios, options).run();
}

}  // namespace r1
