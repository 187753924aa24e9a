#include "kernels/cuda/attention.hpp"

#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/hopper/head_attention.hpp"
#include "kernels/cuda/hopper/latent_attention.hpp"

namespace r1::cuda {

namespace {

constexpr int kRowGroups = 4;  // warps of a block below each other, 16 rows each
constexpr int kSides = 2;      // and side by side: halves of the keys, then of the columns of v
constexpr int kQueryTile = 16 * kRowGroups;
constexpr int kKeyTile = 64;
constexpr int kKeyTiles = kKeyTile / kSides / 8;  // of a warp, 8 keys each
constexpr unsigned kAttentionThreads = kRowGroups * kSides * kWarp;

// QkColumns: of q and k that lie in shared memory at a time. VTiles: 8 columns of v each, of a
// warp.
template <int Limbs, int QkColumns, int VTiles>
struct Forward {
    static constexpr int kVColumns = kSides * VTiles * 8;

    const Attention& p;
    HeadRows q, k, k_shared, v;
    std::int64_t rows;     // of the sequence
    std::int64_t row0;     // first of the tile
    std::int64_t context;  // keys of the sequence
    std::int64_t v_begin;  // first column of v
    bool v_in_k;           // v lies in the tile of k
    SharedTile q_tile, k_tile, v_tile, p_tile;
    float* largest;  // [kSides, kQueryTile] of the scores of a tile of keys; then sums

    float sums[1][VTiles][4] = {};
    float row_largest[2] = {-INFINITY, -INFINITY};  // of the lane's rows
    float row_sum[2] = {0, 0};                      // over the warp's half of the keys

    __device__ int warp_row() const { return static_cast<int>(threadIdx.x / kWarp) / kSides * 16; }
    __device__ int side() const { return static_cast<int>(threadIdx.x / kWarp) % kSides; }

    // Keys that a row sees; none if there is no such row.
    __device__ __forceinline__ std::int64_t seen(std::int64_t row) const {
        return row < rows ? context - p.queries + row / p.rows_per_query + 1 : 0;
    }

    __device__ __forceinline__ void load_k(std::int64_t key0, std::int64_t begin,
                                           int columns) const {
        fill_tile<Limbs>(k_tile, kKeyTile, columns, [&](int row, int offset) {
            const std::int64_t key = key0 + row;
            const std::int64_t column = begin + offset;
            if (column + kGroup <= p.k_dim || p.k_dim == p.qk_dim) {
                return head_group(k, key, context, column, p.k_dim);
            }
            if (column >= p.k_dim) {
                return head_group(k_shared, key, context, column - p.k_dim, p.qk_dim - p.k_dim);
            }
            Group both{};  // the end of one part and the beginning of the other
#pragma unroll
            for (int i = 0; i < kGroup; ++i) {
                if (key < context && column + i < p.qk_dim) {
                    const std::int64_t at = column + i - p.k_dim;
                    both.v[i] = at < 0 ? element(k.rows, k.first_row + key, k.column + column + i)
                                       : element(k_shared.rows, k_shared.first_row + key,
                                                 k_shared.column + at);
                }
            }
            return both;
        });
    }

    // Part of the columns of q and k after the other. Ends with q in place if all of it is one
    // part.
    __device__ __forceinline__ void scores(std::int64_t key0, float (&s)[1][kKeyTiles][4],
                                           bool is_first) const {
        for (std::int64_t begin = 0; begin < p.qk_dim; begin += QkColumns) {
            const int columns = padded_depth(std::min<std::int64_t>(QkColumns, p.qk_dim - begin));
            __syncthreads();  // tiles before may still be read
            if (is_first || p.qk_dim > QkColumns) {
                fill_rows<Limbs>(q_tile, kQueryTile, q, row0, rows, begin, columns, p.qk_dim);
            }
            load_k(key0, begin, columns);
            if (begin == 0 && !v_in_k) {
                const int v_columns =
                    padded_depth(std::min<std::int64_t>(kVColumns, p.v_dim - v_begin));
                fill_rows<Limbs>(v_tile, kKeyTile, v, key0, context, v_begin, v_columns, p.v_dim);
            }
            __syncthreads();
            warp_product<1, kKeyTiles, Limbs>(s, q_tile, warp_row(), k_tile, side() * kKeyTiles * 8,
                                              kKeyTile, columns);
        }
    }

