// A block takes 64 rows of queries and a range of keys in turns, 64 keys at a time. One thread of
// it keeps copies of them under way. The first warpgroup multiplies queries and keys and makes
// weights of the scores; then both multiply weights and values, each half of the columns, which are
// the first 512 of the keys. The design is that of FlashMLA (github.com/deepseek-ai/FlashMLA).
#include "kernels/cuda/hopper/latent_attention.hpp"

#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/hopper/latent_exchange.cuh"
#include "kernels/cuda/hopper/softmax.cuh"

namespace r1::cuda {

namespace {

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
        barrier_wait(x.q_free(), q_turn.parity ^ 1U);
        load_latent_rows(x.q(), q, std::int64_t{piece.sequence} * p.rows() + piece.row0,
                         x.q_here());
        q_turn.next();
        for (int key = piece.begin; key < piece.end; key += kLatentKeys) {
            barrier_wait(x.keys_free(key_turn.stage), key_turn.parity ^ 1U);
            load_latent_rows(x.keys(key_turn.stage), keys, piece.sequence * p.key_rows + key,
                             x.keys_here(key_turn.stage));
            key_turn.next(kKeyStages);
        }
    });
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

__device__ __forceinline__ void start_scores(const Exchange& x, const unsigned char* keys,
                                             float (&s)[32]) {
    const std::uint64_t q_operand = tile_operand(shared_address(x.q()));
    const std::uint64_t keys_operand = tile_operand(uniform_address(keys));
    products_begin(s);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
#pragma unroll
        for (int byte = 0; byte < static_cast<int>(kTileRowBytes); byte += kDepthBytes) {
            const int at = part * kPartBytes + byte;
            product_bf16(s, operand_behind(q_operand, at), operand_behind(keys_operand, at),
                         at != 0);
        }
    }
    products_end();
}

__device__ __forceinline__ void start_values(const Exchange& x, const unsigned char* keys,
                                             float (&sums)[128]) {
    const int side = static_cast<int>(threadIdx.x / kWarpgroup);
    const std::uint64_t weights = tile_operand(shared_address(x.weights()));
    const std::uint64_t values = transposed_operand(
        uniform_address(keys + side * (kSideColumns / kColumnsInRow) * kPartBytes), kPartBytes);
    products_begin(sums);
#pragma unroll
    for (int i = 0; i < kLatentKeys / kDepthRows; ++i) {
        product_bf16_transposed(
            sums, operand_behind(weights, i * kDepthBytes),
            operand_behind(values, i * kDepthRows * static_cast<int>(kTileRowBytes)), true);
    }
    products_end();
}

struct Keys {
    unsigned char* memory;
    Barrier* free;
};

// Those from `key` on, once they are there.
__device__ __forceinline__ Keys await_keys(const Piece& piece, const Exchange& x, int key,
                                           Progress& turn) {
    const Keys keys{x.keys(turn.keys.stage), x.keys_free(turn.keys.stage)};
    barrier_wait(x.keys_here(turn.keys.stage), turn.keys.parity);
    turn.keys.next(kKeyStages);
    if (key + kLatentKeys > piece.context) {
        clear_rows<kLatentKeys, kParts>(keys.memory, piece.context - key);
        warp_arrive(x.cleared());
        barrier_wait(x.cleared(), turn.cleared.parity);
        turn.cleared.next();
    }
    return keys;
}

// Earlier sums to the largest score that a row has seen by now.
__device__ __forceinline__ void shrink_sums(const Exchange& x, float (&sums)[128]) {
    shrink_rows({x.row_values()[row_of_lane()], x.row_values()[row_of_lane() + 8]}, sums);
}

