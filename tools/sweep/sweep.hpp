// A sweep file ("r1sim.sweep/1"): a base scenario, and the points that differ from it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "model/base/json.hpp"

namespace r1 {

struct Sweep {
    std::string name;
    Document base;                      // as its file says
    std::filesystem::path folder;       // that the names in it are relative to
    std::filesystem::path file_folder;  // of the sweep file
    std::vector<Override> overrides;    // of the command line: they change the base
    std::vector<std::string> axes;      // pointers, each once
    // What each point changes, in the order of its axes. A grid's last axis changes fastest.
    std::vector<std::vector<Override>> points;
    // Of the resolved base (files put in place, overrides applied) and the points: what results
    // depend on, but for files that an axis names.
    std::string hash;
};

// Throws InputError with every problem.
Sweep read_sweep(const std::filesystem::path& file, const std::vector<Override>& overrides);

// The scenario of one point, resolved as `simulate` does. Throws InputError.
Document scenario_of(const Sweep& sweep, std::size_t point);
// {pointer: value} of what the point changes.
Json changes_of(const Sweep& sweep, std::size_t point);

// Points whose graphs are likely the same, one group after the other: those that differ only in
// what no graph depends on.
std::vector<std::vector<std::size_t>> graph_groups(const Sweep& sweep,
                                                   const std::vector<std::size_t>& points);

}  // namespace r1
