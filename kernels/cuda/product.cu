#include "kernels/cuda/product.hpp"

#include <type_traits>

#include "kernels/cuda/fp8.cuh"
#include "kernels/cuda/hopper/product.hpp"
#include "kernels/cuda/tile.cuh"

namespace r1::cuda {

namespace {

constexpr int kDepth = 32;       // elements of k in shared memory at a time; divides 128
constexpr int kStages = 2;       // one is read while the next is written
constexpr int kWarpRows = 2;     // warps of a block along m
constexpr int kColumnTiles = 4;  // 8 columns each, of a warp

// A block's part of y: rows by columns, a warp of it 16 RowTiles x 32.
template <int RowTiles, int WarpColumns>
struct BlockShape {
    static constexpr int kRows = kWarpRows * 16 * RowTiles;
    static constexpr int kColumns = WarpColumns * 8 * kColumnTiles;
    static constexpr int kBlockThreads = kWarpRows * WarpColumns * static_cast<int>(kWarp);
};

// Room for the tile of an operand, however it lies.
constexpr int tile_elements(int rows) {
    const int plain = rows * tile_stride(kDepth);
    const int transposed = kDepth * tile_stride(rows);
    return plain > transposed ? plain : transposed;
}

// One group's product.
struct Part {
    std::int64_t rows, columns, k_begin, k_end;
    std::int64_t first_row;  // of a and y
    std::int64_t group;
};

__device__ Part part_of(const Product& p, std::int64_t group) {
    Part part{p.m, p.n, 0, p.k, 0, group};
    if (p.grouping == ProductGroups::rows) {
        part.first_row = p.offsets[group];
        part.rows = p.offsets[group + 1] - part.first_row;
    } else if (p.grouping == ProductGroups::depth) {
        part.k_begin = p.offsets[group];
        part.k_end = p.offsets[group + 1];
    }
    return part;
}

// An operand's elements [rows, k] of a part, rows from `first_row` to `row_end`.
struct View {
    ConstMatrix matrix;
    Rows rows;  // of matrix, unless it is e4m3
    bool transposed;
    std::int64_t row_end;
    const float* scales;
    std::int64_t rows_per_scale, scale_row_stride, scale_tile_stride;
};

// What a thread holds of an operand until it goes to shared memory. Codes stay codes: their values
// would take four times the registers.
template <bool Scaled>
using Held = std::conditional_t<Scaled, Codes, Group>;

template <bool Scaled>
__device__ __forceinline__ Held<Scaled> load_held(const View& view, std::int64_t row,
                                                  std::int64_t column, std::int64_t width) {
    if constexpr (Scaled) {
        return load_codes(
            static_cast<const std::uint8_t*>(view.matrix.data) + row * view.matrix.stride + column,
            width - column);
    } else {
        return load_group(view.rows, row, column, width);
    }
}

__device__ __forceinline__ void clear(Group& group, int i) { group.v[i] = 0; }
__device__ __forceinline__ void clear(Codes& codes, int i) {
    unsigned& word = i < 4 ? codes.x : codes.y;
    word &= ~(0xFFU << (i % 4 * 8));
}

// Eight neighbours: elements k .. k + 7 of a row, or rows row .. row + 7 at one k if transposed.
// What lies outside is zero.
template <bool Scaled>
__device__ __forceinline__ Held<Scaled> load_operand(const View& view, std::int64_t row,
                                                     std::int64_t k, std::int64_t k_begin,
                                                     std::int64_t k_end) {
    if (row >= view.row_end || k >= k_end) {
        return {};
    }
    if (view.transposed) {
        return k >= k_begin ? load_held<Scaled>(view, k, row, view.row_end) : Held<Scaled>{};
    }
    Held<Scaled> held = load_held<Scaled>(view, row, k, k_end);
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
        if (k + i < k_begin) {
            clear(held, i);
        }
    }
    return held;
}

// The part of a tile that a thread moves from the matrix to shared memory.
template <bool Scaled, int TileRows, int BlockThreads>
struct Mover {
    static constexpr int kGroups = TileRows * kDepth / kGroup / BlockThreads;
    Held<Scaled> held[kGroups];

