#include "sim/search/search.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/timeline/critical_path.hpp"
#include "sim/path_resources.hpp"
#include "sim/search/endless_run.hpp"
#include "sim/search/limits.hpp"
#include "sim/search/nearest_scenario.hpp"
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
constexpr std::array<const char*, 5> kConstraints = {"goal.days", "constraints.usd",
                                                     "constraints.gpus", "constraints.power_mw",
                                                     "constraints.memory"};

class Search {
public:
    Search(const CapacityPlan& plan, const CandidateScenarios& scenarios,
           const SearchOptions& options)
        : plan_(plan),
          options_(options),
          scenarios_(scenarios),
          shared_(options.jobs),
          left_(static_cast<std::size_t>(plan.search.simulate_max)) {
        for (Candidate& candidate : enumerate_candidates(plan)) {
            answers_.push_back({std::move(candidate), {}, {}, {}, {}, {}, {}, {}, {}, {}});
        }
    }

    SearchResult run() && {
        bound_all();
        find_best();
        if (!best_simulated()) {
            simulate_near_misses();
        }
        simulate_more();  // one of which may turn out to be better
        const std::optional<std::size_t> best = best_simulated();
        if (!best) {
            find_nearest();
        }
        explain(best);
        result_.feasible = best.has_value();
        result_.simulated = simulated();
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
            const RunEstimate run = estimate_run(*answer.terms, least.time);
            answer.why_not = why_endless(*answer.terms, run);
            if (answer.why_not.empty()) {
                answer.bound = run;
            } else {
                answer.endless_step = least.time;
            }
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
            answer.why_not = error.diagnostics().front().message;
            return;
        }
        const Seconds step_time = from_ps(simulation.timeline.makespan());
        const RunEstimate run = estimate_run(*answer.terms, step_time);
        answer.why_not = why_endless(*answer.terms, run);
        if (!answer.why_not.empty()) {
            answer.endless_step = step_time;
            return;
        }
        answer.run = run;
        answer.memory = memory_of(setting->topology.device.memory, simulation.memory);
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

