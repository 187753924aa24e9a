// Both operands run along the tokens of all experts, whose number only the device knows, and so do
// the distances of their rows: copies of tiles take neither. So each is packed first, a pass over
// it: what an expert has of a tile of 128 tokens becomes 128 codes, zero where the tile is
// others'. Then a block takes 128x128 tiles of the gradients in turns.
#include "kernels/cuda/hopper/wgrad.hpp"

#include "kernels/cuda/hopper/stages.cuh"
#include "kernels/workspace.hpp"

namespace r1::cuda {

namespace {

constexpr int kWgradColumns = static_cast<int>(kTile);
constexpr int kCodesInWord = 4;
constexpr std::int64_t kRowsOfPack = 64;

// Parts of tiles that experts have, at most: each may begin inside one.
std::int64_t parts_max(const GroupedGemmFp8WgradArgs& args) {
    return tiles(args.rows_max) + args.experts;
}

// What an expert has.
struct Parts {
    std::int64_t begin, end;  // tokens
    std::int64_t first, count;

    __device__ Parts(const std::int32_t* offsets, std::int64_t expert, std::int64_t before)
        : begin(offsets[expert]),
          end(offsets[expert + 1]),
          first(before),
          count(end > begin ? ceil_div(end, kTile) - begin / kTile : 0) {}

