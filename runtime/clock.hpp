#pragma once

#include "model/base/units.hpp"

namespace r1 {

// Picoseconds on a clock of this process that never goes back.
TimePs clock_ps();

}  // namespace r1
