// A block takes 64 rows of queries and a range of keys in turns, 64 keys at a time. One thread of
// it keeps copies of them under way. The first warpgroup multiplies queries and keys and makes
// weights of the scores; then both multiply weights and values, each half of the columns, which are
// the first 512 of the keys. The design is that of FlashMLA (github.com/deepseek-ai/FlashMLA).
#include "kernels/cuda/hopper_attention.hpp"

#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/warpgroup.cuh"

namespace r1::cuda {

namespace {

constexpr int kLatentColumns = 512;
constexpr int kLatentQkColumns = 576;
constexpr int kSideColumns = kLatentColumns / 2;  // of a warpgroup
constexpr int kLatentRows = 64;                   // of queries
constexpr int kLatentKeys = 64;
constexpr int kColumnsInRow = static_cast<int>(kTileRowBytes) / 2;
constexpr int kParts = kLatentQkColumns / kColumnsInRow;  // tiles of 128 bytes beside each other
constexpr int kPartBytes = kLatentKeys * static_cast<int>(kTileRowBytes);
constexpr int kLatentTileBytes = kParts * kPartBytes;
constexpr int kDepthBytes = 32;  // of a product along the rows: 16 values
constexpr int kDepthRows = 16;   // and down the rows
constexpr int kKeyStages = 2;
constexpr unsigned kAttending = 2 * kWarpgroup;
constexpr unsigned kLatentThreads = kAttending + kWarpgroup;
constexpr unsigned kWeighingWarps = kWarpgroup / kWarp;
constexpr unsigned kAttendingWarps = kAttending / kWarp;
// The block's 64 K, which the compiler shares out evenly.
constexpr int kLoaderRegisters = 40;
constexpr int kAttenderRegisters = 232;
constexpr float kLog2E = 1.4426950408889634F;
constexpr float kLn2 = 0.6931471805599453F;

static_assert(kLatentRows == kLatentKeys, "queries, keys and weights lie in tiles of one height");

struct LatentAttention {
    std::int64_t sequences, queries, rows_per_query;
    float scale;
    std::int64_t keys_max;
    const std::int32_t* positions;
    std::int64_t key_rows;
    std::int64_t splits, split_keys;
    float* split_o;
    float* split_lse;
    Rows o;

