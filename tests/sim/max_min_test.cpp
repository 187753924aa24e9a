// Rates of the max-min solver against what defines them.
#include "sim/max_min.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "model/base/rng.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

constexpr double kSlack = 1e-9;

// No link carries more than it can, and each flow has its cap, or a full link on which nobody has
// more for their weight: then nothing can be given without taking from one that has less.
void check_fair(const std::vector<FairFlow>& flows, const std::vector<double>& capacities) {
    std::vector<double> used(capacities.size(), 0);
    std::vector<double> most(capacities.size(), 0);
    for (const FairFlow& flow : flows) {
        for (const std::uint32_t link : flow.links) {
            if (link != FairFlow::kNoLink) {
                used[link] += flow.rate;
                most[link] = std::max(most[link], flow.rate / flow.weight);
            }
        }
    }
    for (std::size_t link = 0; link < capacities.size(); ++link) {
        CHECK(used[link] <= capacities[link] * (1 + kSlack));
    }
    for (const FairFlow& flow : flows) {
        CHECK(flow.rate > 0);
        const bool capped = flow.rate_max > 0 && flow.rate >= flow.rate_max * (1 - kSlack);
        const bool bound = std::any_of(flow.links.begin(), flow.links.end(), [&](auto link) {
            return link != FairFlow::kNoLink && used[link] >= capacities[link] * (1 - kSlack) &&
                   flow.rate / flow.weight >= most[link] * (1 - kSlack);
        });
        CHECK((capped || bound));
        CHECK((flow.rate_max == 0 || flow.rate <= flow.rate_max * (1 + kSlack)));
    }
}

TEST_CASE("max-min: rates are feasible, and none can grow fairly", "[sim][engine]") {
    const Rng rng(11, 0);
    std::uint64_t drawn = 0;
    const auto below = [&](std::size_t count) {
        return static_cast<std::size_t>(rng.uniform(drawn++) * static_cast<double>(count));
    };
    for (int round = 0; round < 200; ++round) {
        std::vector<double> capacities(1 + below(8));
        for (double& capacity : capacities) {
            capacity = rng.uniform(drawn++) < 0.5 ? 10 : 1 + 20 * rng.uniform(drawn);
        }
        MaxMinSolver solver(capacities);
        std::vector<FairFlow> flows(1 + below(20));
        for (FairFlow& flow : flows) {
            // One to four links of all.
            std::vector<std::uint32_t> links(capacities.size());
            std::iota(links.begin(), links.end(), 0U);
            const std::size_t count = 1 + below(std::min(links.size(), flow.links.size()));
            for (std::size_t i = 0; i < count; ++i) {
                std::swap(links[i], links[i + below(links.size() - i)]);
                flow.links[i] = links[i];
            }
            flow.weight = static_cast<double>(1 + below(4));
            flow.rate_max = below(4) == 0 ? 0.1 + 3 * rng.uniform(drawn++) : 0;
        }
        std::vector<FairFlow*> given;
        for (FairFlow& flow : flows) {
            given.push_back(&flow);
        }
        solver.solve(given);
        check_fair(flows, capacities);
        // And again: the solver keeps nothing of what it solved.
        const double first = flows.front().rate;
        solver.solve(given);
        CHECK(flows.front().rate == first);
    }
}

}  // namespace
}  // namespace r1
