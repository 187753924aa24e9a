// Who simulates the points of a sweep: worker processes of this machine, and those of other ranks
// under mpirun or srun.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "runtime/communicator.hpp"
#include "tools/sweep/point_queue.hpp"
#include "tools/sweep/sweep.hpp"

namespace r1 {

// The line of a point; takes as long as the simulation. By one thread at a time.
using PointWorker = std::function<std::string(std::size_t point)>;

// A worker process of this machine, started at its first point as `r1sim` with these arguments.
// Where it dies, the point is tried a second time in a new one; if that dies too, its line says so.
// Throws InputError if the process reads another sweep.
PointWorker local_worker(const Sweep& sweep, std::vector<std::string> arguments);

// Takes points off the queue with all workers at once, each with a thread. `done` is called by one
// thread at a time. Rethrows the first exception of either, once all workers are idle.
void work_off(PointQueue& queue, const std::vector<PointWorker>& workers,
              const std::function<void(std::size_t point, const std::string& line)>& done);

// Workers of other ranks, `slots` of each. Those ranks serve until they are released.
std::vector<PointWorker> remote_workers(Communicator& communicator, int slots);
void release_ranks(Communicator& communicator, int slots);
// One worker a slot. Returns when rank 0 releases this rank.
void serve_rank_0(Communicator& communicator, const std::vector<PointWorker>& workers);

}  // namespace r1
