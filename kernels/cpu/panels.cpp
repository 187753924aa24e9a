#include "kernels/cpu/panels.hpp"

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/rows.hpp"

#ifdef R1_X86
#include <immintrin.h>
// GCC 12 takes its own undefined operands of unmasked intrinsics for ours (bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace r1::cpu {

namespace {

using Strip = void (*)(std::int64_t depth, const float* a, const float* b, float* c,
                       std::int64_t c_stride, bool accumulate);

// One row. Products and sums are rounded apart here and fused below; for values with few mantissa
// bits (BF16, E4M3) the products are exact and the two agree.
void strip_baseline(std::int64_t depth, const float* a, const float* b, float* c,
                    std::int64_t /*c_stride*/, bool accumulate) {
    std::array<float, kPanel> sums{};
    if (accumulate) {
        std::copy_n(c, kPanel, sums.data());
    }
    for (std::int64_t i = 0; i < depth; ++i) {
#pragma omp simd
        for (std::int64_t j = 0; j < kPanel; ++j) {
            sums[static_cast<std::size_t>(j)] += a[i] * b[i * kPanel + j];
        }
    }
    std::copy_n(sums.data(), kPanel, c);
}

#ifdef R1_X86

// As many rows as there are registers for: kRows * 2 sums of 16 lanes of the 32, kRows * 4 sums
// of 8 lanes of the 16.
constexpr int kRowsAvx512 = 14;
constexpr int kRowsAvx2 = 3;

template <int kRows>
R1_AVX512 void strip_avx512(std::int64_t depth, const float* a, const float* b, float* c,
                            std::int64_t c_stride, bool accumulate) {
    __m512 sums[kRows][2];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
        sums[r][0] = accumulate ? _mm512_loadu_ps(c + r * c_stride) : _mm512_setzero_ps();
        sums[r][1] = accumulate ? _mm512_loadu_ps(c + r * c_stride + 16) : _mm512_setzero_ps();
    }
    for (std::int64_t i = 0; i < depth; ++i) {
        const __m512 b0 = _mm512_load_ps(b + i * kPanel);
        const __m512 b1 = _mm512_load_ps(b + i * kPanel + 16);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
            const __m512 x = _mm512_set1_ps(a[r * kRowStride + i]);
            sums[r][0] = _mm512_fmadd_ps(x, b0, sums[r][0]);
            sums[r][1] = _mm512_fmadd_ps(x, b1, sums[r][1]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
        _mm512_storeu_ps(c + r * c_stride, sums[r][0]);
        _mm512_storeu_ps(c + r * c_stride + 16, sums[r][1]);
    }
}

template <int kRows>
R1_AVX2 void strip_avx2(std::int64_t depth, const float* a, const float* b, float* c,
                        std::int64_t c_stride, bool accumulate) {
    __m256 sums[kRows][4];
#pragma GCC unroll 16
    for (int r = 0; r < kRows * 4; ++r) {
        const float* from = c + r / 4 * c_stride + r % 4 * 8;
        sums[r / 4][r % 4] = accumulate ? _mm256_loadu_ps(from) : _mm256_setzero_ps();
    }
    for (std::int64_t i = 0; i < depth; ++i) {
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
            const __m256 x = _mm256_broadcast_ss(a + r * kRowStride + i);
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j) {
                sums[r][j] = _mm256_fmadd_ps(x, _mm256_load_ps(b + i * kPanel + j * 8), sums[r][j]);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows * 4; ++r) {
        _mm256_storeu_ps(c + r / 4 * c_stride + r % 4 * 8, sums[r / 4][r % 4]);
    }
}

// strips[rows - 1] for 1 .. kRowsAvx512 rows.
template <int... kIndex>
constexpr std::array<Strip, sizeof...(kIndex)> strips_avx512(
    std::integer_sequence<int, kIndex...> /*unused*/) {
    return {&strip_avx512<kIndex + 1>...};
}
constexpr auto kStripsAvx512 = strips_avx512(std::make_integer_sequence<int, kRowsAvx512>());
constexpr std::array<Strip, kRowsAvx2> kStripsAvx2 = {&strip_avx2<1>, &strip_avx2<2>,
                                                      &strip_avx2<3>};

R1_AVX512 inline __m512 load16(const float* values) { return _mm512_loadu_ps(values); }

R1_AVX512 inline __m512 load16(const std::uint16_t* bf16) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bf16));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

// E4M3's exponent and mantissa in the places of FP16's: the value times 2^-8, subnormal or not.
R1_AVX512 inline __m512 load16(const std::uint8_t* e4m3) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(e4m3));
    const __m256i sign_twice = _mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7);
    const __m256i half = _mm256_and_si256(sign_twice, _mm256_set1_epi16(-0x4001));
    const __m512 value = _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0F));
    // The code that would be 480 is NaN.
    const __mmask16 nan =
        _mm512_cmp_ps_mask(_mm512_abs_ps(value), _mm512_set1_ps(480.0F), _CMP_EQ_OQ);
    return _mm512_mask_mov_ps(value, nan, _mm512_set1_ps(__builtin_nanf("")));
}

