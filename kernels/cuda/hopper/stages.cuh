// FP8 products of tiles on Hopper: one thread of a block keeps copies of the operands under way,
// several times 128 elements of k ahead; two warpgroups multiply, each 64 rows, and while one adds
// up in float32 what the tensor cores give for 128 elements of k, they work for the other. The
// design is that of DeepGEMM (github.com/deepseek-ai/DeepGEMM).
#pragma once

#include "kernels/cuda/hopper/warpgroup.cuh"
#include "kernels/matrix.hpp"

namespace r1::cuda {

inline constexpr int kHalfRows = 64;  // of a warpgroup
inline constexpr int kHalves = 2;
inline constexpr int kTileRows = kHalves * kHalfRows;
inline constexpr int kHalfBytes = kHalfRows * static_cast<int>(kTileRowBytes);

// Of a block, by the columns of a tile of y.
template <int Columns>
struct HopperShape {
    static constexpr int kBBytes = Columns * static_cast<int>(kTileRowBytes);
    static constexpr int kStageBytes = kHalves * kHalfBytes + kBBytes;
    static constexpr int kStages = 192 * 1024 / kStageBytes;
    static constexpr std::size_t kShared = kStages * (kStageBytes + 2 * sizeof(Barrier));
};

static_assert(kTileRowBytes == kTile, "128 elements of k have one scale");

template <int Columns>
struct Stages {
    using Shape = HopperShape<Columns>;

    unsigned char* memory;
    Barrier* full;   // of each stage
    Barrier* empty;  // after each warp that multiplies has read the stage

    int stage = 0;
    unsigned parity = 0;

    __device__ unsigned char* a() const { return memory + stage * Shape::kStageBytes; }
    __device__ unsigned char* b() const { return a() + kHalves * kHalfBytes; }
    __device__ void next() {
        if (++stage == Shape::kStages) {
            stage = 0;
            parity ^= 1U;
        }
    }
};

template <int Columns>
__device__ Stages<Columns> carve_stages() {
    using Shape = HopperShape<Columns>;
    unsigned char* memory = dynamic_tiles();
    auto* barriers = reinterpret_cast<Barrier*>(memory + Shape::kStages * Shape::kStageBytes);
    return {memory, barriers, barriers + Shape::kStages};
}

// Copies 128 elements of k from `k` on: rows of a from `row` on, the upper 64 of a tile only if
// `is_high`, and `Columns` of b from `column` on.
template <int Columns>
__device__ void load_stage(Stages<Columns>& stages, const TileMap& a, std::int64_t row,
                           bool is_high, const TileMap& b, std::int64_t column, std::int64_t k) {
    Barrier* full = stages.full + stages.stage;
    barrier_wait(stages.empty + stages.stage, stages.parity ^ 1U);
    barrier_arrive_expecting(full,
                             HopperShape<Columns>::kBBytes + (is_high ? kHalves : 1) * kHalfBytes);
    load_tile(stages.a(), a, k, row, full);
    if (is_high) {
        load_tile(stages.a() + kHalfBytes, a, k, row + kHalfRows, full);
    }
    load_tile(stages.b(), b, k, column, full);
    stages.next();
}

// Which half of a tile's rows the warpgroup has.
inline __device__ int half_of_warpgroup() { return static_cast<int>(threadIdx.x / kWarpgroup); }

// sums = the products of a stage, unless the half has no rows.
template <int Columns>
__device__ __forceinline__ void multiply_stage(Stages<Columns>& stages, bool has_rows,
                                               float (&sums)[Columns / 2]) {
    barrier_wait(stages.full + stages.stage, stages.parity);
    if (has_rows) {
        const std::uint64_t a =
            tile_operand(uniform_address(stages.a() + half_of_warpgroup() * kHalfBytes));
        const std::uint64_t b = tile_operand(uniform_address(stages.b()));
        products_begin(sums);
#pragma unroll
        for (int at = 0; at < static_cast<int>(kTileRowBytes); at += kDepthBytes) {
            product_e4m3(sums, operand_behind(a, at), operand_behind(b, at), at != 0);
        }
        products_end();
        products_wait<0>(sums);
    }
    warp_arrive(stages.empty + stages.stage);
    stages.next();
}

// Calls load(stages) by one thread of the block and multiply(stages) by two warpgroups.
template <int Columns, class Load, class Multiply>
__device__ __forceinline__ void run_stages(const Load& load, const Multiply& multiply) {
    Stages<Columns> stages = carve_stages<Columns>();
    run_roles(
        [&] {
            for (int i = 0; i < HopperShape<Columns>::kStages; ++i) {
                barrier_init(stages.full + i, 1);
                barrier_init(stages.empty + i, kMultiplyingWarps);
            }
        },
        [&] { load(stages); }, [&] { multiply(stages); });
}

}  // namespace r1::cuda