__device__ __forceinline__ void store_piece(const LatentAttention& p, const Piece& piece,
                                            const Exchange& x, const float (&sums)[128]) {
    const int side = static_cast<int>(threadIdx.x / kWarpgroup);
    const std::int64_t first = std::int64_t{piece.sequence} * p.rows() + piece.row0 + row_of_lane();
    const std::int64_t end = std::int64_t{piece.sequence} * p.rows() + piece.row_end;
    const std::int64_t all_rows = std::int64_t{p.sequences} * p.rows();
    Rows to = p.o;
    if (p.splits > 1) {
        to = {p.split_o + piece.split * all_rows * kLatentColumns, kLatentColumns, false, true};
    }
    const float inverse[2] = {1.0F / x.row_values()[row_of_lane()],
                              1.0F / x.row_values()[row_of_lane() + 8]};
#pragma unroll
    for (int i = 0; i < 128 / 8; ++i) {
        const GroupPlace place = place_of_group<128>(i);
        Group group = gather_group(sums, i);
#pragma unroll
        for (float& value : group.v) {
            value *= inverse[place.row / 8];
        }
        if (first + place.row < end) {
            store_group(to, first + place.row, side * kSideColumns + place.column, kLatentColumns,
                        group);
        }
    }
}

__device__ __forceinline__ void store_lse(const LatentAttention& p, const Piece& piece,
                                          const float (&lse)[2]) {
    const std::int64_t at = (std::int64_t{piece.split} * p.sequences + piece.sequence) * p.rows();
#pragma unroll
    for (int high = 0; high < 2; ++high) {
        const int row = piece.row0 + row_of_lane() + 8 * high;
        if (p.splits > 1 && threadIdx.x % 4 == 0 && row < piece.row_end) {
            p.split_lse[at + row] = lse[high];
        }
    }
}

// By the first warpgroup: the scores of the keys from `key` on to weights, for both.
__device__ __forceinline__ void hand_over_weights(const LatentAttention& p, const Piece& piece,
                                                  const Exchange& x, int key, const Progress& turn,
                                                  RowState& state, float (&s)[32]) {
    float shrink[2];
    int visible[2];
#pragma unroll
    for (int high = 0; high < 2; ++high) {
        const int row = piece.row0 + row_of_lane() + 8 * high;
        visible[high] = std::min(piece.end, row < piece.row_end ? seen_by(p, piece, row) : 0) - key;
    }
    weigh(p.scale, visible, s, state, shrink);
    barrier_wait(x.weights_free(), turn.weights.parity ^ 1U);
    store_weights(x.weights(), s);
    store_row_values(x.row_values(), shrink);
    warp_arrive(x.weights_here());
}

__device__ __forceinline__ void await_weights(const Exchange& x, Progress& turn,
                                              float (&sums)[128]) {
    barrier_wait(x.weights_here(), turn.weights.parity);
    turn.weights.next();
    shrink_sums(x, sums);
}

// By the first warpgroup: weights, and its half of the columns. Scores of the next keys are started
// behind the products with the last ones' values; nothing is waited for in between, or the compiler
// puts one after the other.
__device__ __forceinline__ void weigh_and_add(const LatentAttention& p, const Piece& piece,
                                              const Exchange& x, Progress& turn, RowState& state,
                                              float (&sums)[128]) {
    float s[32];
    barrier_wait(x.q_here(), turn.q.parity);
    turn.q.next();
    Keys keys = await_keys(piece, x, piece.begin, turn);
    start_scores(x, keys.memory, s);
    products_wait<0>(s);
    int key = piece.begin;
    for (; key + kLatentKeys < piece.end; key += kLatentKeys) {
        hand_over_weights(p, piece, x, key, turn, state, s);
        const Keys next = await_keys(piece, x, key + kLatentKeys, turn);
        await_weights(x, turn, sums);
        start_values(x, keys.memory, sums);
        start_scores(x, next.memory, s);
        products_wait<1>(sums);
        warp_arrive(keys.free);
        warp_arrive(x.weights_free());
        products_wait<0>(s);
        keys = next;
    }
    warp_arrive(x.q_free());
    hand_over_weights(p, piece, x, key, turn, state, s);
    await_weights(x, turn, sums);
    start_values(x, keys.memory, sums);
    products_wait<0>(sums);
    warp_arrive(keys.free);
    warp_arrive(x.weights_free());
}

// By the second one: the other half of the columns.
__device__ __forceinline__ void add(const Piece& piece, const Exchange& x, Progress& turn,
                                    float (&sums)[128]) {
    for (int key = piece.begin; key < piece.end; key += kLatentKeys) {
        const Keys keys = await_keys(piece, x, key, turn);
        await_weights(x, turn, sums);
        start_values(x, keys.memory, sums);
        products_wait<0>(sums);
        warp_arrive(keys.free);
        warp_arrive(x.weights_free());
    }
}