R1_AVX512 inline __m512 pairs(__m512 a, __m512 b, bool high) {
    const __m512d x = _mm512_castps_pd(a);
    const __m512d y = _mm512_castps_pd(b);
    return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(x, y) : _mm512_unpacklo_pd(x, y));
}

// Asks for the row that the next panel has in this one's place. The hardware does not foresee it:
// it sees 32 short streams. Beyond the matrix this does nothing.
R1_AVX512 R1_INLINE inline void prefetch_next_panel(const void* row, std::int64_t stride_bytes) {
    const auto at = reinterpret_cast<std::uintptr_t>(row);
    const auto ahead = static_cast<std::uintptr_t>(kPanel * stride_bytes);
    _mm_prefetch(reinterpret_cast<const char*>(at + ahead), _MM_HINT_T1);
}

// x[row] with 16 columns to x[column] with 16 rows.
R1_AVX512 R1_INLINE inline void transpose(__m512 (&x)[16]) {
    __m512 y[16];
#pragma GCC unroll 8
    for (int r = 0; r < 16; r += 2) {  // 1x1 blocks within 128-bit lanes
        y[r] = _mm512_unpacklo_ps(x[r], x[r + 1]);
        y[r + 1] = _mm512_unpackhi_ps(x[r], x[r + 1]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < 16; r += 4) {  // 2x2 blocks within lanes: x[r + i] has column i of each
        x[r] = pairs(y[r], y[r + 2], false);
        x[r + 1] = pairs(y[r], y[r + 2], true);
        x[r + 2] = pairs(y[r + 1], y[r + 3], false);
        x[r + 3] = pairs(y[r + 1], y[r + 3], true);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // 4x4 blocks: lanes of four columns 4 apart, rows 0-7 and 8-15
        y[i] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0x88);
        y[i + 4] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0xDD);
        y[i + 8] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0x88);
        y[i + 12] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0xDD);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        x[i] = _mm512_shuffle_f32x4(y[i], y[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(y[i], y[i + 8], 0xDD);
        x[i + 4] = _mm512_shuffle_f32x4(y[i + 4], y[i + 12], 0x88);
        x[i + 12] = _mm512_shuffle_f32x4(y[i + 4], y[i + 12], 0xDD);
    }
}

// 16 rows of 16 columns (rows at `stride`) to b[column * b_stride + row].
template <class T>
R1_AVX512 R1_INLINE inline void transpose16(const T* w, std::int64_t stride, float* b,
                                            std::int64_t b_stride) {
    __m512 x[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) {
        x[r] = load16(w + r * stride);
        prefetch_next_panel(w + r * stride, stride * static_cast<std::int64_t>(sizeof(T)));
    }
    transpose(x);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
        _mm512_store_ps(b + i * b_stride, x[i]);
    }
}

// 16 rows of 32 columns: pairs of BF16 move as one, for half of the shuffles.
R1_AVX512 R1_INLINE inline void transpose32(const std::uint16_t* w, std::int64_t stride, float* b,
                                            std::int64_t b_stride) {
    __m512 x[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) {
        x[r] = _mm512_loadu_ps(w + r * stride);
        prefetch_next_panel(w + r * stride, stride * 2);
    }
    transpose(x);
    const __m512i odd = _mm512_set1_epi32(-0x10000);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
        const __m512i both = _mm512_castps_si512(x[i]);
        _mm512_store_si512(b + 2 * i * b_stride, _mm512_slli_epi32(both, 16));
        _mm512_store_si512(b + (2 * i + 1) * b_stride, _mm512_and_si512(both, odd));
    }
}

// Rows and columns in whole blocks of 16 to b[column * b_stride + row].
template <class T>
R1_AVX512 void transpose_blocks(const T* w, std::int64_t stride, std::int64_t rows,
                                std::int64_t columns, float* b, std::int64_t b_stride) {
    for (std::int64_t row = 0; row < rows; row += 16) {
        const T* from = w + row * stride;
        std::int64_t i = 0;
        if constexpr (std::is_same_v<T, std::uint16_t>) {
            for (; i + 32 <= columns; i += 32) {
                transpose32(from + i, stride, b + i * b_stride + row, b_stride);
            }
        }
        for (; i < columns; i += 16) {
            transpose16(from + i, stride, b + i * b_stride + row, b_stride);
        }
    }
}

template <class T>
R1_AVX512 void copy_panel(const T* w, std::int64_t stride, std::int64_t depth, float* b) {
    for (std::int64_t i = 0; i < depth; ++i) {
        _mm512_store_ps(b + i * kPanel, load16(w + i * stride));
        _mm512_store_ps(b + i * kPanel + 16, load16(w + i * stride + 16));
    }
}

