// A simulated step as Chakra execution traces, one a rank: the ops that it ran, with the times that
// they take alone, and the messages, all-to-alls and collectives between them, which a reader times
// on a network of its own.
#pragma once

#include <cstdint>
#include <functional>

#include "model/chakra/trace_file.hpp"
#include "sim/simulate.hpp"

namespace r1 {

// Nodes of all ranks together: half a gigabyte of files.
inline constexpr std::int64_t kChakraNodesMax = 4'000'000;

// Makes the trace of each rank in turn and hands it over. Ranks that a lane stands for do what the
// lane did. Throws InputError if there were more nodes than kChakraNodesMax.
void export_chakra(const Setting& setting, const Simulation& simulation,
                   const std::function<void(RankId, const ChakraTrace&)>& take);

}  // namespace r1