    // Scores to weights in p_tile; what was summed so far is scaled to the new largest score.
    __device__ __forceinline__ void softmax(std::int64_t key0, float (&s)[1][kKeyTiles][4]) {
        const LanePlace lane;
        float own[2] = {-INFINITY, -INFINITY};
#pragma unroll
        for (int j = 0; j < kKeyTiles; ++j) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const std::int64_t key =
                    key0 + side() * kKeyTiles * 8 + 8 * j + lane.column + e % 2;
                const std::int64_t row = row0 + warp_row() + lane.row + e / 2 * 8;
                s[0][j][e] = key < seen(row) ? s[0][j][e] * p.scale : -INFINITY;
                own[e / 2] = fmaxf(own[e / 2], s[0][j][e]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            own[half] = row_reduce(own[half], Max{});
            largest[side() * kQueryTile + warp_row() + lane.row + 8 * half] = own[half];
        }
        __syncthreads();
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = warp_row() + lane.row + 8 * half;
            const float now =
                fmaxf(row_largest[half], fmaxf(largest[row], largest[kQueryTile + row]));
            // A row that has seen nothing yet keeps its zeros.
            const float base = now == -INFINITY ? 0.0F : now;
            const float shrink = expf(row_largest[half] - base);
            row_largest[half] = now;
            row_sum[half] *= shrink;
#pragma unroll
            for (int j = 0; j < VTiles; ++j) {
                sums[0][j][2 * half] *= shrink;
                sums[0][j][2 * half + 1] *= shrink;
            }
#pragma unroll
            for (int j = 0; j < kKeyTiles; ++j) {
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; ++e) {
                    const float weight = expf(s[0][j][e] - base);
                    row_sum[half] += weight;
                    store_limbs<Limbs>(
                        p_tile, row, side() * kKeyTiles * 8 + 8 * j + lane.column + e % 2, weight);
                }
            }
        }
        __syncthreads();
    }

    __device__ __forceinline__ void add_keys(std::int64_t key0, bool is_first) {
        float s[1][kKeyTiles][4] = {};
        scores(key0, s, is_first);
        softmax(key0, s);
        const int columns = static_cast<int>(std::min<std::int64_t>(kVColumns, p.v_dim - v_begin));
        warp_product<1, VTiles, Limbs, false, true>(sums, p_tile, warp_row(), v_tile,
                                                    side() * VTiles * 8, columns, kKeyTile);
    }

    // The sum of a row's weights, over both halves of the keys. Called once, at the end.
    __device__ __forceinline__ void finish_sums() {
        const LanePlace lane;
        __syncthreads();  // without keys, the tile before may still read its sums
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            row_sum[half] = row_reduce(row_sum[half], Add{});
            largest[side() * kQueryTile + warp_row() + lane.row + 8 * half] = row_sum[half];
        }
        __syncthreads();
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = warp_row() + lane.row + 8 * half;
            row_sum[half] = largest[row] + largest[kQueryTile + row];
        }
    }

    // Calls body(row of the sequence, log of its sum, column of v, value) for the lane's part.
    template <class Body>
    __device__ __forceinline__ void for_each_result(const Body& body) const {
        const LanePlace lane;
#pragma unroll
        for (int j = 0; j < VTiles; ++j) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const std::int64_t row = row0 + warp_row() + lane.row + e / 2 * 8;
                const std::int64_t column =
                    v_begin + side() * VTiles * 8 + 8 * j + lane.column + e % 2;
                if (row < rows && column < p.v_dim) {
                    body(row, row_largest[e / 2] + logf(row_sum[e / 2]), column,
                         sums[0][j][e] / row_sum[e / 2]);
                }
            }
        }
    }
};

