// What the lines of a sweep say together ("r1sim.sweep_result/1"): the best point, the Pareto
// front, and the effect of each axis. docs/definitions.md, sweep, has the formulas.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "model/base/json.hpp"

namespace r1 {

// What points are compared by, all the smaller the better. Per token where points have batches of
// different sizes.
struct Objectives {
    double time = 0;
    double cost = 0;
    double memory = 0;  // of the fullest GPU
};

// Places of those that no other beats: at least as good in all, better in one. Of equal ones the
// first. Ascending by time.
std::vector<std::size_t> pareto_front(const std::vector<Objectives>& points);

// `lines` in the order of their points; `axes` as the sweep has them.
Json sweep_result(const std::string& name, const std::string& hash,
                  const std::vector<std::string>& axes, const Json& lines);

// Bytes of the fullest GPU of a simulated line.
double memory_of_fullest(const Json& line);

// The result as a table for people, a function of the result alone.
std::string sweep_table(const Json& result, bool color);

// One row a line: the numbers and texts of the summary that are in no list, by their pointers.
std::string sweep_csv(const std::vector<std::string>& axes, const Json& lines);

}  // namespace r1