    [[nodiscard]] __device__ std::int64_t tile(std::int64_t part) const {
        return begin / kTile + part - first;
    }
};

// One operand, as it comes and as it is packed.
struct Packing {
    const std::uint8_t* codes;  // [rows, tokens]
    const float* scales;        // [rows, tiles(tokens)]
    std::int64_t rows;
    std::uint8_t* packed;  // [rows, parts * 128]
    std::int64_t packed_stride;
    float* packed_scales;
    std::int64_t scale_row_stride, scale_part_stride;
};

// Four codes from `at` on, which need not be a multiple of four.
__device__ unsigned load_unaligned(const std::uint8_t* at, const std::uint8_t* end) {
    const auto shift = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(at) % kCodesInWord);
    const auto* words = reinterpret_cast<const unsigned*>(at - shift);
    if (at - shift + 2 * kCodesInWord <= end) {
        return shift == 0 ? words[0] : words[0] >> 8 * shift | words[1] << (32 - 8 * shift);
    }
    unsigned word = 0;
    for (int i = 0; i < kCodesInWord && at + i < end; ++i) {
        word |= static_cast<unsigned>(at[i]) << 8 * i;
    }
    return word;
}

// A lane has four tokens of a part, a warp a row of it.
__device__ void pack_rows(const Packing& p, const Parts& expert, std::int64_t part,
                          std::int64_t row0, std::int64_t tokens) {
    const auto lane = static_cast<int>(threadIdx.x % kWarp);
    const std::int64_t tile = expert.tile(part);
    const std::int64_t token = tile * kTile + lane * kCodesInWord;
    unsigned own = 0;  // the bytes of the expert's tokens
    for (int i = 0; i < kCodesInWord; ++i) {
        own |= token + i >= expert.begin && token + i < expert.end ? 0xFFU << 8 * i : 0U;
    }
    const std::uint8_t* end = p.codes + p.rows * tokens;
    const std::int64_t row_end = std::min(row0 + kRowsOfPack, p.rows);
    for (std::int64_t row = row0 + threadIdx.x / kWarp; row < row_end; row += kThreads / kWarp) {
        const unsigned word = own != 0 ? load_unaligned(p.codes + row * tokens + token, end) : 0;
        *reinterpret_cast<unsigned*>(p.packed + row * p.packed_stride + part * kTile +
                                     lane * kCodesInWord) = word & own;
        if (lane == 0) {
            p.packed_scales[row * p.scale_row_stride + part * p.scale_part_stride] =
                p.scales[row * tiles(tokens) + tile];
        }
    }
}

__global__ void pack_kernel(Packing p, std::int64_t experts, const std::int32_t* offsets) {
    const std::int64_t down = ceil_div(p.rows, kRowsOfPack);
    std::int64_t next = blockIdx.x;
    std::int64_t before = 0;
    for (std::int64_t e = 0; e < experts; ++e) {
        const Parts expert(offsets, e, before);
        before += expert.count;
        for (; next < before * down; next += gridDim.x) {
            pack_rows(p, expert, next / down, next % down * kRowsOfPack, offsets[experts]);
        }
    }
}

struct HopperWgrad {
    std::int64_t experts, m, n;
    const std::int32_t* offsets;
    const float* a_scales;  // [m, parts]
    std::int64_t a_stride;
    const float* b_scales;  // [parts, n], rows padded to tiles
    std::int64_t b_stride;
    float* y;
    bool y_aligned;
};

template <class Body>
__device__ __forceinline__ void for_each_tile_of_gradients(const HopperWgrad& p, const Body& body) {
    const std::int64_t down = ceil_div(p.m, kTileRows);
    std::int64_t next = blockIdx.x;
    std::int64_t before = 0;
    std::int64_t parts_before = 0;
    for (std::int64_t e = 0; e < p.experts; ++e) {
        const Parts expert(p.offsets, e, parts_before);
        parts_before += expert.count;
        const std::int64_t all = expert.count == 0 ? 0 : down * ceil_div(p.n, kWgradColumns);
        for (; next < before + all; next += gridDim.x) {
            const std::int64_t i = next - before;
            body(e, expert, i % down * kTileRows, i / down * kWgradColumns);
        }
        before += all;
    }
}

__device__ void load_parts(const TileMap& a, const TileMap& b, const HopperWgrad& p,
                           Stages<kWgradColumns>& stages) {
    for_each_tile_of_gradients(
        p, [&](std::int64_t /*e*/, const Parts& expert, std::int64_t row, std::int64_t column) {
            for (std::int64_t part = expert.first; part < expert.first + expert.count; ++part) {
                load_stage(stages, a, row, row + kHalfRows < p.m, b, column, part * kTile);
            }
        });
}

// All that is read is asked for before the first of it is needed.
__device__ __forceinline__ void add_to_gradients(const HopperWgrad& p, std::int64_t expert,
                                                 std::int64_t row, std::int64_t column0,
                                                 const float (&total)[kWgradColumns / 2]) {
    constexpr int kGroups = kWgradColumns / 16;
    const Rows y{p.y + expert * p.m * p.n, p.n, false, p.y_aligned};
    Group old[kGroups];
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
        const GroupPlace place = place_of_group<kWgradColumns / 2>(i);
        old[i] = row + place.row < p.m && column0 + place.column < p.n
                     ? load_group(y, row + place.row, column0 + place.column, p.n)
                     : Group{};
    }
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
        const GroupPlace place = place_of_group<kWgradColumns / 2>(i);
        Group group = gather_group(total, i);
#pragma unroll
        for (int j = 0; j < kGroup; ++j) {
            group.v[j] += old[i].v[j];
        }
        if (row + place.row < p.m && column0 + place.column < p.n) {
            store_group(y, row + place.row, column0 + place.column, p.n, group);
        }
    }
}

// By a warpgroup, its half of the block's tiles.
__device__ void multiply_parts(const HopperWgrad& p, Stages<kWgradColumns>& stages) {
    for_each_tile_of_gradients(p, [&](std::int64_t e, const Parts& expert, std::int64_t row0,
                                      std::int64_t column0) {
        const std::int64_t first_row = row0 + half_of_warpgroup() * kHalfRows;
        const std::int64_t row = first_row + row_of_lane();
        const float* low_scales = p.a_scales + std::min(row, p.m - 1) * p.a_stride;
        const float* high_scales = p.a_scales + std::min(row + 8, p.m - 1) * p.a_stride;
        const float* b_scales = p.b_scales + column0 + threadIdx.x % 4 * 2;
        float sums[kWgradColumns / 2] = {};
        float total[kWgradColumns / 2] = {};
        for (std::int64_t part = expert.first; part < expert.first + expert.count; ++part) {
            // Asked for before the products, there after them.
            const float low = low_scales[part];
            const float high = high_scales[part];
            float2 of_columns[kWgradColumns / 8];
#pragma unroll
            for (int i = 0; i < kWgradColumns / 8; ++i) {
                of_columns[i] =
                    *reinterpret_cast<const float2*>(b_scales + part * p.b_stride + 8 * i);
            }
            multiply_stage(stages, first_row < p.m, sums);
#pragma unroll
            for (int i = 0; i < kWgradColumns / 2; ++i) {
                const float2& scale = of_columns[i / 4];
                total[i] = fmaf(
                    sums[i], (i % 4 < 2 ? low : high) * (i % 2 == 0 ? scale.x : scale.y), total[i]);
            }
        }
        add_to_gradients(p, e, row, column0, total);
    });
}

