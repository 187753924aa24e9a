// What nccl-tests prints: times of one collective by size (its text of all versions so far, and
// -J).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace r1 {

struct NcclTestsRow {
    std::int64_t bytes = 0;  // of the larger buffer, as model/base/collective_bus.hpp counts
    double time_us = 0;      // out of place
    int line = 0;            // 0: unknown
};

struct NcclTestsLog {
    std::string test;  // "alltoall_perf"; empty: old logs do not say
    int ranks = 0;     // 0: it does not list them
    int hosts = 0;
    std::string device;              // of its first rank; empty: unknown
    std::vector<NcclTestsRow> rows;  // those of no bytes or no time are left out
};

// Lines that are no part of it are passed over: NCCL's own, mpirun's, what shells and Markdown add.
// Throws InputError with all problems: no rows, wrong results, a row that is cut short.
NcclTestsLog read_nccl_tests(const std::string& text, const std::string& file);

// "all_to_all" of "alltoall_perf"; empty for a test of which there is no curve.
std::string collective_of(const std::string& test);

}  // namespace r1
