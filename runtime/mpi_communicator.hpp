// Ranks that are processes, started by mpirun. Needs a build with MPI (R1_HAVE_MPI, library
// r1_mpi).
#pragma once

#include <cstdint>
#include <functional>

#include "runtime/communicator.hpp"

namespace r1 {

// Runs `work` as this process's rank of the job, between MPI's start and end: once a process. An
// exception that leaves `work` aborts the job with its text and exit code.
//
// An abort prints its text on stderr and ends all processes of the job within 5 s, mpirun with the
// abort's code: calls of other ranks do not throw, their processes are gone. The job also ends when
// a process is killed, or dies of an exception in a thread of its own: mpirun sees to that.
//
// Throws FeatureError where MPI does not allow calls from several threads at once.
void run_mpi_rank(int ranks_per_node, const std::function<void(Communicator&)>& work);

// The MPI tag of a channel, in [0, tag_max]. Channels up to tag_max / 2 have tags of their own
// (2^30 of them under OpenMPI); larger ones are hashed into the other half, where two can meet.
// Messages of two channels with one tag would be taken for each other, so starting a message while
// one of the other channel is in flight at that rank throws CommunicatorError. Small channels are
// always safe; of n large ones in use, two meet with a probability of n^2 / 2^31.
int mpi_tag(std::uint64_t channel, int tag_max);

}  // namespace r1