struct AttentionRows {
    Rows q, k, k_shared, v, o;
};

// One tile of queries of one head, for some columns of v and one split of the keys.
struct Work {
    std::int64_t sequence, head, row_tile, v_part, split;
};

template <class Tile>
__device__ __forceinline__ void write_results(const Attention& p, const Rows& o, const Work& work,
                                              Tile& tile) {
    tile.finish_sums();
    const std::int64_t first = work.sequence * tile.rows;
    const std::int64_t all_rows = p.sequences * tile.rows;
    tile.for_each_result([&](std::int64_t row, float lse, std::int64_t column, float value) {
        const std::int64_t at = first + row;
        if (p.splits > 1) {
            p.split_o[(work.split * all_rows + at) * p.v_dim + column] = value;
        } else {
            set_element(o, at, work.head * p.v_dim + column, value);
        }
        if (column == 0 && p.splits > 1) {
            p.split_lse[work.split * all_rows + at] = lse;
        } else if (column == 0 && p.lse != nullptr) {
            p.lse[at * p.heads + work.head] = lse;
        }
    });
}

template <int Limbs, int QkColumns, int VTiles>
__device__ __forceinline__ void attend(const Attention& p, const AttentionRows& m,
                                       const Work& work) {
    using Tile = Forward<Limbs, QkColumns, VTiles>;
    const std::int64_t rows = p.queries * p.rows_per_query;
    const std::int64_t context =
        p.positions == nullptr ? p.keys_max : p.positions[(work.sequence + 1) * p.queries - 1] + 1;
    const std::int64_t key_row = work.sequence * p.key_rows;
    const auto head = [&](const Rows& matrix, const HeadColumns& columns, std::int64_t first) {
        return HeadRows{matrix, columns.column + work.head * columns.head_stride, first};
    };
    TileCarver carver{reinterpret_cast<std::uint16_t*>(dynamic_shared())};
    const bool v_in_k = p.v_is_k && p.qk_dim <= QkColumns && p.v_dim <= Tile::kVColumns;
    const SharedTile q_tile = carver.take(kQueryTile, QkColumns, Limbs);
    const SharedTile k_tile = carver.take(kKeyTile, QkColumns, Limbs);
    const SharedTile p_tile = carver.take(kQueryTile, kKeyTile, Limbs);
    const SharedTile v_tile = v_in_k ? k_tile : carver.take(kKeyTile, Tile::kVColumns, Limbs);
    __shared__ float largest[kSides * kQueryTile];
    Tile tile{p,
              head(m.q, p.q, work.sequence * rows),
              head(m.k, p.k, key_row),
              head(m.k_shared, p.k_shared, key_row),
              head(m.v, p.v, key_row),
              rows,
              work.row_tile * kQueryTile,
              context,
              work.v_part * Tile::kVColumns,
              v_in_k,
              q_tile,
              k_tile,
              v_tile,
              p_tile,
              largest};
    if (context < p.queries || context > p.keys_max) {
        trap();
    }
    const std::int64_t last_row = std::min(tile.row0 + kQueryTile, rows) - 1;
    std::int64_t begin = 0;
    std::int64_t end = tile.seen(last_row);
    if (p.splits > 1) {
        begin = work.split * p.split_keys;
        end = std::min(end, begin + p.split_keys);
    }
    for (std::int64_t key = begin; key < end; key += kKeyTile) {
        tile.add_keys(key, key == begin);
    }
    write_results(p, m.o, work, tile);
}

