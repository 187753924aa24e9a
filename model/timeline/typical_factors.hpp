// By which factor simulated ops of a kind are slower than measured ones, waiting left out.
#pragma once

#include <map>
#include <string_view>
#include <vector>

#include "model/timeline/alignment.hpp"

namespace r1 {

// By op kind: the median over its ops of simulated / measured time. Infinite where nothing was
// measured; kinds whose ops take no time have none.
//
// A communication op lasts until others have come to it, however long that is, so of several ranks
// it counts once, with the shortest time of any. A receive is compared as it was recorded and from
// the start of its send on (if that is later), and the better of both counts: an error that waiting
// for the sender explains is none of the message.
std::map<std::string_view, double> typical_factors(const std::vector<AlignedGraph>& graphs);

}  // namespace r1