    // Of the i-th group of the thread: row and k within the tile.
    __device__ __forceinline__ static void place(bool transposed, int i, int& row, int& k) {
        const int at = i * BlockThreads + static_cast<int>(threadIdx.x);
        row = transposed ? at % (TileRows / kGroup) * kGroup : at / (kDepth / kGroup);
        k = transposed ? at / (TileRows / kGroup) : at % (kDepth / kGroup) * kGroup;
    }

    __device__ __forceinline__ void load(const View& view, std::int64_t first_row,
                                         std::int64_t first_k, const Part& part) {
#pragma unroll
        for (int i = 0; i < kGroups; ++i) {
            int row = 0;
            int k = 0;
            place(view.transposed, i, row, k);
            held[i] =
                load_operand<Scaled>(view, first_row + row, first_k + k, part.k_begin, part.k_end);
        }
    }

    template <int Limbs>
    __device__ __forceinline__ void store(const View& view, const SharedTile& tile) const {
#pragma unroll
        for (int i = 0; i < kGroups; ++i) {
            int row = 0;
            int k = 0;
            place(view.transposed, i, row, k);
            store_limbs<Limbs>(tile, view.transposed ? k : row, view.transposed ? row : k,
                               values_of(held[i]));
        }
    }
};

// Operands with scales come with the first one as it is.
template <int RowTiles, int Limbs, bool Scaled>
__device__ __forceinline__ void multiply(float (&sums)[RowTiles][kColumnTiles][4],
                                         const SharedTile& a, bool a_transposed, int a_row,
                                         const SharedTile& b, bool b_transposed, int b_row,
                                         int b_end) {
    if (!Scaled && a_transposed && b_transposed) {
        warp_product<RowTiles, kColumnTiles, Limbs, true, true>(sums, a, a_row, b, b_row, b_end,
                                                                kDepth);
    } else if (!Scaled && a_transposed) {
        warp_product<RowTiles, kColumnTiles, Limbs, true, false>(sums, a, a_row, b, b_row, b_end,
                                                                 kDepth);
    } else if (b_transposed) {
        warp_product<RowTiles, kColumnTiles, Limbs, false, true>(sums, a, a_row, b, b_row, b_end,
                                                                 kDepth);
    } else {
        warp_product<RowTiles, kColumnTiles, Limbs>(sums, a, a_row, b, b_row, b_end, kDepth);
    }
}

__device__ float scale_of(const View& view, std::int64_t row, std::int64_t tile) {
    return row < view.row_end ? view.scales[row / view.rows_per_scale * view.scale_row_stride +
                                            tile * view.scale_tile_stride]
                              : 0.0F;
}

// Calls body(i, j, element, row, column) for each element of the lane's sums.
template <int RowTiles, class Body>
__device__ __forceinline__ void for_each_sum(std::int64_t row0, std::int64_t column0,
                                             const Body& body) {
    const LanePlace lane;
#pragma unroll
    for (int i = 0; i < RowTiles; ++i) {
#pragma unroll
        for (int j = 0; j < kColumnTiles; ++j) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                body(i, j, e, row0 + 16 * i + lane.row + e / 2 * 8,
                     column0 + 8 * j + lane.column + e % 2);
            }
        }
    }
}

// total += sums * scales of the 128 elements of k that end here; sums start again.
template <int RowTiles>
__device__ __forceinline__ void promote(float (&total)[RowTiles][kColumnTiles][4],
                                        float (&sums)[RowTiles][kColumnTiles][4], const View& a,
                                        const View& b, std::int64_t row0, std::int64_t column0,
                                        std::int64_t tile) {
    for_each_sum<RowTiles>(
        row0, column0, [&](int i, int j, int e, std::int64_t row, std::int64_t column) {
            total[i][j][e] += sums[i][j][e] * scale_of(a, row, tile) * scale_of(b, column, tile);
            sums[i][j][e] = 0;
        });
}

__device__ View view_of(const ProductOperand& operand, Rows rows, std::int64_t group,
                        std::int64_t row_end) {
    View view{operand.matrix,           rows,
              operand.transposed,       row_end,
              operand.scales,           operand.rows_per_scale,
              operand.scale_row_stride, operand.scale_tile_stride};
    const std::int64_t elements = group * operand.group_stride;
    const int element_bytes = operand.matrix.dtype == DType::e4m3 ? 1 : rows.is_bf16 ? 2 : 4;
    view.matrix.data = static_cast<const char*>(operand.matrix.data) + elements * element_bytes;
    view.rows.data = static_cast<char*>(rows.data) + elements * element_bytes;
    view.rows.aligned = rows.aligned && operand.group_stride % kGroup == 0;
    if (view.scales != nullptr) {
        view.scales += group * operand.scale_group_stride;
    }
    return view;
}