    // Those that are not yet, as far as search.simulate_max lets.
    void simulate(const Indices& candidates) {
        Indices missing;
        std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(missing),
                     [this](std::size_t i) { return !answers_[i].run && answers_[i].bound; });
        missing.resize(std::min(missing.size(), left_));
        left_ -= missing.size();
        for_each_in_parallel(
            missing.size(), options_.jobs, [&](std::size_t i) { simulate(answers_[missing[i]]); },
            [&](std::size_t done) {
                progress(fmt::format("simulating candidates: {} so far …", simulated() + done));
            });
        for (const std::size_t i : missing) {
            if (!answers_[i].run) {  // there is none, and why_not says why
                answers_[i].bound.reset();
            }
        }
    }
    [[nodiscard]] std::size_t simulated() const {
        return static_cast<std::size_t>(
            std::count_if(answers_.begin(), answers_.end(),
                          [](const CandidateAnswer& answer) { return answer.run.has_value(); }));
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
    // the best of those that `accepted` takes does: limits.min of them at least, limits.max at
    // most.
    struct Limits {
        std::size_t min = 0;
        std::size_t max = 0;
    };
    template <class Needed, class Accepted>
    void branch_and_bound(const Indices& order, const Limits& limits, Needed needed,
                          Accepted accepted) {
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
                if (answer.run && accepted(answer)) {
                    least = std::min(least, needed(answer, *answer.run));
                }
            }
        }
    }

    // Of the simulated candidates that `accepted` takes, the first with the least key.
    template <class Accepted, class Key>
    [[nodiscard]] std::optional<std::size_t> least_simulated(Accepted accepted, Key key) const {
        std::optional<std::size_t> best;
        for (std::size_t i = 0; i < answers_.size(); ++i) {
            if (answers_[i].run && accepted(answers_[i]) &&
                (!best || key(answers_[i]) < key(answers_[*best]))) {
                best = i;
            }
        }
        return best;
    }

    [[nodiscard]] std::vector<NeededChange> run_misses(const CandidateAnswer& answer) const {
        return misses(plan_, answer, *answer.run);
    }

    void find_best() {
        const Indices order =
            sorted([this](const CandidateAnswer& answer) { return bound_misses(answer).empty(); },
                   [this](const CandidateAnswer& answer) { return value(*answer.bound); });
        branch_and_bound(
            order, {static_cast<std::size_t>(plan_.search.simulate_min), order.size()},
            [this](const CandidateAnswer&, const RunEstimate& run) { return value(run); },
            [this](const CandidateAnswer& answer) { return run_misses(answer).empty(); });
    }

    [[nodiscard]] std::optional<std::size_t> best_simulated() const {
        return least_simulated(
            [this](const CandidateAnswer& answer) { return run_misses(answer).empty(); },
            [this](const CandidateAnswer& answer) { return value(*answer.run); });
    }

    // Up to search.simulate_min: of what is left, what misses fewest limits and needs least.
    void simulate_more() {
        Indices order =
            sorted([](const CandidateAnswer& answer) { return !answer.run; },
                   [this](const CandidateAnswer& answer) {
                       return std::pair(bound_misses(answer).size(), value(*answer.bound));
                   });
        const auto min = static_cast<std::size_t>(plan_.search.simulate_min);
        order.resize(std::min(order.size(), min - std::min(min, simulated())));
        simulate(order);
    }

    // ---- nothing is feasible

    static bool only(const char* constraint, const std::vector<NeededChange>& list) {
        return std::all_of(list.begin(), list.end(),
                           [&](const NeededChange& miss) { return miss.constraint == constraint; });
    }
    [[nodiscard]] double needed(const char* constraint, const CandidateAnswer& answer,
                                const RunEstimate& run) const {
        const std::vector<NeededChange> list = misses(plan_, answer, run);
        const auto miss = std::find_if(list.begin(), list.end(), [&](const NeededChange& each) {
            return each.constraint == constraint;
        });
        return miss == list.end() ? -kInfinity : miss->needed;
    }
    [[nodiscard]] std::pair<std::size_t, double> misfit(const CandidateAnswer& answer,
                                                        const RunEstimate& run) const {
        return {misses(plan_, answer, run).size(), value(run)};
    }

    // What could meet all constraints but one, by what it needs of that one; if nothing does, what
    // misses fewest.
    void simulate_near_misses() {
        bool is_one_enough = false;
        for (const char* constraint : kConstraints) {
            const auto meets_others = [&](const CandidateAnswer& answer) {
                return only(constraint, run_misses(answer));
            };
            branch_and_bound(
                sorted(
                    [&](const CandidateAnswer& answer) {
                        return only(constraint, bound_misses(answer));
                    },
                    [&](const CandidateAnswer& answer) {
                        return std::pair(needed(constraint, answer, *answer.bound),
                                         value(*answer.bound));
                    }),
                {0, kNearestMax},
                [&](const CandidateAnswer& answer, const RunEstimate& run) {
                    return needed(constraint, answer, run);
                },
                meets_others);
            is_one_enough = is_one_enough ||
                            std::any_of(answers_.begin(), answers_.end(), [&](const auto& answer) {
                                return answer.run && meets_others(answer);
                            });
        }
        if (!is_one_enough) {
            Indices order = sorted(
                [](const CandidateAnswer&) { return true; },
                [this](const CandidateAnswer& answer) { return misfit(answer, *answer.bound); });
            order.resize(std::min(order.size(), kRound));
            simulate(order);
        }
    }

    void find_nearest() {
        const auto add = [this](const std::optional<std::size_t>& nearest) {
            if (nearest) {
                result_.nearest.push_back({*nearest, run_misses(answers_[*nearest])});
            }
        };
        for (const char* constraint : kConstraints) {
            add(least_simulated(
                [&](const CandidateAnswer& answer) { return only(constraint, run_misses(answer)); },
                [&](const CandidateAnswer& answer) {
                    return std::pair(needed(constraint, answer, *answer.run), value(*answer.run));
                }));
        }
        if (result_.nearest.empty()) {
            add(least_simulated(
                [](const CandidateAnswer&) { return true; },
                [this](const CandidateAnswer& answer) { return misfit(answer, *answer.run); }));
        }
        if (result_.nearest.empty()) {
            find_nearest_to_end();
        }
        if (std::none_of(answers_.begin(), answers_.end(),
                         [](const CandidateAnswer& answer) { return answer.plan.has_value(); })) {
            result_.nearest = nearest_scenarios(plan_, scenarios_);
        }
    }

    // Of the runs that never end, the one that needs fewest and least changes by its bound.
    void find_nearest_to_end() {
        const auto changes = [this](const CandidateAnswer& answer) {
            return changes_to_end(plan_, answer, *answer.endless_step);
        };
        std::optional<std::size_t> nearest;
        std::pair<std::size_t, double> least;
        for (std::size_t i = 0; i < answers_.size(); ++i) {
            if (!answers_[i].endless_step) {
                continue;
            }
            const std::vector<NeededChange> list = changes(answers_[i]);
            if (list.empty()) {
                continue;
            }
            const NeededChange& first = list.front();
            const std::pair size(list.size(), std::abs(std::log(first.needed / first.given)));
            if (!nearest || size < least) {
                nearest = i;
                least = size;
            }
        }
        if (nearest) {
            progress("simulating the nearest candidate …");
            simulate(answers_[*nearest]);
            result_.nearest.push_back({*nearest, changes(answers_[*nearest])});
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
                answer.why_not = say_worse(plan_.objective, value(run), least);
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
    std::size_t left_ = 0;  // of search.simulate_max
};

}  // namespace

SearchResult search_plan(const CapacityPlan& plan, const CandidateScenarios& scenarios,
                         const SearchOptions& options) {
    return Search(plan, scenarios, options).run();
}

}  // namespace r1