template <int Limbs, int QkColumns, int VTiles>
__global__ __launch_bounds__(kAttentionThreads) void attention_kernel(Attention p,
                                                                      AttentionRows m) {
    const std::int64_t row_tiles = ceil_div(p.queries * p.rows_per_query, kQueryTile);
    const std::int64_t v_parts = ceil_div(p.v_dim, kSides * VTiles * 8);
    const std::int64_t all = p.sequences * p.heads * row_tiles * v_parts * p.splits;
    for (std::int64_t i = blockIdx.x; i < all; i += gridDim.x) {
        std::int64_t rest = i;
        const auto next = [&rest](std::int64_t count) {
            const std::int64_t index = rest % count;
            rest /= count;
            return index;
        };
        Work work{};
        work.split = next(p.splits);
        work.v_part = next(v_parts);
        work.head = next(p.heads);
        work.sequence = next(p.sequences);
        work.row_tile = row_tiles - 1 - rest;  // those with the most keys first
        attend<Limbs, QkColumns, VTiles>(p, m, work);
    }
}

// o = sum over splits of e^(lse of the split - lse of all) * o of the split.
__global__ void combine_kernel(Attention p, Rows o) {
    const std::int64_t rows = p.sequences * p.queries * p.rows_per_query;
    for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        float largest = -INFINITY;
        for (std::int64_t split = 0; split < p.splits; ++split) {
            largest = fmaxf(largest, p.split_lse[split * rows + row]);
        }
        float sum = 0;
        for (std::int64_t split = 0; split < p.splits; ++split) {
            sum += expf(p.split_lse[split * rows + row] - largest);
        }
        for (std::int64_t column = threadIdx.x; column < p.v_dim; column += blockDim.x) {
            float value = 0;
            for (std::int64_t split = 0; split < p.splits; ++split) {
                const float share = expf(p.split_lse[split * rows + row] - largest) / sum;
                if (share > 0) {  // a split without keys wrote nothing of use
                    value += share * p.split_o[(split * rows + row) * p.v_dim + column];
                }
            }
            set_element(o, row, column, value);
        }
    }
}

template <int Limbs, int QkColumns, int VTiles>
void launch_attention(const Attention& args, bool own_v_tile, const Launch& launch) {
    constexpr int kVColumns = kSides * VTiles * 8;
    const std::size_t bytes = tile_bytes(kQueryTile, QkColumns, Limbs) +
                              tile_bytes(kKeyTile, QkColumns, Limbs) +
                              tile_bytes(kQueryTile, kKeyTile, Limbs) +
                              (own_v_tile ? tile_bytes(kKeyTile, kVColumns, Limbs) : 0);
    const std::int64_t blocks = args.sequences * args.heads *
                                ceil_div(args.queries * args.rows_per_query, kQueryTile) *
                                ceil_div(args.v_dim, kVColumns) * args.splits;
    launch_kernel(
        attention_kernel<Limbs, QkColumns, VTiles>, grid_for_tile_blocks(blocks, launch),
        dim3{kAttentionThreads, 1, 1}, bytes, launch, args,
        AttentionRows{rows_of(args.q.matrix), rows_of(args.k.matrix), rows_of(args.k_shared.matrix),
                      rows_of(args.v.matrix), rows_of(args.o)});
}

}  // namespace

void attention(const Attention& args, const Launch& launch) {
    R1_CHECK(args.splits == 1 || args.heads == 1);
    const bool is_f32 = args.q.matrix.dtype == DType::f32 || args.k.matrix.dtype == DType::f32 ||
                        args.v.matrix.dtype == DType::f32;
    // The absorbed form of MLA: 512 latent and 64 rotary columns, read once for keys and values.
    const bool is_latent = args.v_is_k && args.qk_dim <= 576 && args.v_dim <= 512;
    if (is_f32) {
        launch_attention<3, 128, 8>(args, true, launch);
    } else if (hopper_latent_attention(args, launch) || hopper_head_attention(args, launch)) {
        // nothing is left but the splits
    } else if (is_latent) {
        launch_attention<1, 576, 32>(args, false, launch);
    } else {
        launch_attention<1, 192, 8>(args, true, launch);
    }
    if (args.splits > 1) {
        const std::int64_t rows = args.sequences * args.queries * args.rows_per_query;
        launch_kernel(combine_kernel, grid_for(rows, launch), dim3{kThreads, 1, 1}, 0, launch, args,
                      rows_of(args.o));
    }
}

}  // namespace r1::cuda