    __device__ std::int64_t rows() const { return queries * rows_per_query; }
};

// Rows of a sequence's queries, and the keys that a block has for them.
struct Piece {
    std::int64_t sequence, split;
    std::int64_t row0, row_end;
    std::int64_t context;
    std::int64_t begin, end;
};

// Keys that a row sees.
__device__ std::int64_t seen_by(const LatentAttention& p, const Piece& piece, std::int64_t row) {
    return piece.context - p.queries + row / p.rows_per_query + 1;
}

template <class Body>
__device__ __forceinline__ void for_each_piece(const LatentAttention& p, const Body& body) {
    const std::int64_t row_tiles = ceil_div(p.rows(), kLatentRows);
    for (std::int64_t i = blockIdx.x; i < p.splits * p.sequences * row_tiles; i += gridDim.x) {
        Piece piece{};
        piece.split = i % p.splits;
        piece.sequence = i / p.splits % p.sequences;
        // Those with the most keys first.
        piece.row0 = (row_tiles - 1 - i / p.splits / p.sequences) * kLatentRows;
        piece.row_end = std::min(piece.row0 + kLatentRows, p.rows());
        piece.context = p.positions == nullptr
                            ? p.keys_max
                            : p.positions[(piece.sequence + 1) * p.queries - 1] + std::int64_t{1};
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
struct Exchange {
    unsigned char* q;
    unsigned char* keys;     // [kKeyStages]
    unsigned char* weights;  // [64 rows, 64 keys] BF16
    float* row_values;       // [64], beside the weights
    Barrier* q_here;
    Barrier* q_free;
    Barrier* keys_here;  // [kKeyStages]
    Barrier* keys_free;  // [kKeyStages]
    Barrier* weights_here;
    Barrier* weights_free;
    Barrier* cleared;
};

constexpr int kBarriers = 5 + 2 * kKeyStages;
constexpr std::size_t kLatentShared = kTileAlignment + (1 + kKeyStages) * kLatentTileBytes +
                                      kPartBytes + kLatentRows * sizeof(float) +
                                      kBarriers * sizeof(Barrier);
static_assert(kLatentShared <= 227 * 1024);

__device__ Exchange carve_exchange() {
    unsigned char* memory = dynamic_shared();
    memory += (kTileAlignment - shared_address(memory) % kTileAlignment) % kTileAlignment;
    Exchange x{};
    x.q = memory;
    x.keys = x.q + kLatentTileBytes;
    x.weights = x.keys + kKeyStages * kLatentTileBytes;
    x.row_values = reinterpret_cast<float*>(x.weights + kPartBytes);
    auto* barriers = reinterpret_cast<Barrier*>(x.row_values + kLatentRows);
    x.q_here = barriers++;
    x.q_free = barriers++;
    x.weights_here = barriers++;
    x.weights_free = barriers++;
    x.cleared = barriers++;
    x.keys_here = barriers;
    x.keys_free = barriers + kKeyStages;
    return x;
}

__device__ void init_barriers(const Exchange& x) {
    barrier_init(x.q_here, 1);
    barrier_init(x.q_free, kWeighingWarps);
    barrier_init(x.weights_here, kWeighingWarps);
    barrier_init(x.weights_free, kAttendingWarps);
    barrier_init(x.cleared, kAttendingWarps);
    for (int i = 0; i < kKeyStages; ++i) {
        barrier_init(x.keys_here + i, 1);
        barrier_init(x.keys_free + i, kAttendingWarps);
    }
    barriers_ready();
}

// Which phase of a barrier comes next; with stages, of which of them.
struct Turn {
    int stage = 0;
    unsigned parity = 0;

    __device__ void next(int stages = 1) {
        if (++stage == stages) {
            stage = 0;
            parity ^= 1U;
        }
    }
};

__device__ __forceinline__ void load_latent_rows(unsigned char* to, const TileMap& map,
                                                 std::int64_t row, Barrier* here) {
    barrier_arrive_expecting(here, kLatentTileBytes);
    for (int part = 0; part < kParts; ++part) {
        load_tile(to + part * kPartBytes, map, part * std::int64_t{kTileRowBytes}, row, here);
    }
}

// By one thread.
__device__ void load_pieces(const TileMap& q, const TileMap& keys, const LatentAttention& p,
                            const Exchange& x) {
    Turn q_turn;
    Turn key_turn;
    for_each_piece(p, [&](const Piece& piece) {
        if (piece.begin >= piece.end) {
            return;
        }
        barrier_wait(x.q_free, q_turn.parity ^ 1U);
        load_latent_rows(x.q, q, piece.sequence * p.rows() + piece.row0, x.q_here);
        q_turn.next();
        for (std::int64_t key = piece.begin; key < piece.end; key += kLatentKeys) {
            barrier_wait(x.keys_free + key_turn.stage, key_turn.parity ^ 1U);
            load_latent_rows(x.keys + key_turn.stage * kLatentTileBytes, keys,
                             piece.sequence * p.key_rows + key, x.keys_here + key_turn.stage);
            key_turn.next(kKeyStages);
        }
    });
}

// Keys behind the sequence's last are whatever lies there; their weights are zero, but zero times
// that may be NaN.
__device__ void clear_keys(unsigned char* keys, int first) {
    constexpr int kWords = static_cast<int>(kTileRowBytes / sizeof(uint4));
    for (int i = static_cast<int>(threadIdx.x); i < (kLatentKeys - first) * kParts * kWords;
         i += static_cast<int>(kAttending)) {
        const int row = first + i / (kParts * kWords);
        const int part = i / kWords % kParts;
        reinterpret_cast<uint4*>(keys + part * kPartBytes)[row * kWords + i % kWords] = {0, 0, 0,
                                                                                         0};
    }
    stored_for_products();
}

// What the first warpgroup knows of the lane's two rows.
struct RowState {
    float largest[2] = {-INFINITY, -INFINITY};  // in powers of two
    float sum[2] = {0, 0};                      // of the lane's weights
};

// Scores to weights; returns what earlier sums shrink by.
__device__ __forceinline__ void weigh(const LatentAttention& p, const Piece& piece,
                                      std::int64_t key0, float (&s)[32], RowState& state,
                                      float (&shrink)[2]) {
    const float scale = p.scale * kLog2E;
    const auto column0 = static_cast<int>(threadIdx.x % 4 * 2);
#pragma unroll
    for (int high = 0; high < 2; ++high) {
        const std::int64_t row = piece.row0 + row_of_lane() + 8 * high;
        const std::int64_t seen =
            std::min(piece.end, row < piece.row_end ? seen_by(p, piece, row) : std::int64_t{0});
        const auto visible = static_cast<int>(std::min<std::int64_t>(seen - key0, kLatentKeys));
        float own = -INFINITY;
#pragma unroll
        for (int i = 2 * high; i < 32; i += 4) {
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                const bool is_seen = i / 4 * 8 + column0 + c < visible;
                s[i + c] = is_seen ? s[i + c] * scale : -INFINITY;
                own = fmaxf(own, s[i + c]);
            }
        }
        const float now = fmaxf(state.largest[high], row_reduce(own, Max{}));
        // A row that has seen nothing yet keeps its zeros.
        const float base = now == -INFINITY ? 0.0F : now;
        shrink[high] = exp2f(state.largest[high] - base);
        state.largest[high] = now;
        state.sum[high] *= shrink[high];
#pragma unroll
        for (int i = 2 * high; i < 32; i += 4) {
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                s[i + c] = exp2f(s[i + c] - base);
                state.sum[high] += s[i + c];
            }
        }
    }
}

__device__ __forceinline__ void store_weights(unsigned char* weights, const float (&s)[32]) {
    const int row = row_of_lane();
#pragma unroll
    for (int i = 0; i < 32; i += 4) {
        const int place = (i / 4 ^ row % 8) * 16 + static_cast<int>(threadIdx.x % 4) * 4;
        unsigned char* low = weights + row * static_cast<int>(kTileRowBytes) + place;
        *reinterpret_cast<unsigned*>(low) = bf16_pair(s[i], s[i + 1]);
        *reinterpret_cast<unsigned*>(low + kTileAlignment) = bf16_pair(s[i + 2], s[i + 3]);
    }
    stored_for_products();
}

// The lane's rows' values to the other warpgroup.
__device__ __forceinline__ void store_row_values(float* row_values, const float (&values)[2]) {
    if (threadIdx.x % 4 == 0) {
        row_values[row_of_lane()] = values[0];
        row_values[row_of_lane() + 8] = values[1];
    }
}

__device__ __forceinline__ void multiply_keys(const Exchange& x, const unsigned char* keys,
                                              float (&s)[32]) {
    const unsigned q_at = shared_address(x.q);
    const unsigned keys_at = shared_address(keys);
    products_begin(s);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
#pragma unroll
        for (int byte = 0; byte < static_cast<int>(kTileRowBytes); byte += kDepthBytes) {
            const int at = part * kPartBytes + byte;
            product_bf16(s, tile_operand(q_at + at), tile_operand(keys_at + at), at != 0);
        }
    }
    products_wait(s);
}

__device__ __forceinline__ void add_values(const Exchange& x, const unsigned char* keys,
                                           float (&sums)[128]) {
    const int side = static_cast<int>(threadIdx.x / kWarpgroup);
    const unsigned weights_at = shared_address(x.weights);
    const unsigned values_at =
        shared_address(keys) + side * (kSideColumns / kColumnsInRow) * kPartBytes;
    products_begin(sums);
#pragma unroll
    for (int i = 0; i < kLatentKeys / kDepthRows; ++i) {
        product_bf16_transposed(
            sums, tile_operand(weights_at + i * kDepthBytes),
            transposed_operand(values_at + i * kDepthRows * static_cast<int>(kTileRowBytes),
                               kPartBytes),
            true);
    }
    products_wait(sums);
}

// Where a warpgroup stands.
struct Progress {
    Turn q, keys, weights, cleared;
};

__device__ __forceinline__ void store_piece(const LatentAttention& p, const Piece& piece,
                                            const Exchange& x, const float (&sums)[128]) {
    const int side = static_cast<int>(threadIdx.x / kWarpgroup);
    const std::int64_t first = piece.sequence * p.rows() + piece.row0 + row_of_lane();
    const std::int64_t end = piece.sequence * p.rows() + piece.row_end;
    const std::int64_t all_rows = p.sequences * p.rows();
    Rows to = p.o;
    if (p.splits > 1) {
        to = {p.split_o + piece.split * all_rows * kLatentColumns, kLatentColumns, false, true};
    }
    const float inverse[2] = {1.0F / x.row_values[row_of_lane()],
                              1.0F / x.row_values[row_of_lane() + 8]};
    for_each_group_of_sums(sums, [&](int high, int column, Group group) {
#pragma unroll
        for (float& value : group.v) {
            value *= inverse[high / 8];
        }
        if (first + high < end) {
            store_group(to, first + high, side * kSideColumns + column, kLatentColumns, group);
        }
    });
}

__device__ __forceinline__ void store_lse(const LatentAttention& p, const Piece& piece,
                                          const float (&lse)[2]) {
    const std::int64_t at = (piece.split * p.sequences + piece.sequence) * p.rows();
#pragma unroll
    for (int high = 0; high < 2; ++high) {
        const std::int64_t row = piece.row0 + row_of_lane() + 8 * high;
        if (p.splits > 1 && threadIdx.x % 4 == 0 && row < piece.row_end) {
            p.split_lse[at + row] = lse[high];
        }
    }
}

// By a warpgroup. Weighs: it is the first.
template <bool Weighs>
__device__ __forceinline__ void attend_piece(const LatentAttention& p, const Piece& piece,
                                             const Exchange& x, Progress& turn) {
    RowState state;
    float sums[128] = {};
    for (std::int64_t key = piece.begin; key < piece.end; key += kLatentKeys) {
        unsigned char* keys = x.keys + turn.keys.stage * kLatentTileBytes;
        barrier_wait(x.keys_here + turn.keys.stage, turn.keys.parity);
        if (key + kLatentKeys > piece.context) {
            clear_keys(keys, static_cast<int>(piece.context - key));
            warp_arrive(x.cleared);
            barrier_wait(x.cleared, turn.cleared.parity);
            turn.cleared.next();
        }
        if constexpr (Weighs) {
            if (key == piece.begin) {
                barrier_wait(x.q_here, turn.q.parity);
            }
            float s[32];
            float shrink[2];
            multiply_keys(x, keys, s);
            if (key + kLatentKeys >= piece.end) {
                warp_arrive(x.q_free);
                turn.q.next();
            }
            weigh(p, piece, key, s, state, shrink);
            barrier_wait(x.weights_free, turn.weights.parity ^ 1U);
            store_weights(x.weights, s);
            store_row_values(x.row_values, shrink);
            warp_arrive(x.weights_here);
        }
        barrier_wait(x.weights_here, turn.weights.parity);
        turn.weights.next();
        const float low = x.row_values[row_of_lane()];
        const float high = x.row_values[row_of_lane() + 8];
        if (__ballot_sync(kAllLanes, low != 1.0F || high != 1.0F) != 0) {
#pragma unroll
            for (int i = 0; i < 128; ++i) {
                sums[i] *= i % 4 < 2 ? low : high;
            }
        }
        add_values(x, keys, sums);
        warp_arrive(x.keys_free + turn.keys.stage);
        warp_arrive(x.weights_free);
        turn.keys.next(kKeyStages);
    }
    if constexpr (Weighs) {
        const float sum[2] = {row_reduce(state.sum[0], Add{}), row_reduce(state.sum[1], Add{})};
        store_lse(p, piece,
                  {state.largest[0] * kLn2 + logf(sum[0]), state.largest[1] * kLn2 + logf(sum[1])});
        if (piece.begin < piece.end) {
            barrier_wait(x.weights_free, turn.weights.parity ^ 1U);
            store_row_values(x.row_values, sum);
            warp_arrive(x.weights_here);
        }
    }
    if (piece.begin < piece.end) {
        barrier_wait(x.weights_here, turn.weights.parity);
        turn.weights.next();
        store_piece(p, piece, x, sums);
        warp_arrive(x.weights_free);
    }
}

__global__ __launch_bounds__(kLatentThreads,
                             1) void hopper_attention_kernel(const __grid_constant__ TileMap q,
                                                             const __grid_constant__ TileMap keys,
                                                             LatentAttention p) {
    const Exchange x = carve_exchange();
    if (threadIdx.x == 0) {
        init_barriers(x);
    }
    __syncthreads();
    if (threadIdx.x < kAttending) {
        take_registers<kAttenderRegisters>();
        Progress turn;
        if (threadIdx.x < kWarpgroup) {
            for_each_piece(p, [&](const Piece& piece) { attend_piece<true>(p, piece, x, turn); });
        } else {
            for_each_piece(p, [&](const Piece& piece) { attend_piece<false>(p, piece, x, turn); });
        }
    } else {
        give_registers<kLoaderRegisters>();
        if (threadIdx.x == kAttending) {
            load_pieces(q, keys, p, x);
        }
    }
}

// Rows that copies can take.
bool is_latent(const ConstMatrix& matrix) {
    constexpr std::int64_t kAlignment = 16;
    return matrix.dtype == DType::bf16 &&
           reinterpret_cast<std::uintptr_t>(matrix.data) % kAlignment == 0 &&
           matrix.stride * 2 % kAlignment == 0;
}

TileMap latent_map(const ConstMatrix& matrix, std::int64_t rows) {
    return tile_map(matrix.data, rows, kLatentQkColumns * 2, matrix.stride * 2, kLatentRows);
}

}  // namespace

