#include "sim/max_min.hpp"

#include <algorithm>
#include <limits>

#include "model/base/check.hpp"

namespace r1 {

namespace {

constexpr double kNotFixed = -1;

double cap_of(const FairFlow& flow) { return flow.rate_max / flow.weight; }

}  // namespace

MaxMinSolver::MaxMinSolver(std::vector<double> capacities)
    : capacities_(std::move(capacities)), local_(capacities_.size(), FairFlow::kNoLink) {
    R1_CHECK(std::all_of(capacities_.begin(), capacities_.end(), [](double c) { return c > 0; }));
}

// Finds the links, and the flows of each.
void MaxMinSolver::collect(std::span<FairFlow* const> flows) {
    used_.clear();
    links_.clear();
    capped_.clear();
    for (FairFlow* flow : flows) {
        flow->rate = kNotFixed;
        if (flow->rate_max > 0) {
            capped_.push_back(flow);
        }
        flow->for_links([&](std::uint32_t link) {
            std::uint32_t& local = local_[link];
            if (local == FairFlow::kNoLink) {
                local = static_cast<std::uint32_t>(links_.size());
                used_.push_back(link);
                links_.push_back({capacities_[link]});
            }
            links_[local].weight += flow->weight;
            ++links_[local].end;
        });
    }
    std::uint32_t total = 0;
    for (Link& link : links_) {
        link.begin = total;
        total += link.end;
        link.end = link.begin;
    }
    users_.resize(total);
    for (FairFlow* flow : flows) {
        flow->for_links([&](std::uint32_t link) { users_[links_[local_[link]].end++] = flow; });
    }
    std::stable_sort(capped_.begin(), capped_.end(),
                     [](const FairFlow* a, const FairFlow* b) { return cap_of(*a) < cap_of(*b); });
}

MaxMinSolver::Level MaxMinSolver::level_of(std::uint32_t link) const {
    return {std::max(links_[link].left, 0.0) / links_[link].weight, link};
}

void MaxMinSolver::fix(FairFlow& flow, double rate) {
    flow.rate = rate;
    flow.for_links([&](std::uint32_t link) {
        Link& l = links_[local_[link]];
        l.left -= rate;
        l.weight -= flow.weight;
    });
}

void MaxMinSolver::solve_alone(FairFlow& flow) const {
    double share = std::numeric_limits<double>::infinity();
    flow.for_links(
        [&](std::uint32_t link) { share = std::min(share, capacities_[link] / flow.weight); });
    const bool capped = flow.rate_max > 0 && cap_of(flow) <= share;
    flow.rate = capped ? flow.rate_max : flow.weight * share;
}

void MaxMinSolver::solve(std::span<FairFlow* const> flows) {
    collect(flows);
    levels_.clear();
    for (std::uint32_t link = 0; link < links_.size(); ++link) {
        levels_.push_back(level_of(link));
    }
    std::make_heap(levels_.begin(), levels_.end(), Later{});
    auto capped = capped_.begin();
    while (!levels_.empty()) {
        const Level lowest = levels_.front();
        while (capped != capped_.end() && (*capped)->rate != kNotFixed) {
            ++capped;
        }
        if (capped != capped_.end() && cap_of(**capped) <= lowest.share) {
            fix(**capped, (*capped)->rate_max);
            continue;
        }
        std::pop_heap(levels_.begin(), levels_.end(), Later{});
        levels_.pop_back();
        // Shares only grow while flows are fixed: one that grew since it was pushed waits.
        const Link& link = links_[lowest.link];
        if (link.weight <= 0) {
            continue;
        }
        const Level level = level_of(lowest.link);
        if (level.share > lowest.share) {
            levels_.push_back(level);
            std::push_heap(levels_.begin(), levels_.end(), Later{});
            continue;
        }
        for (std::uint32_t i = link.begin; i < link.end; ++i) {
            if (users_[i]->rate == kNotFixed) {
                fix(*users_[i], users_[i]->weight * lowest.share);
            }
        }
    }
    for (const std::uint32_t link : used_) {
        local_[link] = FairFlow::kNoLink;
    }
}

}  // namespace r1
