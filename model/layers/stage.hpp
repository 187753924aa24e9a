// A pipeline stage as a list of blocks, each in the pieces that chunks interleave.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <vector>

#include "model/layers/emitter.hpp"

namespace r1 {

// In the order of an overlapped forward and backward pair of DualPipe (arXiv 2412.19437, fig. 4,
// and the published trace): ATTN(F) beside combine(B), MLP(B) beside dispatch(F), MLP(W) and
// MLP(F) beside dispatch(B), ATTN(B) and ATTN(W) beside combine(F).
enum class Piece : std::uint8_t {
    attention_forward,
    dispatch_forward,
    mlp_forward,
    combine_forward,
    finish_forward,  // what waits for combine: emitted when the next block begins
    combine_backward,
    mlp_backward_input,
    mlp_backward_weight,
    dispatch_backward,
    attention_backward_input,
    attention_backward_weight,
};
inline constexpr std::size_t kPieceCount = 11;

using EmitPiece = std::function<void(ChunkBuilder&)>;

// A decoder layer, or an end of the model. Pieces that it does not have are empty.
struct Block {
    int layer = -1;  // slot within the stage
    std::array<EmitPiece, kPieceCount> pieces;

    EmitPiece& operator[](Piece piece) { return pieces[static_cast<std::size_t>(piece)]; }
    const EmitPiece& operator[](Piece piece) const {
        return pieces[static_cast<std::size_t>(piece)];
    }
};

struct StageLayout {
    std::int64_t first_layer = 0;
    std::int64_t layers = 0;
    bool first = false;  // holds the embedding
    bool last = false;   // holds the head, and the MTP module if the model has one
    bool operator==(const StageLayout&) const = default;
};
std::vector<StageLayout> stage_layouts(const std::vector<std::int64_t>& stage_layers);

// Names of the tensors at a stage's borders.
inline constexpr const char* kHiddenIn = "hidden.in";
inline constexpr const char* kHiddenOut = "hidden.out";
inline constexpr const char* kGradIn = "hidden.out.grad";  // from the next stage
inline constexpr const char* kGradOut = "hidden.in.grad";  // to the stage before

// The blocks of a stage in forward order. `sizes` must outlive them.
std::vector<Block> stage_blocks(const LayerSizes& sizes, const StageLayout& stage);

}  // namespace r1
