// The web view of reports and sweeps: one file, no network. The page is built from web/ and
// embedded; it shows what the reports say and computes nothing of its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/base/json_fwd.hpp"

namespace r1 {

// The embedded page, without data.
std::string_view report_page();

// One report, or two side by side.
std::string report_html(const std::vector<Json>& reports);

// What `sweep --json` prints ("r1sim.sweep_result/1").
std::string sweep_html(const Json& result);

}  // namespace r1