// By a warpgroup. Weighs: it is the first.
template <bool Weighs>
__device__ __forceinline__ void attend_piece(const LatentAttention& p, const Piece& piece,
                                             const Exchange& x, Progress& turn) {
    const bool has_keys = piece.begin < piece.end;
    float sums[128] = {};
    if constexpr (Weighs) {
        RowState state;
        if (has_keys) {
            weigh_and_add(p, piece, x, turn, state, sums);
        }
        const float sum[2] = {row_reduce(state.sum[0], Add{}), row_reduce(state.sum[1], Add{})};
        store_lse(p, piece, {lse_of(state.largest[0], sum[0]), lse_of(state.largest[1], sum[1])});
        if (has_keys) {
            barrier_wait(x.weights_free(), turn.weights.parity ^ 1U);
            store_row_values(x.row_values(), sum);
            warp_arrive(x.weights_here());
        }
    } else {
        add(piece, x, turn, sums);
    }
    if (has_keys) {
        barrier_wait(x.weights_here(), turn.weights.parity);
        turn.weights.next();
        store_piece(p, piece, x, sums);
        warp_arrive(x.weights_free());
    }
}

__global__ __launch_bounds__(kRoleThreads, 1) void hopper_latent_attention_kernel(
    const __grid_constant__ TileMap q, const __grid_constant__ TileMap keys, LatentAttention p) {
    const Exchange x;
    run_roles([&] { x.init_barriers(); }, [&] { load_pieces(q, keys, p, x); },
              [&] {
                  Progress turn;
                  if (threadIdx.x < kWarpgroup) {
                      for_each_piece(
                          p, [&](const Piece& each) { attend_piece<true>(p, each, x, turn); });
                  } else {
                      for_each_piece(
                          p, [&](const Piece& each) { attend_piece<false>(p, each, x, turn); });
                  }
              });
}

// 32 bits hold all places; positions of keys are no longer anyway.
constexpr std::int64_t kMostRows = std::int64_t{1} << 30;

bool is_latent(const ConstMatrix& matrix) {
    return matrix.dtype == DType::bf16 && has_tiles(matrix);
}

TileMap latent_map(const ConstMatrix& matrix, std::int64_t rows) {
    return tile_map(matrix.data, rows, kLatentQkColumns * 2, matrix.stride * 2, kLatentRows);
}

}  // namespace

bool hopper_latent_attention(const Attention& args, const Launch& launch) {
    if (!launch.is_hopper || !args.v_is_k || args.heads != 1 || args.lse != nullptr ||
        args.scale <= 0 || args.qk_dim != kLatentQkColumns || args.v_dim != kLatentColumns ||
        !is_latent(args.q.matrix) || !is_latent(args.k.matrix) || args.q.column != 0 ||
        args.k.column != 0 ||
        args.sequences * args.splits * args.queries * args.rows_per_query > kMostRows) {
        return false;
    }
    const auto whole = [](std::int64_t value) { return static_cast<int>(value); };
    const LatentAttention p{whole(args.sequences),
                            whole(args.queries),
                            whole(args.rows_per_query),
                            args.scale,
                            whole(args.keys_max),
                            args.positions,
                            args.key_rows,
                            whole(args.splits),
                            whole(args.split_keys),
                            args.split_o,
                            args.split_lse,
                            rows_of(args.o)};
    const std::int64_t rows = args.queries * args.rows_per_query;
    const std::int64_t pieces = args.sequences * args.splits * ceil_div(rows, kLatentRows);
    if (pieces > 0) {
        launch_kernel(hopper_latent_attention_kernel, grid_of_roles(pieces, launch),
                      dim3{kRoleThreads, 1, 1}, Exchange::kBytes, launch,
                      latent_map(args.q.matrix, args.sequences * rows),
                      latent_map(args.k.matrix, args.sequences * args.key_rows), p);
    }
    return true;
}

}  // namespace r1::cuda
