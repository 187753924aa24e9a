// The report of one run ("r1sim.report/1"): every number that the table, the trace and later tools
// show. docs/definitions.md defines each. All times come from the timeline.
#pragma once

#include <string>

#include "model/base/json_fwd.hpp"
#include "sim/simulate.hpp"

namespace r1 {

// `version` and `peak_memory_bytes` go to run_info. Without a timeline (--dry-run) the report ends
// after what the graph alone tells.
Json make_report(const Setting& setting, const Simulation& simulation, const std::string& version,
                 std::int64_t peak_memory_bytes);

// What a line of a sweep keeps of a report: the same values at the same pointers
// (docs/definitions.md, sweep). The second gives the first of make_report() without making what it
// leaves out.
Json report_summary(const Json& report);
Json make_summary(const Setting& setting, const Simulation& simulation, const std::string& version,
                  std::int64_t peak_memory_bytes);

// The report as a table for people: a function of the report alone.
std::string report_table(const Json& report, bool color);

// A value by dotted path ("step.mfu.causal") or JSON pointer; nullptr if there is none.
const Json* report_value(const Json& report, const std::string& metric);

}  // namespace r1
