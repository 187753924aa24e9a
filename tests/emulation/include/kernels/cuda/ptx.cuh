// Stands in for kernels/cuda/ptx.cuh in the emulation. Fragments are those of the PTX manual: with
// group = lane / 4 and pair = lane % 4 * 2, a lane holds of
//   a[16, 16]: (group, pair), (group + 8, pair), (group, pair + 8), (group + 8, pair + 8), each
//              with its right neighbour,
//   b[16, 8]:  (pair, group), (pair + 8, group), each with the element below,
//   c[16, 8]:  (group, pair), (group + 8, pair), each with its right neighbour.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "model/base/check.hpp"
#include "model/base/dtype.hpp"

namespace r1::cuda {

inline float float_of_bf16(std::uint16_t bits) { return float_from_bf16(bits); }
inline std::uint16_t bf16_of(float value) { return bf16_from_float(value); }
inline std::uint8_t e4m3_of(float value) { return e4m3_from_float(value); }
inline float float_of_e4m3(std::uint8_t bits) { return float_from_e4m3(bits); }

inline float power_of_two(float value) { return std::exp2(value); }

namespace emulated {

struct Fragments {
    unsigned a[4];
    unsigned b[2];
};

inline float half_of(unsigned pair, unsigned which) {
    return float_from_bf16(static_cast<std::uint16_t>(which == 0 ? pair & 0xFFFFU : pair >> 16U));
}

// What each lane of the warp put into its slot; to be read after the barrier.
template <class T>
const std::byte* tell_warp(const T& mine) {
    static_assert(sizeof(T) <= emulation::kSlotBytes);
    std::byte* slots = emulation::exchange_slots();
    std::memcpy(slots + emulation::lane() * emulation::kSlotBytes, &mine, sizeof mine);
    emulation::warp_barrier();
    return slots;
}

template <class T>
const T& told_by(const std::byte* slots, unsigned lane) {
    return *reinterpret_cast<const T*>(slots + lane * emulation::kSlotBytes);
}

}  // namespace emulated

inline void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    emulated::Fragments mine{};
    std::memcpy(mine.a, a, sizeof a);
    std::memcpy(mine.b, b, sizeof b);
    const std::byte* slots = emulated::tell_warp(mine);
    const unsigned group = emulation::lane() / 4;
    const unsigned pair = emulation::lane() % 4 * 2;
    for (unsigned holder = 0; holder < 4; ++holder) {  // of the elements 2 * holder, + 1, + 8, + 9
        const unsigned* a_row = emulated::told_by<emulated::Fragments>(slots, group * 4 + holder).a;
        for (unsigned column = 0; column < 2; ++column) {
            const unsigned* b_column =
                emulated::told_by<emulated::Fragments>(slots, (pair + column) * 4 + holder).b;
            for (unsigned half = 0; half < 2; ++half) {
                const float b_low = emulated::half_of(b_column[0], half);
                const float b_high = emulated::half_of(b_column[1], half);
                c[column] += emulated::half_of(a_row[0], half) * b_low +
                             emulated::half_of(a_row[2], half) * b_high;
                c[2 + column] += emulated::half_of(a_row[1], half) * b_low +
                                 emulated::half_of(a_row[3], half) * b_high;
            }
        }
    }
}

template <bool Transposed>
void load_matrices(unsigned (&registers)[4], const std::uint16_t* row) {
    R1_CHECK(reinterpret_cast<std::uintptr_t>(row) % 16 == 0);
    const std::byte* slots = emulated::tell_warp(row);
    const unsigned group = emulation::lane() / 4;
    const unsigned pair = emulation::lane() % 4 * 2;
    for (unsigned matrix = 0; matrix < 4; ++matrix) {
        const auto element = [&](unsigned i, unsigned j) {
            return static_cast<unsigned>(
                emulated::told_by<const std::uint16_t*>(slots, matrix * 8 + i)[j]);
        };
        registers[matrix] = Transposed ? element(pair, group) | element(pair + 1, group) << 16U
                                       : element(group, pair) | element(group, pair + 1) << 16U;
    }
}

[[noreturn]] inline void trap() { check_failed(__FILE__, __LINE__, "a kernel stopped itself"); }

}  // namespace r1::cuda
