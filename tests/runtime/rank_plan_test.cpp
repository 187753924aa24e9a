#include "runtime/rank_plan.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "model/workload/train.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/training_setup.hpp"

namespace r1 {

TEST_CASE("rank plan: an op is behind all that the graph lets it depend on", "[runtime]") {
    const ExecutionGraph graph =
        build_training_graph(test::tiny_setup(ScheduleKind::dualpipe, 2, 4));
    const Dependencies dependencies(graph);
    const RankPlan plan(graph, dependencies, 0);
    std::map<ProgramOp, std::size_t> index;
    for (std::size_t i = 0; i < plan.ops.size(); ++i) {
        index[plan.ops[i].at] = i;
    }
    // All that comes before an op, one by one.
    std::vector<std::vector<bool>> before(plan.ops.size(), std::vector<bool>(plan.ops.size()));
    std::size_t of_others = 0;
    for (std::size_t i = 0; i < plan.ops.size(); ++i) {
        std::vector<ProgramOp> direct;
        dependencies.append_local(plan.ops[i].at, direct);
        for (const ProgramOp& at : direct) {
            const std::size_t other = index.at(at);
            before[i][other] = true;
            std::transform(before[other].begin(), before[other].end(), before[i].begin(),
                           before[i].begin(), std::logical_or<>());
        }
        for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
            const std::vector<std::uint32_t>& ops = plan.streams[stream];
            const auto last = std::find_if(ops.rbegin(), ops.rend(),
                                           [&](std::uint32_t op) { return before[i][op]; });
            const auto count = static_cast<std::uint32_t>(ops.rend() - last);
            REQUIRE(plan.ops[i].behind[stream] == count);
            const bool is_own = stream == static_cast<std::size_t>(plan.ops[i].op->stream);
            of_others += is_own ? 0 : count;
        }
    }
    CHECK(of_others > 0);
}

}  // namespace r1
