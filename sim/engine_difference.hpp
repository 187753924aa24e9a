// How far two engines' replays of the same graph are apart.
#pragma once

#include "model/timeline/timeline.hpp"

namespace r1 {

// Shares of the reference's step time.
struct EngineDifference {
    double step = 0;    // signed: above 0, the other engine's step is longer
    double op_max = 0;  // the largest, of any op's start or end
};

// Both of the same graph and folding. Throws InternalError if they do not hold the same ops.
EngineDifference engine_difference(const Timeline& reference, const Timeline& other);

}  // namespace r1
