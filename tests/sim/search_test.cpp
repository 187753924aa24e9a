// The search against trying everything, and what a fine-tuning run adds.
#include <algorithm>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "sim/search/search.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

namespace r1 {
namespace {

// The tiny model on up to 16 ranks of CPUs: few curves to fit.
Json small_plan() {
    return Json::parse(R"({
        "schema": "r1sim.plan/1", "name": "small",
        "goal": {"kind": "pretrain", "tokens": 1e10},
        "model": "tiny-r1",
        "workload": {"sequence_length": 64, "global_batch_sequences": 96},
        "candidates": {
            "clusters": [{"cluster": "cpu_8x2", "calibration": "assumed_cpu"}],
            "gpus": [8, 16], "pipeline_parallel": [1, 2], "expert_parallel": [4],
            "schedule": ["1f1b", "zb1p"], "comm_sms": [0]
        },
        "prices": "rental_2usd",
        "search": {"simulate_min": 0}
    })");
}

SearchResult searched(const Json& json, int jobs = 2) {
    const test::TemporaryFolder folder("search");
    write_file_atomically(folder / "plan.json", json.dump());
    const CapacityPlan plan = load_capacity_plan(folder / "plan.json", {});
    SearchOptions options;
    options.jobs = jobs;
    return search_plan(plan, CandidateScenarios(plan), options);
}

Json with_limits(const char* objective, double days) {
    Json plan = small_plan();
    plan["objective"] = objective;
    plan["goal"]["days"] = days;
    return plan;
}

TEST_CASE("search: leaving candidates out finds the best of all", "[sim][search][slow]") {
    Json everything = small_plan();
    everything["search"]["simulate_min"] = 1000;
    const SearchResult all = searched(everything);
    REQUIRE(all.simulated == 8);
    std::vector<double> days;
    for (const CandidateAnswer& answer : all.candidates) {
        days.push_back(answer.run->days);
    }
    std::sort(days.begin(), days.end());
    for (const char* objective : {"cost", "time"}) {
        for (const std::size_t place : {4U, 7U}) {
            INFO(objective << " within " << days[place] << " days");
            const SearchResult some = searched(with_limits(objective, days[place]));
            const auto value = [&](const CandidateAnswer& answer) {
                return objective == std::string("cost") ? answer.run->cost_usd : answer.run->days;
            };
            double best = 1e300;
            for (const CandidateAnswer& answer : all.candidates) {
                best = answer.run->days <= days[place] ? std::min(best, value(answer)) : best;
            }
            REQUIRE(some.feasible);
            CHECK(some.proven);
            CHECK(value(some.candidates.front()) == best);
        }
    }
}

TEST_CASE("search: without a feasible candidate, the nearest needs what the best of all does",
          "[sim][search]") {
    const SearchResult free = searched(with_limits("time", 1e9));
    const SearchResult late = searched(with_limits("time", 1e-9));
    CHECK_FALSE(late.feasible);
    REQUIRE(late.nearest.size() == 1);
    REQUIRE(late.nearest[0].changes.size() == 1);
    CHECK(late.nearest[0].changes[0].constraint == "goal.days");
    CHECK(late.nearest[0].changes[0].needed == free.candidates.front().run->days);
    CHECK(late.candidates[late.nearest[0].candidate].run->days ==
          free.candidates.front().run->days);
}

TEST_CASE("search: no more are simulated than the plan lets, and the answer says so",
          "[sim][search]") {
    for (const double days : {1e9, 1e-9}) {
        INFO(days << " days");
        Json plan = with_limits("time", days);
        plan["search"] = {{"simulate_max", 3}};
        const SearchResult result = searched(plan);
        CHECK(result.simulated == 3);
        CHECK(std::count_if(result.candidates.begin(), result.candidates.end(),
                            [](const CandidateAnswer& answer) { return answer.run.has_value(); }) ==
              3);
        CHECK(result.feasible == (days > 1));
        CHECK(result.nearest.size() == (days > 1 ? 0 : 1));
    }
    // By its bound, the cheap candidate could be in time, and is not; the other would be.
    Json two = small_plan();
    two["candidates"].erase("gpus");
    two["candidates"]["pipeline_parallel"] = {1};
    two["candidates"]["schedule"] = {"1f1b"};
    Json& clusters = two["candidates"]["clusters"];
    clusters.push_back(clusters[0]);
    clusters[0].update({{"usd_per_gpu_hour", 1}, {"gpus", {8}}});
    clusters[1].update({{"usd_per_gpu_hour", 99}, {"gpus", {16}}});
    two["search"] = {{"simulate_max", 1}};
    const SearchResult free = searched(two);
    CHECK(free.proven);
    const CandidateAnswer& cheap = free.candidates.front();
    two["goal"]["days"] = (cheap.bound->days + cheap.run->days) / 2;
    const SearchResult undecided = searched(two);
    CHECK_FALSE(undecided.feasible);
    CHECK_FALSE(undecided.proven);
    CHECK(undecided.simulated == 1);
    CHECK(undecided.nearest.size() == 1);
}

TEST_CASE("search: a run that failures never let end is no candidate", "[sim][search]") {
    Json plan = small_plan();
    plan["prices"] = {{"schema", "r1sim.prices/1"},
                      {"usd_per_gpu_hour", 0},
                      {"failures", {{"gpu_mtbf_hours", 1e-9}}},
                      {"restart_s", 3600}};
    const SearchResult result = searched(plan);
    CHECK_FALSE(result.feasible);
    CHECK(result.proven);
    CHECK(result.bounded == 0);
    for (const CandidateAnswer& answer : result.candidates) {
        CHECK(answer.feasible == false);
        CHECK(answer.why_not.find("never ends") == 0);
    }
    // Half the time would go to steps if failures came so seldom.
    REQUIRE(result.nearest.size() == 1);
    REQUIRE(result.nearest[0].changes.size() == 1);
    const NeededChange& change = result.nearest[0].changes[0];
    CHECK(change.constraint == "failures.mtbf_hours");
    const CandidateAnswer& nearest = result.candidates[result.nearest[0].candidate];
    CHECK(change.given == nearest.terms->job.mtbf.value() / 3600);
    RunTerms terms = *nearest.terms;
    terms.job.mtbf = Seconds(change.needed * 3600);
    CHECK(estimate_run(terms, *nearest.endless_step).goodput == Approx(0.5).epsilon(1e-5));
}

TEST_CASE("search: where no candidate is a scenario, the nearest number that makes one",
          "[sim][search]") {
    Json plan = small_plan();
    plan["candidates"]["gpus"] = {6};  // 2 ranks of 3, or 1 of 6, and experts on 4
    const SearchResult result = searched(plan);
    REQUIRE_FALSE(result.nearest.empty());
    REQUIRE(result.nearest[0].changes.size() == 1);
    const NeededChange& change = result.nearest[0].changes[0];
    plan["candidates"][change.constraint.substr(change.constraint.find('.') + 1)] = {change.needed};
    CHECK(searched(plan).feasible);
}

TEST_CASE("search: fine-tuning begins with a checkpoint", "[sim][search]") {
    Json plan = small_plan();
    plan["candidates"]["gpus"] = {16};
    plan["candidates"]["pipeline_parallel"] = {2};
    plan["candidates"]["schedule"] = {"1f1b"};
    const SearchResult pretrain = searched(plan);
    plan["goal"]["kind"] = "fine_tune";
    const SearchResult fine_tune = searched(plan);
    const CandidateAnswer& answer = fine_tune.candidates.front();
    CHECK(answer.run->gpu_hours_productive ==
          pretrain.candidates.front().run->gpu_hours_productive);
    CHECK(answer.run->days - pretrain.candidates.front().run->days ==
          Approx(answer.terms->job.restart.value() / 86'400));
    CHECK(answer.run->failures ==
          Approx(answer.run->days * 86'400 / answer.terms->job.mtbf.value()).epsilon(1e-12));
}

TEST_CASE("search: candidates of uneven experts and stragglers stay above their bounds",
          "[sim][search]") {
    Json plan = small_plan();
    plan["routing"] = {{"source", "zipf"}, {"skew", 0.3}};
    plan["candidates"]["gpus"] = {16};
    plan["candidates"]["schedule"] = {"zb1p"};
    plan["replay"] = {{"stragglers", {{"per_rank", 0.02}, {"per_chunk", 0.02}}}};
    plan["search"]["simulate_min"] = 1000;
    for (const CandidateAnswer& answer : searched(plan).candidates) {
        REQUIRE(answer.run);
        CHECK(answer.bound->step_time_s <= answer.run->step_time_s);
    }
}

}  // namespace
}  // namespace r1
