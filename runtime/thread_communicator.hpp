// Ranks that are threads of one process: for tests, and for jobs that fit one machine's memory. Or
// one GPU's: then they are logical ranks that share it (loopback).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "runtime/communicator.hpp"
#include "runtime/memory.hpp"

namespace r1 {

// What the ranks share. A send copies its message, so it is complete at once.
class ThreadWorld {
public:
    // `memory`: of the ranks' devices, where their messages are copied.
    ThreadWorld(int ranks, int ranks_per_node, Memory& memory = host_memory());
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
