#include "model/workload/block_pairs.hpp"

#include <algorithm>

namespace r1 {

namespace {

// Dispatches and combines of either that hide behind the other.
int hidden(const Block& forward, const Block& backward) {
    const auto both = [](const EmitPiece& comm, const EmitPiece& compute) {
        return comm && compute ? 1 : 0;
    };
    return both(backward[Piece::combine_backward], forward[Piece::attention_forward]) +
           both(forward[Piece::dispatch_forward], backward[Piece::mlp_backward_input]) +
           both(backward[Piece::dispatch_backward], forward[Piece::mlp_forward]) +
           both(forward[Piece::combine_forward], backward[Piece::attention_backward_input]);
}

}  // namespace

std::vector<BlockPair> block_pairs(const std::vector<Block>& forward,
                                   const std::vector<Block>& backward) {
    const std::size_t rows = forward.size();
    const std::size_t columns = backward.size();
    const auto f = [&](std::size_t i) { return &forward[i]; };
    const auto b = [&](std::size_t j) { return &backward[columns - 1 - j]; };
    // most[i][j]: hidden in what is left when i and j blocks are placed.
    std::vector<std::vector<int>> most(rows + 1, std::vector<int>(columns + 1, 0));
    for (std::size_t i = rows; i-- > 0;) {
        for (std::size_t j = columns; j-- > 0;) {
            most[i][j] = std::max(
                {most[i + 1][j + 1] + hidden(*f(i), *b(j)), most[i + 1][j], most[i][j + 1]});
        }
    }
    std::vector<BlockPair> pairs;
    std::size_t i = 0;
    std::size_t j = 0;
    while (i < rows || j < columns) {
        if (i < rows && j < columns && most[i][j] == most[i + 1][j + 1] + hidden(*f(i), *b(j))) {
            pairs.push_back({f(i++), b(j++)});
        } else if (j < columns && (i == rows || most[i][j] == most[i][j + 1])) {
            pairs.push_back({nullptr, b(j++)});
        } else {
            pairs.push_back({f(i++), nullptr});
        }
    }
    return pairs;
}

}  // namespace r1
