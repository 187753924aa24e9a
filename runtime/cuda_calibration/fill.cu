#include "runtime/cuda_calibration/fill.hpp"

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "runtime/cuda_calibration/resources.hpp"

namespace r1::cuda {

namespace {

constexpr int kThreads = 256;
constexpr std::size_t kBlocksMax = 132 * 32;

unsigned blocks_for(std::size_t threads) {
    const std::size_t blocks = (threads + kThreads - 1) / kThreads;
    return static_cast<unsigned>(blocks < 1 ? 1 : blocks > kBlocksMax ? kBlocksMax : blocks);
}

// A hash of the index: Wang's integer mix, 32 bits.
__device__ std::uint32_t mixed(std::uint32_t x) {
    x = (x ^ 61U) ^ (x >> 16);
    x *= 9U;
    x ^= x >> 4;
    x *= 0x27d4eb2dU;
    return x ^ (x >> 15);
}

// Mean 0, variance 1: the sum of four uniform bytes, near enough to a normal distribution.
__device__ float normal(std::size_t index, std::uint32_t seed) {
    const auto low = static_cast<std::uint32_t>(index);
    const std::uint32_t bits = mixed(low ^ mixed(seed + static_cast<std::uint32_t>(index >> 32)));
    const float sum = static_cast<float>((bits & 255U) + ((bits >> 8) & 255U) +
                                         ((bits >> 16) & 255U) + (bits >> 24));
    constexpr float kMean = 510.0F;
    constexpr float kDeviation = 147.8F;  // 256 / sqrt(12) * sqrt(4)
    return (sum - kMean) / kDeviation;
}

template <class Store>
__device__ void for_each_index(std::size_t count, Store store) {
    const std::size_t step = static_cast<std::size_t>(gridDim.x) * blockDim.x;
    for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
         i += step) {
        store(i);
    }
}

__global__ void fill_bf16_kernel(__nv_bfloat16* data, std::size_t count, std::uint32_t seed) {
    for_each_index(count, [&](std::size_t i) { data[i] = __float2bfloat16(normal(i, seed)); });
}

// As quantised activations are: the largest of 128 values near 448.
__global__ void fill_e4m3_kernel(__nv_fp8_storage_t* data, std::size_t count, std::uint32_t seed) {
    constexpr float kScale = 130.0F;
    for_each_index(count, [&](std::size_t i) {
        data[i] = __nv_cvt_float_to_fp8(normal(i, seed) * kScale, __NV_SATFINITE, __NV_E4M3);
    });
}

__global__ void fill_f32_kernel(float* data, std::size_t count, float value) {
    for_each_index(count, [&](std::size_t i) { data[i] = value; });
}

// `never` is 0: the store keeps the compiler from dropping the loads.
__global__ void read_through_kernel(const uint4* data, std::size_t count, std::uint32_t never,
                                    std::uint32_t* unused) {
    std::uint32_t sum = 0;
    for_each_index(count, [&](std::size_t i) {
        const uint4 value = data[i];
        sum |= value.x ^ value.y ^ value.z ^ value.w;
    });
    if (never != 0) {
        *unused = sum;
    }
}

__global__ void empty() {}

}  // namespace

void fill_bf16(void* data, std::size_t bytes, std::uint32_t seed, cudaStream_t stream) {
    const std::size_t count = bytes / sizeof(__nv_bfloat16);
    fill_bf16_kernel<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<__nv_bfloat16*>(data),
                                                                 count, seed);
    check(cudaGetLastError(), "fill_bf16");
}

void fill_e4m3(void* data, std::size_t bytes, std::uint32_t seed, cudaStream_t stream) {
    fill_e4m3_kernel<<<blocks_for(bytes), kThreads, 0, stream>>>(
        static_cast<__nv_fp8_storage_t*>(data), bytes, seed);
    check(cudaGetLastError(), "fill_e4m3");
}

void fill_f32(void* data, std::size_t bytes, float value, cudaStream_t stream) {
    const std::size_t count = bytes / sizeof(float);
    fill_f32_kernel<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<float*>(data), count,
                                                                value);
    check(cudaGetLastError(), "fill_f32");
}

void read_through(const void* data, std::size_t bytes, cudaStream_t stream) {
    const std::size_t count = bytes / sizeof(uint4);
    read_through_kernel<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<const uint4*>(data),
                                                                    count, 0, nullptr);
    check(cudaGetLastError(), "read_through");
}

void empty_kernel(cudaStream_t stream) {
    empty<<<1, 32, 0, stream>>>();
    check(cudaGetLastError(), "empty_kernel");
}

}  // namespace r1::cuda