struct ProductRows {
    Rows a, b, y;
};

// The tile of y that begins at (row0, column0) of the part.
template <int RowTiles, int WarpColumns, int Limbs, bool Scaled>
__device__ __forceinline__ void product_tile(const Product& p, const ProductRows& rows,
                                             const Part& part, std::int64_t row0,
                                             std::int64_t column0) {
    using Shape = BlockShape<RowTiles, WarpColumns>;
    const View a = view_of(p.a, rows.a, p.grouping == ProductGroups::batch ? part.group : 0,
                           part.first_row + part.rows);
    const View b = view_of(p.b, rows.b, p.grouping == ProductGroups::depth ? 0 : part.group, p.n);
    auto* memory = reinterpret_cast<std::uint16_t*>(dynamic_shared());
    constexpr int kElementsA = tile_elements(Shape::kRows);
    constexpr int kElementsB = tile_elements(Shape::kColumns);
    const int warp = static_cast<int>(threadIdx.x / kWarp);
    const int warp_row = warp / WarpColumns * 16 * RowTiles;
    const int warp_column = warp % WarpColumns * 8 * kColumnTiles;
    const bool has_work = row0 + warp_row < part.rows && column0 + warp_column < part.columns;
    const std::int64_t first_row = part.first_row + row0;
    const auto columns =
        static_cast<int>(std::min<std::int64_t>(Shape::kColumns, part.columns - column0));
    float sums[RowTiles][kColumnTiles][4] = {};
    float total[RowTiles][kColumnTiles][4] = {};
    Mover<Scaled, Shape::kRows, Shape::kBlockThreads> a_mover;
    Mover<Scaled, Shape::kColumns, Shape::kBlockThreads> b_mover;
    const std::int64_t begin = part.k_begin / kDepth * kDepth;
    __syncthreads();  // the tile before may still be read
    a_mover.load(a, first_row, begin, part);
    b_mover.load(b, column0, begin, part);
    int stage = 0;
    for (std::int64_t k = begin; k < part.k_end; k += kDepth) {
        std::uint16_t* here = memory + stage * Limbs * (kElementsA + kElementsB);
        const SharedTile a_tile{here, tile_stride(a.transposed ? Shape::kRows : kDepth),
                                kElementsA};
        const SharedTile b_tile{here + Limbs * kElementsA,
                                tile_stride(b.transposed ? Shape::kColumns : kDepth), kElementsB};
        a_mover.template store<Limbs>(a, a_tile);
        b_mover.template store<Limbs>(b, b_tile);
        __syncthreads();
        if (k + kDepth < part.k_end) {
            a_mover.load(a, first_row, k + kDepth, part);
            b_mover.load(b, column0, k + kDepth, part);
        }
        if (has_work) {
            multiply<RowTiles, Limbs, Scaled>(sums, a_tile, a.transposed, warp_row, b_tile,
                                              b.transposed, warp_column, columns);
        }
        const bool ends_tile = (k + kDepth) % kTile == 0 || k + kDepth >= part.k_end;
        if (Scaled && has_work && ends_tile) {
            promote<RowTiles>(total, sums, a, b, first_row + warp_row, column0 + warp_column,
                              k / kTile);
        }
        stage = (stage + 1) % kStages;
    }
    for_each_sum<RowTiles>(
        row0 + warp_row, column0 + warp_column,
        [&](int i, int j, int e, std::int64_t row, std::int64_t column) {
            if (row < part.rows && column < part.columns) {
                Rows y = rows.y;
                y.data = static_cast<char*>(y.data) +
                         (p.grouping == ProductGroups::rows ? 0 : part.group * p.y_group_stride) *
                             (y.is_bf16 ? 2 : 4);
                const float sum = Scaled ? total[i][j][e] : sums[i][j][e];
                const std::int64_t y_row = part.first_row + row;
                set_element(y, y_row, column, p.accumulate ? element(y, y_row, column) + sum : sum);
            }
        });
}

