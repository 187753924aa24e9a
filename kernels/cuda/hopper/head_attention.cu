// A block takes 128 queries of a head in turns, and their keys 128 at a time. One thread of it
// keeps copies of keys and values under way; two warpgroups have 64 queries each. While one makes
// weights of its scores, the tensor cores may work for the other, which nothing enforces. Weights
// stay in registers. The design is that of FlashAttention-3 (arXiv 2407.08608).
#include "kernels/cuda/hopper/head_attention.hpp"

#include "kernels/cuda/hopper/softmax.cuh"

namespace r1::cuda {

namespace {

constexpr int kHeadQkColumns = 192;
constexpr int kHeadVColumns = 128;
constexpr int kHeadRows = 128;  // of queries, and of keys
constexpr int kHeadGroupRows = 64;
constexpr int kHeadPartColumns = static_cast<int>(kTileRowBytes) / 2;
constexpr int kHeadPartBytes = kHeadRows * static_cast<int>(kTileRowBytes);
constexpr int kQkParts = kHeadQkColumns / kHeadPartColumns;
constexpr int kVParts = kHeadVColumns / kHeadPartColumns;
constexpr int kHeadStageBytes = (kQkParts + kVParts) * kHeadPartBytes;
constexpr int kHeadStages = 2;

// Where a head's columns begin, in bytes: first + head * step.
struct HeadBytes {
    std::int64_t first, step;

    [[nodiscard]] __device__ std::int64_t of(int head) const { return first + head * step; }
};

struct HeadAttention {
    int sequences, queries, heads;
    float scale;
    int keys_max;
    const std::int32_t* positions;
    std::int64_t key_rows;
    HeadBytes q, k, k_shared, v;
    int own_parts;  // of a key, 64 columns each; the others are shared
    Rows o;
    float* lse;
};

struct HeadMaps {
    TileMap q, k, k_shared, v;
};

// 128 queries of a head of a sequence, and the keys that they see.
struct HeadPiece {
    int sequence, head, row0, context, end;
};

template <class Body>
__device__ __forceinline__ void for_each_head_piece(const HeadAttention& p, const Body& body) {
    const int row_tiles = (p.queries + kHeadRows - 1) / kHeadRows;
    for (int i = static_cast<int>(blockIdx.x); i < p.sequences * p.heads * row_tiles;
         i += static_cast<int>(gridDim.x)) {
        HeadPiece piece{};
        // Tiles of a head, which read the same keys, beside each other; turned from head to head,
        // or a block would have the longest of each.
        piece.row0 = (row_tiles - 1 - (i + i / row_tiles) % row_tiles) * kHeadRows;
        piece.head = i / row_tiles % p.heads;
        piece.sequence = i / row_tiles / p.heads;
        piece.context = p.positions == nullptr
                            ? p.keys_max
                            : p.positions[(piece.sequence + 1) * p.queries - 1] + 1;
        if (piece.context < p.queries || piece.context > p.keys_max) {
            trap();
        }
        piece.end = piece.context - p.queries + std::min(piece.row0 + kHeadRows, p.queries);
        body(piece);
    }
}

// In the block's shared memory.
class HeadExchange {
public:
    static constexpr int kBarriers = 3 + 2 * kHeadStages;
    static constexpr std::size_t kBytes =
        kQkParts * kHeadPartBytes + kHeadStages * kHeadStageBytes + kBarriers * sizeof(Barrier);
    static_assert(kBytes <= 227 * 1024);

    [[nodiscard]] __device__ unsigned char* q() const { return memory_; }
    [[nodiscard]] __device__ unsigned char* keys(int stage) const {
        return memory_ + kQkParts * kHeadPartBytes + stage * kHeadStageBytes;
    }
    [[nodiscard]] __device__ unsigned char* values(int stage) const {
        return keys(stage) + kQkParts * kHeadPartBytes;
    }
    [[nodiscard]] __device__ Barrier* q_here() const { return barrier(0); }
    [[nodiscard]] __device__ Barrier* q_free() const { return barrier(1); }
    [[nodiscard]] __device__ Barrier* cleared() const { return barrier(2); }
    [[nodiscard]] __device__ Barrier* here(int stage) const { return barrier(3 + stage); }
    [[nodiscard]] __device__ Barrier* free(int stage) const {
        return barrier(3 + kHeadStages + stage);
    }

    __device__ void init_barriers() const {
        barrier_init(q_here(), 1);
        barrier_init(q_free(), kMultiplyingWarps);
        barrier_init(cleared(), kMultiplyingWarps);
        for (int i = 0; i < kHeadStages; ++i) {
            barrier_init(here(i), 1);
            barrier_init(free(i), kMultiplyingWarps);
        }
    }

private:
    [[nodiscard]] __device__ Barrier* barrier(int i) const {
        return reinterpret_cast<Barrier*>(keys(kHeadStages)) + i;
    }

