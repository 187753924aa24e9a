#include "runtime/cuda_calibration/memory_kernels.hpp"

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "kernels/quantize_fp8.hpp"
#include "runtime/cuda_calibration/resources.hpp"

namespace r1::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kVector = 8;  // BF16 values in 16 bytes, what a thread loads at once
// Vectors of a thread: enough loads in flight to keep the memory busy.
constexpr int kUnroll = 4;

struct Values {
    float at[kVector];
};

__device__ Values unpack(const uint4& packed) {
    Values values;
    const auto* pairs = reinterpret_cast<const __nv_bfloat162*>(&packed);
#pragma unroll
    for (int i = 0; i < kVector / 2; ++i) {
        const float2 pair = __bfloat1622float2(pairs[i]);
        values.at[2 * i] = pair.x;
        values.at[2 * i + 1] = pair.y;
    }
    return values;
}

__device__ uint4 pack(const Values& values) {
    uint4 packed;
    auto* pairs = reinterpret_cast<__nv_bfloat162*>(&packed);
#pragma unroll
    for (int i = 0; i < kVector / 2; ++i) {
        pairs[i] = __floats2bfloat162_rn(values.at[2 * i], values.at[2 * i + 1]);
    }
    return packed;
}

template <class Function>
__device__ uint4 for_each_value(const uint4& packed, Function function) {
    Values values = unpack(packed);
#pragma unroll
    for (float& value : values.at) {
        value = function(value);
    }
    return pack(values);
}

unsigned blocks_for(std::int64_t vectors, int of_a_thread) {
    const std::int64_t of_a_block = std::int64_t{kThreads} * of_a_thread;
    return static_cast<unsigned>((vectors + of_a_block - 1) / of_a_block);
}

// ---- without a row: y = f(a, b) --------------------------------------------------------------

struct Copy {
    static constexpr bool kReadsB = false;
    __device__ uint4 operator()(const uint4& a, const uint4&) const { return a; }
};

struct Scale {
    static constexpr bool kReadsB = false;
    __device__ uint4 operator()(const uint4& a, const uint4&) const {
        return for_each_value(a, [](float value) { return value * kElementwiseFactor; });
    }
};

struct Add {
    static constexpr bool kReadsB = true;
    __device__ uint4 operator()(const uint4& a, const uint4& b) const {
        Values sum = unpack(a);
        const Values other = unpack(b);
#pragma unroll
        for (int i = 0; i < kVector; ++i) {
            sum.at[i] += other.at[i];
        }
        return pack(sum);
    }
};

template <class Function>
__global__ void __launch_bounds__(kThreads)
    flat_kernel(const uint4* a, const uint4* b, uint4* y, std::int64_t vectors) {
    const std::int64_t first = std::int64_t{blockIdx.x} * kThreads * kUnroll + threadIdx.x;
    uint4 a_values[kUnroll] = {};
    uint4 b_values[kUnroll] = {};
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
        const std::int64_t i = first + u * kThreads;
        if (i < vectors) {
            a_values[u] = a[i];
            if (Function::kReadsB) {
                b_values[u] = b[i];
            }
        }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
        const std::int64_t i = first + u * kThreads;
        if (i < vectors) {
            y[i] = Function{}(a_values[u], b_values[u]);
        }
    }
}

template <class Function>
void flat(const MemoryOperands& x, cudaStream_t stream) {
    const std::int64_t vectors = x.rows * kHidden / kVector;
    flat_kernel<Function><<<blocks_for(vectors, kUnroll), kThreads, 0, stream>>>(
        static_cast<const uint4*>(x.a), static_cast<const uint4*>(x.b), static_cast<uint4*>(x.y),
        vectors);
    check(cudaGetLastError(), "flat_kernel");
}

// ---- rms_norm: a block for each row ------------------------------------------------------------

constexpr int kRowVectors = kHidden / kVector;  // 896
constexpr int kNormThreads = 448;
constexpr int kNormWarps = kNormThreads / 32;
constexpr int kNormUnroll = kRowVectors / kNormThreads;
static_assert(kNormUnroll * kNormThreads == kRowVectors && kNormWarps * 32 == kNormThreads);

__device__ float sum_of_warp(float value) {
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        value += __shfl_xor_sync(0xffffffffU, value, lanes);
    }
    return value;
}

