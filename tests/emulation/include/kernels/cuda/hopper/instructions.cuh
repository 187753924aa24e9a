// Stands in for kernels/cuda/hopper/instructions.cuh in the emulation. Copies are made at once,
// products where they are waited for: who overwrites or reads too early gets other bytes in some
// order of threads.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/cuda/hopper/tile_operand.hpp"
#include "kernels/cuda/ptx.cuh"
#include "model/base/check.hpp"

namespace r1::cuda {

struct TileMap {
    const std::byte* data = nullptr;
    std::int64_t rows = 0, width = 0, stride = 0;
    int tile_rows = 0;
};

inline TileMap tile_map(const void* data, std::int64_t rows, std::int64_t width,
                        std::int64_t stride, int tile_rows) {
    R1_CHECK(reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride % 16 == 0);
    R1_CHECK(rows > 0 && width > 0 && tile_rows > 0 && tile_rows <= 256);
    return {static_cast<const std::byte*>(data), rows, width, stride, tile_rows};
}

inline unsigned char* dynamic_tiles() {
    return reinterpret_cast<unsigned char*>(emulation::shared_memory());
}

inline unsigned shared_address(const void* shared) {
    return static_cast<unsigned>(static_cast<const std::byte*>(shared) -
                                 emulation::shared_memory());
}

using Barrier = std::uint64_t;

namespace emulated {

struct BarrierState {
    std::uint16_t missing;  // arrivals of this phase
    std::uint8_t arrivals;  // of a phase
    std::uint8_t parity;
    std::int32_t bytes;  // expected, less those that have come
};
static_assert(sizeof(BarrierState) == sizeof(Barrier));

template <class Change>
void change(Barrier* barrier, const Change& change) {
    BarrierState state{};
    std::memcpy(&state, barrier, sizeof state);
    change(state);
    if (state.missing == 0 && state.bytes == 0) {
        state.missing = state.arrivals;
        state.parity ^= 1U;
    }
    std::memcpy(barrier, &state, sizeof state);
}

// Where a byte of a tile lies: bits 4 to 6 of its address are exchanged by bits 7 to 9.
inline unsigned swizzled(unsigned address) { return address ^ (address >> 7U & 7U) << 4U; }

// A field of a descriptor, in bytes.
inline unsigned field(std::uint64_t operand, unsigned from) {
    return static_cast<unsigned>(operand >> from & 0x3FFFU) * 16;
}

// An operand of `Type`: byte (row, i) of those that run along k, 32 of each row.
template <class Type>
Type along(std::uint64_t operand, unsigned row, unsigned i) {
    const unsigned at = field(operand, 0) + row / 8 * field(operand, 32) + row % 8 * kTileRowBytes +
                        i * unsigned{sizeof(Type)};
    return *reinterpret_cast<const Type*>(emulation::shared_memory() + swizzled(at));
}

// And of those that run down the rows.
inline std::uint16_t across(std::uint64_t operand, unsigned column, unsigned i) {
    constexpr unsigned kInRow = kTileRowBytes / sizeof(std::uint16_t);
    const unsigned at = field(operand, 0) + column / kInRow * field(operand, 16) +
                        i / 8 * field(operand, 32) + i % 8 * kTileRowBytes +
                        column % kInRow * unsigned{sizeof(std::uint16_t)};
    return *reinterpret_cast<const std::uint16_t*>(emulation::shared_memory() + swizzled(at));
}

enum class ProductKind { e4m3, bf16, bf16_transposed, bf16_registers };

struct PendingProduct {
    ProductKind kind;
    float* sums;
    unsigned count;  // of sums
    std::uint64_t a, b;
    bool accumulate;
    std::array<std::array<float, 16>, 2> registers{};  // a of the lane's rows, if it came in them
    int series_behind = 0;                             // that have ended, its own included
};

// Of the thread that runs.
inline std::vector<PendingProduct>& pending_products() {
    static std::array<std::vector<PendingProduct>, 1024> of_threads;
    return of_threads[threadIdx.x];
}

inline float a_value(const PendingProduct& p, unsigned row, unsigned i) {
    switch (p.kind) {
        case ProductKind::e4m3: return float_from_e4m3(along<std::uint8_t>(p.a, row, i));
        case ProductKind::bf16_registers: return p.registers[row % 16 / 8][i];
        default: return float_from_bf16(along<std::uint16_t>(p.a, row, i));
    }
}

inline float b_value(const PendingProduct& p, unsigned column, unsigned i) {
    switch (p.kind) {
        case ProductKind::e4m3: return float_from_e4m3(along<std::uint8_t>(p.b, column, i));
        case ProductKind::bf16: return float_from_bf16(along<std::uint16_t>(p.b, column, i));
        default: return float_from_bf16(across(p.b, column, i));
    }
}

inline void multiply(const PendingProduct& p) {
    const bool has_registers = p.kind == ProductKind::bf16_registers;
    for (const std::uint64_t operand : {has_registers ? p.b : p.a, p.b}) {
        R1_CHECK(operand >> 62U == 1 && (operand >> 49U & 7U) == 0);  // 128 bytes; no base offset
    }
    constexpr unsigned kDepthMax = 32;
    const unsigned depth = p.kind == ProductKind::e4m3 ? 32 : 16;
    const unsigned lane = emulation::lane();
    const unsigned row = threadIdx.x % 128 / 32 * 16 + lane / 4;
    std::array<std::array<float, kDepthMax>, 2> a{};
    for (unsigned k = 0; k < depth; ++k) {
        a[0][k] = a_value(p, row, k);
        a[1][k] = a_value(p, row + 8, k);
    }
    for (unsigned i = 0; i < p.count; i += 4) {
        for (unsigned side = 0; side < 2; ++side) {
            const unsigned column = i / 4 * 8 + lane % 4 * 2 + side;
            float& low = p.sums[i + side];
            float& high = p.sums[i + side + 2];
            float low_sum = p.accumulate ? low : 0.0F;
            float high_sum = p.accumulate ? high : 0.0F;
            for (unsigned k = 0; k < depth; ++k) {
                const float b = b_value(p, column, k);
                low_sum += a[0][k] * b;
                high_sum += a[1][k] * b;
            }
            low = low_sum;
            high = high_sum;
        }
    }
}

}  // namespace emulated

inline void barrier_init(Barrier* barrier, unsigned arrivals) {
    const auto count = static_cast<std::uint8_t>(arrivals);
    R1_CHECK(arrivals > 0 && count == arrivals);
    const emulated::BarrierState state{count, count, 0, 0};
    std::memcpy(barrier, &state, sizeof state);
}

inline void barriers_ready() {}

inline void barrier_arrive_expecting(Barrier* barrier, unsigned bytes) {
    emulated::change(barrier, [&](emulated::BarrierState& state) {
        R1_CHECK(state.missing > 0);
        state.bytes += static_cast<std::int32_t>(bytes);
        --state.missing;
    });
}

inline void barrier_arrive(Barrier* barrier) { barrier_arrive_expecting(barrier, 0); }

inline void barrier_wait(Barrier* barrier, unsigned parity) {
    emulation::wait_until([=] {
        emulated::BarrierState state{};
        std::memcpy(&state, barrier, sizeof state);
        return state.parity != parity;
    });
}

inline void load_tile(void* to, const TileMap& map, std::int64_t column, std::int64_t row,
                      Barrier* barrier) {
    const unsigned begin = shared_address(to);
    R1_CHECK(begin % kTileAlignment == 0 && column >= 0 && row >= 0);
    for (unsigned i = 0; i < static_cast<unsigned>(map.tile_rows) * kTileRowBytes; ++i) {
        const std::int64_t from_row = row + i / kTileRowBytes;
        const std::int64_t from_column = column + i % kTileRowBytes;
        const bool is_inside = from_row < map.rows && from_column < map.width;
        emulation::shared_memory()[emulated::swizzled(begin + i)] =
            is_inside ? map.data[from_row * map.stride + from_column] : std::byte{0};
    }
    emulated::change(barrier, [&](emulated::BarrierState& state) {
        state.bytes -= map.tile_rows * static_cast<int>(kTileRowBytes);
    });
}

template <int Count>
void give_registers() {}
template <int Count>
void take_registers() {}

inline void stored_for_products() {}

// Those of an earlier kernel that failed are left out.
template <int Count>
void products_begin(float (&sums)[Count]) {
    std::vector<emulated::PendingProduct>& products = emulated::pending_products();
    std::erase_if(products, [&](const auto& each) { return each.sums == sums; });
}

template <int Count>
void product_e4m3(float (&sums)[Count], std::uint64_t a, std::uint64_t b, bool accumulate) {
    emulated::pending_products().push_back(
        {emulated::ProductKind::e4m3, sums, Count, a, b, accumulate});
}

template <int Count>
void product_bf16(float (&sums)[Count], std::uint64_t a, std::uint64_t b, bool accumulate) {
    emulated::pending_products().push_back(
        {emulated::ProductKind::bf16, sums, Count, a, b, accumulate});
}

inline void product_bf16_transposed(float (&sums)[64], const unsigned (&a)[4], std::uint64_t b) {
    emulated::PendingProduct product{emulated::ProductKind::bf16_registers, sums, 64, 0, b, true};
    const std::array<unsigned, 4> own = {a[0], a[1], a[2], a[3]};
    const std::byte* slots = emulated::tell_warp(own);
    for (unsigned i = 0; i < 16; ++i) {
        const auto& holder = emulated::told_by<std::array<unsigned, 4>>(
            slots, emulation::lane() / 4 * 4 + i % 8 / 2);
        for (unsigned second = 0; second < 2; ++second) {
            product.registers[second][i] = emulated::half_of(holder[i / 8 * 2 + second], i % 2);
        }
    }
    emulated::pending_products().push_back(product);
}

inline void product_bf16_transposed(float (&sums)[128], std::uint64_t a, std::uint64_t b,
                                    bool accumulate) {
    emulated::pending_products().push_back(
        {emulated::ProductKind::bf16_transposed, sums, 128, a, b, accumulate});
}

inline void products_end() {
    for (emulated::PendingProduct& each : emulated::pending_products()) {
        ++each.series_behind;
    }
}

// Each thread has its own part of the sums.
template <int Pending, int Count>
void products_wait(float (&/*sums*/)[Count]) {
    emulation::give_way();
    std::vector<emulated::PendingProduct>& products = emulated::pending_products();
    const auto is_waited_for = [](const auto& each) { return each.series_behind > Pending; };
    for (const emulated::PendingProduct& each : products) {
        if (is_waited_for(each)) {
            emulated::multiply(each);
        }
    }
    std::erase_if(products, is_waited_for);
}

}  // namespace r1::cuda
