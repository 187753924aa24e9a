// Whether the nodes of a job can run in some order.
#pragma once

#include <optional>

#include "model/chakra/job.hpp"

namespace r1 {

// The first node that never runs, since it waits in a circle; messages and collectives count.
std::optional<ChakraPart> first_stuck(const ChakraJob& job);

}  // namespace r1