    unsigned char* memory_ = dynamic_tiles();
};

// By one thread.
__device__ void load_head_pieces(const HeadMaps& maps, const HeadAttention& p,
                                 const HeadExchange& x) {
    Turn q_turn;
    Turn turn;
    for_each_head_piece(p, [&](const HeadPiece& piece) {
        barrier_wait(x.q_free(), q_turn.parity ^ 1U);
        barrier_arrive_expecting(x.q_here(), kQkParts * kHeadPartBytes);
        const std::int64_t q_row = std::int64_t{piece.sequence} * p.queries + piece.row0;
        for (int part = 0; part < kQkParts; ++part) {
            load_tile(x.q() + part * kHeadPartBytes, maps.q,
                      p.q.of(piece.head) + part * std::int64_t{kTileRowBytes}, q_row, x.q_here());
        }
        q_turn.next();
        for (int key = 0; key < piece.end; key += kHeadRows) {
            Barrier* here = x.here(turn.stage);
            const std::int64_t row = piece.sequence * p.key_rows + key;
            barrier_wait(x.free(turn.stage), turn.parity ^ 1U);
            barrier_arrive_expecting(here, kHeadStageBytes);
            for (int part = 0; part < kQkParts; ++part) {
                const bool is_own = part < p.own_parts;
                const std::int64_t first =
                    is_own ? p.k.of(piece.head) + part * std::int64_t{kTileRowBytes}
                           : p.k_shared.of(piece.head) +
                                 (part - p.own_parts) * std::int64_t{kTileRowBytes};
                load_tile(x.keys(turn.stage) + part * kHeadPartBytes,
                          is_own ? maps.k : maps.k_shared, first, row, here);
            }
            for (int part = 0; part < kVParts; ++part) {
                load_tile(x.values(turn.stage) + part * kHeadPartBytes, maps.v,
                          p.v.of(piece.head) + part * std::int64_t{kTileRowBytes}, row, here);
            }
            turn.next(kHeadStages);
        }
    });
}

__device__ __forceinline__ void head_scores(const HeadExchange& x, int stage, float (&s)[64]) {
    const auto group = static_cast<int>(threadIdx.x / kWarpgroup);
    const std::uint64_t q = tile_operand(
        uniform_address(x.q() + group * kHeadGroupRows * static_cast<int>(kTileRowBytes)));
    const std::uint64_t keys = tile_operand(uniform_address(x.keys(stage)));
    products_begin(s);
#pragma unroll
    for (int part = 0; part < kQkParts; ++part) {
#pragma unroll
        for (int byte = 0; byte < static_cast<int>(kTileRowBytes); byte += kDepthBytes) {
            const int at = part * kHeadPartBytes + byte;
            product_bf16(s, operand_behind(q, at), operand_behind(keys, at), at != 0);
        }
    }
    products_end();
    products_wait<0>(s);
}

// The weights are those of the lane's part of the scores, which is how products take them.
__device__ __forceinline__ void add_head_values(const HeadExchange& x, int stage,
                                                const float (&weights)[64], float (&sums)[64]) {
    unsigned a[kHeadRows / kDepthRows][4];
#pragma unroll
    for (int i = 0; i < kHeadRows / kDepthRows; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            a[i][j] = bf16_pair(weights[8 * i + 2 * j], weights[8 * i + 2 * j + 1]);
        }
    }
    const std::uint64_t values =
        transposed_operand(uniform_address(x.values(stage)), kHeadPartBytes);
    products_begin(sums);
#pragma unroll
    for (int i = 0; i < kHeadRows / kDepthRows; ++i) {
        product_bf16_transposed(
            sums, a[i], operand_behind(values, i * kDepthRows * static_cast<int>(kTileRowBytes)));
    }
    products_end();
    products_wait<0>(sums);
}

__device__ __forceinline__ void store_heads(const HeadAttention& p, const HeadPiece& piece,
                                            const RowState& state, const float (&sums)[64]) {
    const int row0 =
        piece.row0 + static_cast<int>(threadIdx.x / kWarpgroup) * kHeadGroupRows + row_of_lane();
    const std::int64_t first = std::int64_t{piece.sequence} * p.queries;
    float sum[2];
#pragma unroll
    for (int high = 0; high < 2; ++high) {
        sum[high] = row_reduce(state.sum[high], Add{});
        const int row = row0 + 8 * high;
        if (p.lse != nullptr && threadIdx.x % 4 == 0 && row < p.queries) {
            p.lse[(first + row) * p.heads + piece.head] = lse_of(state.largest[high], sum[high]);
        }
    }
    const float inverse[2] = {1.0F / sum[0], 1.0F / sum[1]};
    const std::int64_t column0 = std::int64_t{piece.head} * kHeadVColumns;
#pragma unroll
    for (int i = 0; i < 64 / 8; ++i) {
        const GroupPlace place = place_of_group<64>(i);
        Group group = gather_group(sums, i);
#pragma unroll
        for (float& value : group.v) {
            value *= inverse[place.row / 8];
        }
        if (row0 + place.row < p.queries) {
            store_group(p.o, first + row0 + place.row, column0 + place.column,
                        column0 + kHeadVColumns, group);
        }
    }
}

// By a warpgroup, its half of the queries.
__device__ __forceinline__ void attend_heads(const HeadAttention& p, const HeadExchange& x) {
    Turn q_turn;
    Turn turn;
    Turn cleared;
    for_each_head_piece(p, [&](const HeadPiece& piece) {
        const int row = piece.row0 + static_cast<int>(threadIdx.x / kWarpgroup) * kHeadGroupRows +
                        row_of_lane();
        const int seen = piece.context - p.queries + row + 1;
        RowState state;
        float sums[64] = {};
        barrier_wait(x.q_here(), q_turn.parity);
        q_turn.next();
        for (int key = 0; key < piece.end; key += kHeadRows) {
            barrier_wait(x.here(turn.stage), turn.parity);
            if (key + kHeadRows > piece.context) {
                clear_rows<kHeadRows, kVParts>(x.values(turn.stage), piece.context - key);
                warp_arrive(x.cleared());
                barrier_wait(x.cleared(), cleared.parity);
                cleared.next();
            }
            float s[64];
            float shrink[2];
            head_scores(x, turn.stage, s);
            if (key + kHeadRows >= piece.end) {
                warp_arrive(x.q_free());
            }
            const int visible[2] = {std::min(seen, piece.context) - key,
                                    std::min(seen + 8, piece.context) - key};
            weigh(p.scale, visible, s, state, shrink);
            shrink_rows(shrink, sums);
            add_head_values(x, turn.stage, s, sums);
            warp_arrive(x.free(turn.stage));
            turn.next(kHeadStages);
        }
        store_heads(p, piece, state, sums);
    });
}

__global__ __launch_bounds__(kRoleThreads, 1) void hopper_head_attention_kernel(
    const __grid_constant__ HeadMaps maps, HeadAttention p) {
    const HeadExchange x;
    run_roles([&] { x.init_barriers(); }, [&] { load_head_pieces(maps, p, x); },
              [&] { attend_heads(p, x); });
}

TileMap head_map(const HeadColumns& columns, std::int64_t rows) {
    return tile_map(columns.matrix.data, rows, columns.matrix.stride * 2, columns.matrix.stride * 2,
                    kHeadRows);
}

HeadBytes bytes_of(const HeadColumns& columns) {
    return {columns.column * 2, columns.head_stride * 2};
}

bool is_bf16_in_tiles(const HeadColumns& columns) {
    return columns.matrix.dtype == DType::bf16 && has_tiles(columns.matrix);
}

bool takes_heads(const Attention& args) {
    const bool has_shared = args.k_dim != args.qk_dim;
    return args.scale > 0 && args.rows_per_query == 1 && args.splits == 1 && !args.v_is_k &&
           args.qk_dim == kHeadQkColumns && args.v_dim == kHeadVColumns &&
           args.k_dim % kHeadPartColumns == 0 && is_bf16_in_tiles(args.q) &&
           is_bf16_in_tiles(args.k) && is_bf16_in_tiles(args.v) &&
           (!has_shared || is_bf16_in_tiles(args.k_shared)) &&
           args.sequences * std::max(args.heads * args.queries, args.key_rows + args.keys_max) <
               std::int64_t{1} << 30;
}

}  // namespace

