// Two kernels, so that no two blocks add to one sum: one has a tile of queries and goes along the
// keys for dq, the other a tile of keys and goes along the queries for dk and dv. Both compute the
// weights and their gradients again, tile by tile (FlashAttention-2, arXiv 2307.08691, sec. 3.1.2).
// What they reach on a GPU has not been measured.
#include "kernels/mla_attention_backward.hpp"

#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/workspace.hpp"

namespace r1::cuda {

namespace {

struct AttentionBackward {
    std::int64_t sequences, tokens, heads, qk_dim, nope_dim, v_dim;
    float scale;
    Rows d_o, q, k, kv, o, dq, dk, dv;
    const float* lse;  // [rows, heads]
    float* means;      // [rows, heads] sum of d_o * o
};

__global__ void means_kernel(AttentionBackward p) {
    const std::int64_t warps = std::int64_t{gridDim.x} * blockDim.x / kWarp;
    const std::int64_t all = p.sequences * p.tokens * p.heads;
    for (std::int64_t i = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp; i < all;
         i += warps) {
        const std::int64_t first = i % p.heads * p.v_dim;
        float sum = 0;
        for (std::int64_t column = threadIdx.x % kWarp; column < p.v_dim; column += kWarp) {
            sum += element(p.d_o, i / p.heads, first + column) *
                   element(p.o, i / p.heads, first + column);
        }
        sum = lanes_reduce(sum, Add{});
        if (threadIdx.x % kWarp == 0) {
            p.means[i] = sum;
        }
    }
}

// A tile of queries against one of keys, both 16 RowGroups rows of one head of one sequence. Warps
// are RowGroups below each other, two side by side.
template <int Limbs, int RowGroups, int QkTiles, int VTiles>
struct BackwardTiles {
    static constexpr int kRows = 16 * RowGroups;
    static constexpr int kSides = 2;
    static constexpr int kTileThreads = RowGroups * kSides * static_cast<int>(kWarp);
    static constexpr int kScoreTiles = kRows / kSides / 8;
    // Columns that fit: QkTiles and VTiles of 8 columns for each side.
    static constexpr int kQkColumns = kSides * QkTiles * 8;
    static constexpr int kVColumns = kSides * VTiles * 8;
    static constexpr std::size_t kBytes =
        2 * (tile_bytes(kRows, kQkColumns, Limbs) + tile_bytes(kRows, kVColumns, Limbs) +
             tile_bytes(kRows, kRows, Limbs));

    const AttentionBackward& p;
    std::int64_t sequence, head;
    SharedTile q, d_o, k, v;          // of the tiles that are being looked at
    SharedTile weights, score_grads;  // [queries, keys]

    __device__ BackwardTiles(const AttentionBackward& problem, std::int64_t sequence_index,
                             std::int64_t head_index)
        : p(problem), sequence(sequence_index), head(head_index) {
        TileCarver carver{reinterpret_cast<std::uint16_t*>(dynamic_shared())};
        q = carver.take(kRows, kQkColumns, Limbs);
        k = carver.take(kRows, kQkColumns, Limbs);
        d_o = carver.take(kRows, kVColumns, Limbs);
        v = carver.take(kRows, kVColumns, Limbs);
        weights = carver.take(kRows, kRows, Limbs);
        score_grads = carver.take(kRows, kRows, Limbs);
    }

    __device__ int warp_row() const { return static_cast<int>(threadIdx.x / kWarp) / kSides * 16; }
    __device__ int side() const { return static_cast<int>(threadIdx.x / kWarp) % kSides; }

    __device__ __forceinline__ void fill(const SharedTile& tile, const Rows& rows,
                                         std::int64_t row0, std::int64_t column,
                                         std::int64_t width) const {
        fill_rows<Limbs>(tile, kRows, {rows, column, sequence * p.tokens}, row0, p.tokens, 0,
                         padded_depth(width), width);
    }
    __device__ __forceinline__ void load_queries(std::int64_t query0) const {
        fill(q, p.q, query0, head * p.qk_dim, p.qk_dim);
        fill(d_o, p.d_o, query0, head * p.v_dim, p.v_dim);
    }
    __device__ __forceinline__ void load_keys(std::int64_t key0) const {
        fill(k, p.k, key0, head * p.qk_dim, p.qk_dim);
        fill(v, p.kv, key0, head * (p.nope_dim + p.v_dim) + p.nope_dim, p.v_dim);
    }