__global__ void __launch_bounds__(kNormThreads)
    rms_norm_kernel(const uint4* a, const uint4* weight, uint4* y) {
    __shared__ float sums[kNormWarps];
    const std::int64_t row = std::int64_t{blockIdx.x} * kRowVectors;
    Values values[kNormUnroll];
    float squares = 0;
#pragma unroll
    for (int u = 0; u < kNormUnroll; ++u) {
        values[u] = unpack(a[row + u * kNormThreads + threadIdx.x]);
        for (const float value : values[u].at) {
            squares += value * value;
        }
    }
    squares = sum_of_warp(squares);
    if (threadIdx.x % 32 == 0) {
        sums[threadIdx.x / 32] = squares;
    }
    __syncthreads();
    float sum = 0;
#pragma unroll
    for (const float each : sums) {
        sum += each;
    }
    const float factor = rsqrtf(sum / kHidden + kRmsNormEpsilon);
#pragma unroll
    for (int u = 0; u < kNormUnroll; ++u) {
        const int column = u * kNormThreads + static_cast<int>(threadIdx.x);
        const Values weights = unpack(weight[column]);
#pragma unroll
        for (int i = 0; i < kVector; ++i) {
            values[u].at[i] *= factor * weights.at[i];
        }
        y[row + column] = pack(values[u]);
    }
}

void time_rms_norm(const MemoryOperands& x, cudaStream_t stream) {
    rms_norm_kernel<<<static_cast<unsigned>(x.rows), kNormThreads, 0, stream>>>(
        static_cast<const uint4*>(x.a), static_cast<const uint4*>(x.b), static_cast<uint4*>(x.y));
    check(cudaGetLastError(), "rms_norm_kernel");
}

// ---- quantize_fp8: sixteen threads for each tile -----------------------------------------------

constexpr int kTileThreads = kTile / kVector;
constexpr int kQuantizeUnroll = 2;

__device__ std::uint32_t e4m3_pair(float low, float high) {
    return __nv_cvt_float2_to_fp8x2(make_float2(low, high), __NV_SATFINITE, __NV_E4M3);
}

__global__ void __launch_bounds__(kThreads)
    quantize_fp8_kernel(const uint4* a, uint2* codes, float* scales, std::int64_t vectors) {
    const std::int64_t first = std::int64_t{blockIdx.x} * kThreads * kQuantizeUnroll + threadIdx.x;
    uint4 loaded[kQuantizeUnroll] = {};
#pragma unroll
    for (int u = 0; u < kQuantizeUnroll; ++u) {
        const std::int64_t i = first + u * kThreads;
        if (i < vectors) {
            loaded[u] = a[i];
        }
    }
#pragma unroll
    for (int u = 0; u < kQuantizeUnroll; ++u) {
        const std::int64_t i = first + u * kThreads;
        const Values values = unpack(loaded[u]);
        float amax = kQuantizeAmaxMin;
        for (const float value : values.at) {
            amax = fmaxf(amax, fabsf(value));
        }
#pragma unroll
        for (int lanes = kTileThreads / 2; lanes > 0; lanes /= 2) {
            amax = fmaxf(amax, __shfl_xor_sync(0xffffffffU, amax, lanes));
        }
        const float inverse = kE4m3Max / amax;
        std::uint32_t pairs[kVector / 2];
#pragma unroll
        for (int p = 0; p < kVector / 2; ++p) {
            pairs[p] = e4m3_pair(values.at[2 * p] * inverse, values.at[2 * p + 1] * inverse);
        }
        if (i < vectors) {
            codes[i] = make_uint2(pairs[0] | pairs[1] << 16, pairs[2] | pairs[3] << 16);
            if (i % kTileThreads == 0) {
                scales[i / kTileThreads] = amax / kE4m3Max;
            }
        }
    }
}

void time_quantize_fp8(const MemoryOperands& x, cudaStream_t stream) {
    const std::int64_t vectors = x.rows * kHidden / kVector;
    quantize_fp8_kernel<<<blocks_for(vectors, kQuantizeUnroll), kThreads, 0, stream>>>(
        static_cast<const uint4*>(x.a), static_cast<uint2*>(x.y), x.y_scales, vectors);
    check(cudaGetLastError(), "quantize_fp8_kernel");
}

// ---- swiglu ------------------------------------------------------------------------------------

constexpr int kSwigluUnroll = 2;