bool hopper_head_attention(const Attention& args, const Launch& launch) {
    if (!launch.is_hopper || !takes_heads(args)) {
        return false;
    }
    const std::int64_t pieces = args.sequences * args.heads * ceil_div(args.queries, kHeadRows);
    if (pieces == 0) {
        return true;
    }
    const auto whole = [](std::int64_t value) { return static_cast<int>(value); };
    const HeadColumns& shared = args.k_dim == args.qk_dim ? args.k : args.k_shared;
    const HeadAttention p{whole(args.sequences), whole(args.queries),
                          whole(args.heads),     args.scale,
                          whole(args.keys_max),  args.positions,
                          args.key_rows,         bytes_of(args.q),
                          bytes_of(args.k),      bytes_of(shared),
                          bytes_of(args.v),      whole(args.k_dim / kHeadPartColumns),
                          rows_of(args.o),       args.lse};
    const std::int64_t key_rows = (args.sequences - 1) * args.key_rows + args.keys_max;
    const HeadMaps maps{head_map(args.q, args.sequences * args.queries), head_map(args.k, key_rows),
                        head_map(shared, key_rows), head_map(args.v, key_rows)};
    launch_kernel(hopper_head_attention_kernel, grid_of_roles(pieces, launch),
                  dim3{kRoleThreads, 1, 1}, HeadExchange::kBytes, launch, maps, p);
    return true;
}

}  // namespace r1::cuda
