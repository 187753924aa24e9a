// Reports as commands read them from files.
#pragma once

#include "model/base/json_fwd.hpp"

namespace r1 {

// Of any version of r1sim that wrote "r1sim.report/1": only what every report has is checked here.
// Throws InputError with every problem.
Json read_report(const Document& document);

}  // namespace r1
