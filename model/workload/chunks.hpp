// Composes the pieces of stages into the chunks that schedules order.
#pragma once

#include <string>
#include <vector>

#include "model/layers/stage.hpp"

namespace r1 {

ChunkTemplate forward_chunk(const std::string& name, const std::vector<Block>& stage);

// B (input only), W (weight only) or BW (both).
ChunkTemplate backward_chunk(const std::string& name, const std::vector<Block>& stage, bool input,
                             bool weight);

// FB: context 0 goes forward through one stage while context 1 goes backward through another; their
// blocks are paired (block_pairs.hpp), and communication of each hides behind computation of the
// other.
ChunkTemplate overlapped_chunk(const std::string& name, const std::vector<Block>& forward,
                               const std::vector<Block>& backward);

// Pipeline messages: one op each.
ChunkTemplate send_chunk(const LayerSizes& sizes, bool forward);
ChunkTemplate recv_chunk(const LayerSizes& sizes, bool forward);

}  // namespace r1