    // From the four loaded tiles; both results end in shared memory.
    __device__ __forceinline__ void compute_scores(std::int64_t query0, std::int64_t key0) const {
        const int key_column = side() * kScoreTiles * 8;
        float s[1][kScoreTiles][4] = {};
        float of_weights[1][kScoreTiles][4] = {};
        warp_product<1, kScoreTiles, Limbs>(s, q, warp_row(), k, key_column, kRows,
                                            padded_depth(p.qk_dim));
        warp_product<1, kScoreTiles, Limbs>(of_weights, d_o, warp_row(), v, key_column, kRows,
                                            padded_depth(p.v_dim));
        const LanePlace lane;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = warp_row() + lane.row + 8 * half;
            const std::int64_t query = query0 + row;
            const std::int64_t at = (sequence * p.tokens + query) * p.heads + head;
            const bool is_query = query < p.tokens;
            const float lse = is_query ? p.lse[at] : 0;
            const float mean = is_query ? p.means[at] : 0;
#pragma unroll
            for (int j = 0; j < kScoreTiles; ++j) {
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; ++e) {
                    const int column = key_column + 8 * j + lane.column + e % 2;
                    const bool sees = is_query && key0 + column <= query;
                    const float weight = sees ? expf(s[0][j][e] * p.scale - lse) : 0.0F;
                    const float grad = weight * (of_weights[0][j][e] - mean) * p.scale;
                    store_limbs<Limbs>(weights, row, column, weight);
                    store_limbs<Limbs>(score_grads, row, column, grad);
                }
            }
        }
    }

    // The warp's sums to columns [column, column + width) of rows from row0 on.
    template <int Tiles>
    __device__ __forceinline__ void write(const float (&sums)[1][Tiles][4], const Rows& to,
                                          std::int64_t row0, std::int64_t column,
                                          std::int64_t width) const {
        const LanePlace lane;
#pragma unroll
        for (int j = 0; j < Tiles; ++j) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const std::int64_t row = row0 + warp_row() + lane.row + e / 2 * 8;
                const int i = side() * Tiles * 8 + 8 * j + lane.column + e % 2;
                if (row < p.tokens && i < width) {
                    set_element(to, sequence * p.tokens + row, column + i, sums[0][j][e]);
                }
            }
        }
    }

    __device__ __forceinline__ void query_gradients(std::int64_t query0) const {
        float dq[1][QkTiles][4] = {};
        load_queries(query0);  // that of the tile before, the other warps have done with
        for (std::int64_t key0 = 0; key0 < std::min(query0 + kRows, p.tokens); key0 += kRows) {
            __syncthreads();
            load_keys(key0);
            __syncthreads();
            compute_scores(query0, key0);
            __syncthreads();
            warp_product<1, QkTiles, Limbs, false, true>(dq, score_grads, warp_row(), k,
                                                         side() * QkTiles * 8,
                                                         static_cast<int>(p.qk_dim), kRows);
        }
        write(dq, p.dq, query0, head * p.qk_dim, p.qk_dim);
    }

    __device__ __forceinline__ void key_gradients(std::int64_t key0) const {
        float dk[1][QkTiles][4] = {};
        float dv[1][VTiles][4] = {};
        load_keys(key0);  // those of the tile before, the other warps have done with
        for (std::int64_t query0 = key0; query0 < p.tokens; query0 += kRows) {
            __syncthreads();
            load_queries(query0);
            __syncthreads();
            compute_scores(query0, key0);
            __syncthreads();
            warp_product<1, QkTiles, Limbs, true, true>(dk, score_grads, warp_row(), q,
                                                        side() * QkTiles * 8,
                                                        static_cast<int>(p.qk_dim), kRows);
            warp_product<1, VTiles, Limbs, true, true>(dv, weights, warp_row(), d_o,
                                                       side() * VTiles * 8,
                                                       static_cast<int>(p.v_dim), kRows);
        }
        write(dk, p.dk, key0, head * p.qk_dim, p.qk_dim);
        write(dv, p.dv, key0, head * p.v_dim, p.v_dim);
    }
};