__global__ void __launch_bounds__(kThreads)
    swiglu_kernel(const uint4* gate_up, uint4* y, std::int64_t vectors) {
    constexpr std::int64_t kRow = kExpertWidth / kVector;
    const std::int64_t first = std::int64_t{blockIdx.x} * kThreads * kSwigluUnroll + threadIdx.x;
    uint4 gates[kSwigluUnroll] = {};
    uint4 ups[kSwigluUnroll] = {};
#pragma unroll
    for (int u = 0; u < kSwigluUnroll; ++u) {
        const std::int64_t i = first + u * kThreads;
        if (i < vectors) {
            const std::int64_t at = i / kRow * (2 * kRow) + i % kRow;
            gates[u] = gate_up[at];
            ups[u] = gate_up[at + kRow];
        }
    }
#pragma unroll
    for (int u = 0; u < kSwigluUnroll; ++u) {
        const std::int64_t i = first + u * kThreads;
        Values values = unpack(gates[u]);
        const Values up = unpack(ups[u]);
#pragma unroll
        for (int v = 0; v < kVector; ++v) {
            values.at[v] = values.at[v] / (1 + __expf(-values.at[v])) * up.at[v];
        }
        if (i < vectors) {
            y[i] = pack(values);
        }
    }
}

void time_swiglu(const MemoryOperands& x, cudaStream_t stream) {
    const std::int64_t vectors = x.rows * kExpertWidth / kVector;
    swiglu_kernel<<<blocks_for(vectors, kSwigluUnroll), kThreads, 0, stream>>>(
        static_cast<const uint4*>(x.a), static_cast<uint4*>(x.y), vectors);
    check(cudaGetLastError(), "swiglu_kernel");
}

// ---- permute: a block for each row of y --------------------------------------------------------

constexpr int kPermuteThreads = kRowVectors / kUnroll;
static_assert(kPermuteThreads * kUnroll == kRowVectors);

__global__ void __launch_bounds__(kPermuteThreads)
    permute_kernel(const uint4* a, const std::int32_t* order, uint4* y) {
    const std::int64_t from = std::int64_t{order[blockIdx.x]} * kRowVectors + threadIdx.x;
    const std::int64_t to = std::int64_t{blockIdx.x} * kRowVectors + threadIdx.x;
    uint4 values[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
        values[u] = a[from + u * kPermuteThreads];
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
        y[to + u * kPermuteThreads] = values[u];
    }
}

void time_permute(const MemoryOperands& x, cudaStream_t stream) {
    permute_kernel<<<static_cast<unsigned>(x.rows), kPermuteThreads, 0, stream>>>(
        static_cast<const uint4*>(x.a), x.order, static_cast<uint4*>(x.y));
    check(cudaGetLastError(), "permute_kernel");
}

}  // namespace

std::span<const MemoryKernel> memory_kernels() {
    constexpr double kWidth = kHidden;
    constexpr double kCode = 1 + 4.0 / kTile;  // E4M3 with its part of an FP32 scale
    static const MemoryKernel kernels[] = {
        {"memory_bound", kWidth * 4, 1, "bytes = rows x 7168 x (2 read + 2 written)", flat<Copy>},
        {"elementwise", kWidth * 4, 1, "bytes = rows x 7168 x (2 read + 2 written), BF16",
         flat<Scale>},
        {"residual_add", kWidth * 6, 1, "bytes = rows x 7168 x (4 read + 2 written), BF16",
         flat<Add>},
        {"rms_norm", kWidth * 4, 1, "bytes = rows x 7168 x (2 read + 2 written), BF16",
         time_rms_norm},
        {"quantize_fp8", kWidth * (2 + kCode), 1,
         "bytes = rows x 7168 x (2 read, BF16, + 33/32 written, FP8 and scales)",
         time_quantize_fp8},
        {"requantize_transpose_fp8", kWidth * 2 * kCode, kTile,
         "bytes = rows x 7168 x (33/32 read + 33/32 written), FP8 and scales",
         time_requantize_transpose_fp8},
        {"swiglu", kExpertWidth * 6, 1,
         "bytes = rows x (4096 x 2 read + 2048 x 2 written), BF16, not quantised", time_swiglu},
        {"permute", kWidth * 4 + 4, 1,
         "bytes = rows x (7168 x (2 read + 2 written), BF16, + 4 read for the row's index)",
         time_permute},
    };
    return kernels;
}

}  // namespace r1::cuda
