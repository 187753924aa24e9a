#include <algorithm>
#include <chrono>
#include <thread>

#include <r1_version.hpp>

#include "model/base/json.hpp"
#include "sim/search/search.hpp"
#include "tools/cli.hpp"
#include "tools/report/plan_answer.hpp"

namespace r1 {

namespace {

int run_plan(const Invocation& invocation) {
    const auto begin = std::chrono::steady_clock::now();
    const CapacityPlan plan =
        load_capacity_plan(invocation.text("plan"), invocation.scenario_overrides());
    SearchOptions options;
    options.jobs = invocation.has("jobs")
                       ? invocation.get<int>("jobs")
                       : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    options.progress = [&](const std::string& message) { invocation.progress(message); };
    const CandidateScenarios scenarios(plan);
    const SearchResult result = search_plan(plan, scenarios, options);
    invocation.progress("");
    Json answer = plan_answer_json(plan, scenarios, result);
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
    answer["run_info"] = {
        {"wall_s", wall.count()}, {"jobs", options.jobs}, {"version", R1_VERSION}};
    invocation.answer(answer, plan_answer_table(answer, invocation.color()));
    return result.feasible ? kOk : kInfeasible;
}

}  // namespace

Command plan_command() {
    Command command;
    command.name = "plan";
    command.summary = "Finds the cluster and the parallel plan that train so many tokens by then.";
    command.arguments = "PLAN";
    command.positional = "plan";
    command.examples = {"plan scenarios/plan_pretrain_30_days_h100.json",
                        "plan scenarios/plan_pretrain_14.8t.json --json -o answer.json",
                        "plan scenarios/plan_pretrain_30_days_h100.json --set goal.days=60"};
    command.add_options = [](po::options_description& options) {
        options.add_options()("plan", po::value<std::string>()->value_name("PLAN"), "plan file");
    };
    command.run = run_plan;
    return command;
}

}  // namespace r1
