// Ranks on other machines read other clocks.
#pragma once

#include <functional>

#include "model/base/units.hpp"
#include "runtime/agreement.hpp"

namespace r1 {

// What to add to the calling rank's clock to get rank 0's. All ranks call it. Ranks of one machine
// share its clock: 0. Else by messages to and fro, of which the fastest counts: wrong by at most
// half the time that it took.
TimePs clock_offset(const Everyone& ranks);

// The same, by messages always, for any clock.
TimePs measured_clock_offset(const Everyone& ranks, const std::function<TimePs()>& clock);

}  // namespace r1
