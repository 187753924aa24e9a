// The reference engine: SimGrid's max-min network and CPU models. One at a time in a process.
#pragma once

#include <memory>

#include "sim/engine.hpp"

namespace r1 {

std::unique_ptr<ReplayEngine> make_simgrid_engine(const EngineNetwork& network);

}  // namespace r1