// Blocks take tiles in turns. Those below each other come one after the other: they read the same
// columns of b.
template <int RowTiles, int WarpColumns, int Limbs, bool Scaled>
__global__ __launch_bounds__(BlockShape<RowTiles, WarpColumns>::kBlockThreads) void product_kernel(
    Product p, ProductRows rows) {
    using Shape = BlockShape<RowTiles, WarpColumns>;
    if (p.strides_from_offsets) {
        const std::int64_t depth = p.offsets[p.groups];
        p.a.matrix.stride = depth;
        p.b.matrix.stride = depth;
        p.a.scale_row_stride = tiles(depth);
        p.b.scale_row_stride = tiles(depth);
    }
    std::int64_t next = blockIdx.x;
    std::int64_t before = 0;
    for (std::int64_t group = 0; group < p.groups; ++group) {
        const Part part = part_of(p, group);
        const std::int64_t down = ceil_div(part.rows, Shape::kRows);
        const std::int64_t all = down * ceil_div(part.columns, Shape::kColumns);
        for (; next < before + all; next += gridDim.x) {
            const std::int64_t i = next - before;
            product_tile<RowTiles, WarpColumns, Limbs, Scaled>(
                p, rows, part, i % down * Shape::kRows, i / down * Shape::kColumns);
        }
        before += all;
    }
}

// Tiles of y. Where only the device knows the rows, each group is taken to have two tiles of them.
template <class Shape>
std::int64_t blocks_for(const Product& args) {
    const bool is_known = args.grouping != ProductGroups::rows;
    return args.groups * (is_known ? ceil_div(args.m, Shape::kRows) : 2) *
           ceil_div(args.n, Shape::kColumns);
}

template <int RowTiles, int WarpColumns, int Limbs, bool Scaled>
void launch_product(const Product& args, const Launch& launch) {
    using Shape = BlockShape<RowTiles, WarpColumns>;
    const auto rows_of_operand = [](const ConstMatrix& matrix) {
        return matrix.dtype == DType::e4m3 ? Rows{} : rows_of(matrix);
    };
    constexpr auto kBytes = sizeof(std::uint16_t) * kStages * Limbs *
                            (tile_elements(Shape::kRows) + tile_elements(Shape::kColumns));
    launch_kernel(product_kernel<RowTiles, WarpColumns, Limbs, Scaled>,
                  grid_for_tile_blocks(blocks_for<Shape>(args), launch),
                  dim3{static_cast<unsigned>(Shape::kBlockThreads), 1, 1}, kBytes, launch, args,
                  ProductRows{rows_of_operand(args.a.matrix), rows_of_operand(args.b.matrix),
                              rows_of(args.y)});
}

template <int Limbs, bool Scaled>
void launch_shape(const Product& args, const Launch& launch) {
    // Large tiles move fewer bytes, if there are enough of them to share out. float32 is for
    // comparisons.
    using Large = BlockShape<4, 4>;
    const bool is_high = args.grouping == ProductGroups::rows || args.m > Large::kRows / 2;
    if (Limbs == 1 && is_high && args.n > Large::kColumns / 2 &&
        blocks_for<Large>(args) >= launch.sms) {
        launch_product<4, 4, 1, Scaled>(args, launch);
    } else {
        launch_product<2, 2, Limbs, Scaled>(args, launch);
    }
}

}  // namespace

void product(const Product& args, const Launch& launch) {
    const bool is_fp8 = args.a.matrix.dtype == DType::e4m3;
    R1_CHECK(is_fp8 == (args.a.scales != nullptr) && is_fp8 == (args.b.scales != nullptr));
    R1_CHECK(is_fp8 == (args.b.matrix.dtype == DType::e4m3) && !(is_fp8 && args.a.transposed));
    if (is_fp8) {
        if (!hopper_product(args, launch)) {
            launch_shape<1, true>(args, launch);
        }
    } else if (args.a.matrix.dtype == DType::f32 || args.b.matrix.dtype == DType::f32) {
        launch_shape<3, false>(args, launch);
    } else {
        launch_shape<1, false>(args, launch);
    }
}

}  // namespace r1::cuda
