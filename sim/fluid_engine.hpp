// The fast engine: an event-driven max-min simulation. Solves only what an event touches, counts
// identical flows once, and agrees with SimGrid where events are not tied.
#pragma once

#include <memory>

#include "sim/engine.hpp"

namespace r1 {

// Events within this time of each other are one instant.
inline constexpr Seconds kFluidInstant{1e-12};

std::unique_ptr<ReplayEngine> make_fluid_engine(const EngineNetwork& network);

}  // namespace r1