bool hopper_attention(const Attention& args, const Launch& launch) {
    if (!launch.is_hopper || !args.v_is_k || args.heads != 1 || args.lse != nullptr ||
        args.qk_dim != kLatentQkColumns || args.v_dim != kLatentColumns ||
        !is_latent(args.q.matrix) || !is_latent(args.k.matrix) || args.q.column != 0 ||
        args.k.column != 0) {
        return false;
    }
    const LatentAttention p{args.sequences,  args.queries,   args.rows_per_query, args.scale,
                            args.keys_max,   args.positions, args.key_rows,       args.splits,
                            args.split_keys, args.split_o,   args.split_lse,      rows_of(args.o)};
    const std::int64_t rows = args.queries * args.rows_per_query;
    const std::int64_t pieces = args.sequences * args.splits * ceil_div(rows, kLatentRows);
    if (pieces > 0) {
        launch_kernel(
            hopper_attention_kernel,
            dim3{static_cast<unsigned>(std::min<std::int64_t>(pieces, std::max(launch.sms, 1))), 1,
                 1},
            dim3{kLatentThreads, 1, 1}, kLatentShared, launch,
            latent_map(args.q.matrix, args.sequences * rows),
            latent_map(args.k.matrix, args.sequences * args.key_rows), p);
    }
    return true;
}

}  // namespace r1::cuda
