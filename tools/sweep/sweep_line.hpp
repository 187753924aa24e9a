// One point of a sweep as a line of JSON ("r1sim.sweep_line/1"): what it changes, and the summary
// of the report that `simulate` gives for it, or why there is none.
#pragma once

#include <cstddef>
#include <string>

#include "sim/shared_work.hpp"
#include "tools/cli.hpp"
#include "tools/sweep/sweep.hpp"

namespace r1 {

// Simulates the point. What `simulate` would refuse becomes a line too.
Json simulate_point(const Sweep& sweep, std::size_t point, SharedWork& shared);

Json failed_line(const Sweep& sweep, std::size_t point, const Failure& failure);

// The number of the point that a line is of. Throws InputError, naming `origin`, if it is no line
// of the sweep.
std::size_t point_of_line(const Sweep& sweep, const std::string& line, const std::string& origin);

inline bool is_simulated(const Json& line) { return line.contains("step"); }

}  // namespace r1