// Calls body(tiles, first row) for each tile of rows of each head of each sequence.
template <class Tiles, class Body>
__device__ void for_each_tile_of_heads(const AttentionBackward& p, const Body& body) {
    const std::int64_t row_tiles = ceil_div(p.tokens, Tiles::kRows);
    for (std::int64_t i = blockIdx.x; i < p.sequences * p.heads * row_tiles; i += gridDim.x) {
        const std::int64_t head = i % (p.sequences * p.heads);
        const Tiles tiles(p, head / p.heads, head % p.heads);
        body(tiles, i / (p.sequences * p.heads) * Tiles::kRows);
    }
}

template <class Tiles>
__global__ __launch_bounds__(Tiles::kTileThreads) void query_gradients_kernel(AttentionBackward p) {
    for_each_tile_of_heads<Tiles>(p, [&](const Tiles& tiles, std::int64_t row0) {
        // Those that see the most keys first.
        const std::int64_t last = (ceil_div(p.tokens, Tiles::kRows) - 1) * Tiles::kRows;
        tiles.query_gradients(last - row0);
    });
}

template <class Tiles>
__global__ __launch_bounds__(Tiles::kTileThreads) void key_gradients_kernel(AttentionBackward p) {
    for_each_tile_of_heads<Tiles>(
        p, [&](const Tiles& tiles, std::int64_t row0) { tiles.key_gradients(row0); });
}

template <class Tiles>
void launch_gradients(const AttentionBackward& p, const Launch& launch) {
    const std::int64_t blocks = p.sequences * p.heads * ceil_div(p.tokens, Tiles::kRows);
    const dim3 grid = grid_for_tile_blocks(blocks, launch);
    const dim3 threads{static_cast<unsigned>(Tiles::kTileThreads), 1, 1};
    launch_kernel(query_gradients_kernel<Tiles>, grid, threads, Tiles::kBytes, launch, p);
    launch_kernel(key_gradients_kernel<Tiles>, grid, threads, Tiles::kBytes, launch, p);
}

}  // namespace

std::size_t mla_attention_backward_workspace_bytes(const MlaAttentionBackwardArgs& args) {
    return workspace_bytes_of<float>(args.sequences * args.tokens * args.heads);
}

void mla_attention_backward(const MlaAttentionBackwardArgs& args, const Launch& launch) {
    using Tiles = BackwardTiles<1, 4, 12, 8>;        // heads of 192 and 128 columns
    using LargeTiles = BackwardTiles<3, 2, 16, 16>;  // of 256, and float32
    R1_CHECK(args.qk_dim <= LargeTiles::kQkColumns && args.v_dim <= LargeTiles::kVColumns);
    Carver carver(args.workspace);
    const std::int64_t rows = args.sequences * args.tokens * args.heads;
    const AttentionBackward p{
        args.sequences,          args.tokens,      args.heads,       args.qk_dim,
        args.nope_dim,           args.v_dim,       args.scale,       rows_of(args.d_o),
        rows_of(args.q),         rows_of(args.k),  rows_of(args.kv), rows_of(args.o),
        rows_of(args.dq),        rows_of(args.dk), rows_of(args.dv), args.lse,
        carver.take<float>(rows)};
    launch_kernel(means_kernel, grid_for(ceil_div(rows, kThreads / kWarp), launch),
                  dim3{kThreads, 1, 1}, 0, launch, p);
    const bool is_bf16 = p.d_o.is_bf16 && p.q.is_bf16 && p.k.is_bf16 && p.kv.is_bf16;
    if (is_bf16 && args.qk_dim <= Tiles::kQkColumns && args.v_dim <= Tiles::kVColumns) {
        launch_gradients<Tiles>(p, launch);
    } else {
        launch_gradients<LargeTiles>(p, launch);
    }
}

}  // namespace r1::cuda
