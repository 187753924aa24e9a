// What every transport must do, as work that all ranks of a job run: threads in r1_unit_tests,
// processes in r1_mpi_tests. A case that fails throws, which aborts the job.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "runtime/communicator.hpp"

namespace r1::testing {

struct ConformanceCase {
    std::string name;
    void (*run)(Communicator&);
};

std::span<const ConformanceCase> conformance_cases();

// Runs work(0) to work(threads - 1) at once, each in a thread of its own. One that throws aborts
// the job; its exception is thrown again when all have ended.
void in_threads(Communicator& rank, int threads, const std::function<void(int)>& work);

}  // namespace r1::testing
