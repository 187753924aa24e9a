#include "tools/sweep/point_queue.hpp"

#include <algorithm>

namespace r1 {

PointQueue::PointQueue(std::vector<std::vector<std::size_t>> groups, std::size_t workers)
    : group_of_(workers) {
    for (std::vector<std::size_t>& points : groups) {
        std::reverse(points.begin(), points.end());
        groups_.push_back({std::move(points), false});
    }
}

std::size_t PointQueue::choose(std::size_t worker) const {
    if (group_of_[worker] && !groups_[*group_of_[worker]].left.empty()) {
        return *group_of_[worker];
    }
    const auto rank = [](const Group& group) {
        return std::pair(!group.is_begun && !group.left.empty(), group.left.size());
    };
    const auto best =
        std::max_element(groups_.begin(), groups_.end(),
                         [&](const Group& a, const Group& b) { return rank(a) < rank(b); });
    return static_cast<std::size_t>(best - groups_.begin());
}

std::optional<std::size_t> PointQueue::take(std::size_t worker) {
    const std::lock_guard lock(mutex_);
    const std::size_t chosen = choose(worker);
    if (chosen == groups_.size() || groups_[chosen].left.empty()) {
        return std::nullopt;
    }
    Group& group = groups_[chosen];
    group.is_begun = true;
    group_of_[worker] = chosen;
    const std::size_t point = group.left.back();
    group.left.pop_back();
    return point;
}

void PointQueue::stop() {
    const std::lock_guard lock(mutex_);
    groups_.clear();
    group_of_.assign(group_of_.size(), std::nullopt);
}

}  // namespace r1
