// The points that are left, and which of them a worker takes next.
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <vector>

namespace r1 {

// Workers keep the last graph that they built. So each stays with a group of points that share one,
// then begins a group of its own, and helps with another's only when all are begun.
class PointQueue {
public:
    PointQueue(std::vector<std::vector<std::size_t>> groups, std::size_t workers);

    // Nothing: no point is left, or stop() was called. May be called by several threads.
    std::optional<std::size_t> take(std::size_t worker);
    void stop();

private:
    struct Group {
        std::vector<std::size_t> left;  // the last one next
        bool is_begun = false;
    };
    [[nodiscard]] std::size_t choose(std::size_t worker) const;

    std::mutex mutex_;
    std::vector<Group> groups_;
    std::vector<std::optional<std::size_t>> group_of_;  // by worker
};

}  // namespace r1