__global__ __launch_bounds__(kRoleThreads,
                             1) void hopper_wgrad_kernel(const __grid_constant__ TileMap a,
                                                         const __grid_constant__ TileMap b,
                                                         HopperWgrad p) {
    using TileStages = Stages<kWgradColumns>;
    run_stages<kWgradColumns>([&](TileStages& stages) { load_parts(a, b, p, stages); },
                              [&](TileStages& stages) { multiply_parts(p, stages); });
}

struct WgradMemory {
    WgradMemory(Carver carver, const GroupedGemmFp8WgradArgs& args)
        : a(carver.take<std::uint8_t>(args.m * parts_max(args) * kTile)),
          b(carver.take<std::uint8_t>(args.n * parts_max(args) * kTile)),
          a_scales(carver.take<float>(args.m * parts_max(args))),
          b_scales(carver.take<float>(parts_max(args) * tiles(args.n) * kTile)) {}

    std::uint8_t* a;
    std::uint8_t* b;
    float* a_scales;
    float* b_scales;
};

void pack(const Packing& p, const GroupedGemmFp8WgradArgs& args, const Launch& launch) {
    launch_kernel(pack_kernel, grid_for(parts_max(args) * ceil_div(p.rows, kRowsOfPack), launch),
                  dim3{kThreads, 1, 1}, 0, launch, p, args.experts, args.offsets);
}

}  // namespace

std::size_t hopper_wgrad_workspace_bytes(const GroupedGemmFp8WgradArgs& args) {
    const std::int64_t parts = parts_max(args);
    return workspace_bytes_of<std::uint8_t>(args.m * parts * kTile) +
           workspace_bytes_of<std::uint8_t>(args.n * parts * kTile) +
           workspace_bytes_of<float>(args.m * parts) +
           workspace_bytes_of<float>(parts * tiles(args.n) * kTile);
}

bool hopper_wgrad(const GroupedGemmFp8WgradArgs& args, const Launch& launch) {
    if (!launch.is_hopper) {
        return false;
    }
    if (args.m == 0 || args.n == 0 || args.rows_max == 0 || args.experts == 0) {
        return true;
    }
    const auto places =
        reinterpret_cast<std::uintptr_t>(args.grad) | reinterpret_cast<std::uintptr_t>(args.x);
    R1_CHECK(places % kCodesInWord == 0);
    const std::int64_t parts = parts_max(args);
    const std::int64_t stride = parts * kTile;
    const WgradMemory memory(Carver(args.workspace), args);
    const std::int64_t b_stride = tiles(args.n) * kTile;
    pack({args.grad, args.grad_scales, args.m, memory.a, stride, memory.a_scales, parts, 1}, args,
         launch);
    pack({args.x, args.x_scales, args.n, memory.b, stride, memory.b_scales, 1, b_stride}, args,
         launch);
    const HopperWgrad p{
        args.experts,
        args.m,
        args.n,
        args.offsets,
        memory.a_scales,
        parts,
        memory.b_scales,
        b_stride,
        args.y,
        rows_of({args.y, DType::f32, args.n}).aligned && args.m * args.n % kGroup == 0};
    const std::int64_t all =
        args.experts * ceil_div(args.m, kTileRows) * ceil_div(args.n, kWgradColumns);
    launch_kernel(hopper_wgrad_kernel, grid_of_roles(all, launch), dim3{kRoleThreads, 1, 1},
                  HopperShape<kWgradColumns>::kShared, launch,
                  tile_map(memory.a, args.m, stride, stride, kHalfRows),
                  tile_map(memory.b, args.n, stride, stride, kWgradColumns), p);
    return true;
}

}  // namespace r1::cuda