#endif  // R1_X86

template <class Body>
void visit(const ConstMatrix& w, std::int64_t row, std::int64_t column, const Body& body) {
    const std::int64_t at = row * w.stride + column;
    switch (w.dtype) {
        case DType::f32: return body(static_cast<const float*>(w.data) + at);
        case DType::bf16: return body(static_cast<const std::uint16_t*>(w.data) + at);
        case DType::e4m3: return body(static_cast<const std::uint8_t*>(w.data) + at);
        default: check_failed(__FILE__, __LINE__, "kernels read f32, bf16 and e4m3");
    }
}

}  // namespace

void pack_rows(const ConstMatrix& x, std::int64_t row0, std::int64_t rows, std::int64_t column0,
               std::int64_t depth, float* a) {
    for (std::int64_t r = 0; r < rows; ++r) {
        load_row(x, row0 + r, column0, depth, a + r * kRowStride);
    }
}

void pack_rows_transposed(const ConstMatrix& x, std::int64_t row0, std::int64_t depth,
                          std::int64_t column0, std::int64_t rows, float* a,
                          std::int64_t a_stride) {
    std::int64_t depth_done = 0;
    std::int64_t rows_done = 0;
#ifdef R1_X86
    if (isa() == Isa::avx512) {
        depth_done = depth / 16 * 16;
        rows_done = rows / 16 * 16;
        visit(x, row0, column0, [&](const auto* from) {
            transpose_blocks(from, x.stride, depth_done, rows_done, a, a_stride);
        });
    }
#endif
    std::array<float, kDepth> values;
    for (std::int64_t i = 0; i < depth; ++i) {
        const std::int64_t first = i < depth_done ? rows_done : 0;
        for (std::int64_t r = first; r < rows; r += kDepth) {
            const std::int64_t count = std::min(kDepth, rows - r);
            load_row(x, row0 + i, column0 + r, count, values.data());
            for (std::int64_t j = 0; j < count; ++j) {
                a[(r + j) * a_stride + i] = values[static_cast<std::size_t>(j)];
            }
        }
    }
}

void pack_transposed(const ConstMatrix& w, std::int64_t row0, std::int64_t rows,
                     std::int64_t column0, std::int64_t depth, float* b) {
    std::int64_t done = 0;
#ifdef R1_X86
    if (isa() == Isa::avx512 && rows == kPanel) {
        done = depth / 16 * 16;
        visit(w, row0, column0,
              [&](const auto* from) { transpose_blocks(from, w.stride, rows, done, b, kPanel); });
    }
#endif
    if (done == depth) {
        return;
    }
    std::array<float, kDepth> values;
    for (std::int64_t j = 0; j < kPanel; ++j) {
        if (j < rows) {
            load_row(w, row0 + j, column0 + done, depth - done, values.data());
        } else {
            std::fill_n(values.data(), depth - done, 0.0F);
        }
        for (std::int64_t i = done; i < depth; ++i) {
            b[i * kPanel + j] = values[static_cast<std::size_t>(i - done)];
        }
    }
}

void pack_panel(const ConstMatrix& w, std::int64_t row0, std::int64_t depth, std::int64_t column0,
                std::int64_t columns, float* b) {
#ifdef R1_X86
    if (isa() == Isa::avx512 && columns == kPanel) {
        visit(w, row0, column0, [&](const auto* from) { copy_panel(from, w.stride, depth, b); });
        return;
    }
#endif
    for (std::int64_t i = 0; i < depth; ++i) {
        load_row(w, row0 + i, column0, columns, b + i * kPanel);
        std::fill_n(b + i * kPanel + columns, kPanel - columns, 0.0F);
    }
}

void multiply_panel(std::int64_t rows, std::int64_t depth, const float* a, const float* b, float* c,
                    std::int64_t c_stride, bool accumulate) {
    std::int64_t rows_max = 1;
    const Strip* strips = nullptr;
#ifdef R1_X86
    if (isa() == Isa::avx512) {
        rows_max = kRowsAvx512;
        strips = kStripsAvx512.data();
    } else if (isa() == Isa::avx2) {
        rows_max = kRowsAvx2;
        strips = kStripsAvx2.data();
    }
#endif
    // Strips of nearly equal height: a last strip of one row would wait for its own sums.
    const std::int64_t count = (rows + rows_max - 1) / rows_max;
    std::int64_t row = 0;
    for (std::int64_t strip = 0; strip < count; ++strip) {
        const std::int64_t height = (rows - row) / (count - strip);
        const Strip run = strips == nullptr ? &strip_baseline : strips[height - 1];
        run(depth, a + row * kRowStride, b, c + row * c_stride, c_stride, accumulate);
        row += height;
    }
}

}  // namespace r1::cpu
