// What latent_attention.cu's warpgroups share: the pieces of work, and the tiles and barriers in
// shared memory by which they hand them over.
#pragma once

#include "kernels/cuda/hopper/warpgroup.cuh"

namespace r1::cuda {

inline constexpr int kLatentColumns = 512;
inline constexpr int kLatentQkColumns = 576;
inline constexpr int kSideColumns = kLatentColumns / 2;  // of a warpgroup
inline constexpr int kLatentRows = 64;                   // of queries
inline constexpr int kLatentKeys = 64;
inline constexpr int kColumnsInRow = static_cast<int>(kTileRowBytes) / 2;
inline constexpr int kParts =
    kLatentQkColumns / kColumnsInRow;  // tiles of 128 bytes beside each other
inline constexpr int kPartBytes = kLatentKeys * static_cast<int>(kTileRowBytes);
inline constexpr int kLatentTileBytes = kParts * kPartBytes;
inline constexpr int kKeyStages = 2;
inline constexpr unsigned kWeighingWarps = kWarpgroup / kWarp;
static_assert(kLatentRows == kLatentKeys, "queries, keys and weights lie in tiles of one height");

struct LatentAttention {
    int sequences, queries, rows_per_query;
    float scale;
    int keys_max;
    const std::int32_t* positions;
    std::int64_t key_rows;
    int splits, split_keys;
    float* split_o;
    float* split_lse;
    Rows o;

    __device__ int rows() const { return queries * rows_per_query; }
};

// Rows of a sequence's queries, and the keys that a block has for them.
struct Piece {
    int sequence, split;
    int row0, row_end;
    int context;
    int begin, end;
};

// Keys that a row sees.
inline __device__ int seen_by(const LatentAttention& p, const Piece& piece, int row) {
    return piece.context - p.queries + row / p.rows_per_query + 1;
}

template <class Body>
__device__ __forceinline__ void for_each_piece(const LatentAttention& p, const Body& body) {
    const int row_tiles = (p.rows() + kLatentRows - 1) / kLatentRows;
    for (int i = static_cast<int>(blockIdx.x); i < p.splits * p.sequences * row_tiles;
         i += static_cast<int>(gridDim.x)) {
        Piece piece{};
        // Tiles of rows beside each other, which read the same keys; those that see most first.
        piece.row0 = (row_tiles - 1 - i % row_tiles) * kLatentRows;
        piece.split = i / row_tiles % p.splits;
        piece.sequence = i / row_tiles / p.splits;
        piece.row_end = std::min(piece.row0 + kLatentRows, p.rows());
        piece.context = p.positions == nullptr
                            ? p.keys_max
                            : p.positions[(piece.sequence + 1) * p.queries - 1] + 1;
        if (piece.context < p.queries || piece.context > p.keys_max) {
            trap();
        }
        piece.end = seen_by(p, piece, piece.row_end - 1);
        if (p.splits > 1) {
            piece.begin = piece.split * p.split_keys;
            piece.end = std::min(piece.end, piece.begin + p.split_keys);
        }
        body(piece);
    }
}

// In the block's shared memory. A barrier stands for what has been brought or given back.
class Exchange {
public:
    static constexpr int kBarriers = 5 + 2 * kKeyStages;
    static constexpr std::size_t kBytes = (1 + kKeyStages) * kLatentTileBytes + kPartBytes +
                                          kLatentRows * sizeof(float) + kBarriers * sizeof(Barrier);
    static_assert(kBytes <= 227 * 1024);

    [[nodiscard]] __device__ unsigned char* q() const { return memory_; }
    [[nodiscard]] __device__ unsigned char* keys(int stage) const {
        return memory_ + (1 + stage) * kLatentTileBytes;
    }
    // [64 rows, 64 keys] BF16, and a number for each row that goes with them.
    [[nodiscard]] __device__ unsigned char* weights() const { return keys(kKeyStages); }
    [[nodiscard]] __device__ float* row_values() const {
        return reinterpret_cast<float*>(weights() + kPartBytes);
    }
    [[nodiscard]] __device__ Barrier* q_here() const { return barrier(0); }
    [[nodiscard]] __device__ Barrier* q_free() const { return barrier(1); }
    [[nodiscard]] __device__ Barrier* weights_here() const { return barrier(2); }
    [[nodiscard]] __device__ Barrier* weights_free() const { return barrier(3); }
    [[nodiscard]] __device__ Barrier* cleared() const { return barrier(4); }
    [[nodiscard]] __device__ Barrier* keys_here(int stage) const { return barrier(5 + stage); }
    [[nodiscard]] __device__ Barrier* keys_free(int stage) const {
        return barrier(5 + kKeyStages + stage);
    }

    __device__ void init_barriers() const {
        barrier_init(q_here(), 1);
        barrier_init(q_free(), kWeighingWarps);
        barrier_init(weights_here(), kWeighingWarps);
        barrier_init(weights_free(), kMultiplyingWarps);
        barrier_init(cleared(), kMultiplyingWarps);
        for (int i = 0; i < kKeyStages; ++i) {
            barrier_init(keys_here(i), 1);
            barrier_init(keys_free(i), kMultiplyingWarps);
        }
    }

private:
    [[nodiscard]] __device__ Barrier* barrier(int i) const {
        return reinterpret_cast<Barrier*>(row_values() + kLatentRows) + i;
    }

    unsigned char* memory_ = dynamic_tiles();
};

// Where a warpgroup stands.
struct Progress {
    Turn q, keys, weights, cleared;
};

}  // namespace r1::cuda
