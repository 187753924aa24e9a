// The difference of two reports ("r1sim.comparison/1"), metric by metric, and as a table.
#pragma once

#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"

namespace r1 {

struct NamedReport {
    std::string name;  // its file
    const Json& report;
};

// Every number of two reports ("r1sim.report/1") by its path, and what differs between their
// scenarios. Entries of lists are found by what names them ("network.links[rank0.nic.up].bytes"),
// others by their place. Left out: run_info (wall-clock facts), and critical_path.ops, of which
// each report has its own.
Json compare_reports(const NamedReport& a, const NamedReport& b);

// The paths of all numbers and flags of a report that compare_reports() looks at.
std::vector<std::string> figure_names(const Json& report);

std::string comparison_table(const Json& comparison);

}  // namespace r1
