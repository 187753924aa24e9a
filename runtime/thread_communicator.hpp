// Ranks that are threads of one process: for tests, and for jobs that fit one machine's memory.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "runtime/communicator.hpp"

namespace r1 {

// What the ranks share. A send copies its message, so it is complete at once.
class ThreadWorld {
public:
    ThreadWorld(int ranks, int ranks_per_node);
    ~ThreadWorld();
    ThreadWorld(const ThreadWorld&) = delete;
    ThreadWorld& operator=(const ThreadWorld&) = delete;

    // One rank's end; lives as long as the world.
    [[nodiscard]] Communicator& end(int rank);

    // Runs `work` once for each rank, each in a thread of its own. A rank that throws aborts the
    // others; when all have ended, the first exception is thrown again.
    void run(const std::function<void(Communicator&)>& work);

private:
    class State;
    class End;
    class Receive;

    std::unique_ptr<State> state_;
    std::vector<std::unique_ptr<End>> ends_;
};

}  // namespace r1
