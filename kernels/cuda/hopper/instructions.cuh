// What Hopper (sm_90a) has for products of large matrices: copies of tiles by the tensor memory
// accelerator, barriers in shared memory that such copies arrive at, and products of a warpgroup.
// PTX manual, 9.7.9.27 (cp.async.bulk.tensor), 9.7.13.15 (mbarrier), 9.7.15 (wgmma). The tests'
// emulation has its own version of this file.
//
// Tiles lie in shared memory in rows of 128 bytes at multiples of 1024 bytes, with the swizzle of
// 128 bytes: the i-th 16 bytes of row r are at place i ^ r % 8 of the row.
#pragma once

#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/hopper/tile_operand.hpp"
#include "kernels/cuda/ptx.cuh"

namespace r1::cuda {

// ---- Host
// ----------------------------------------------------------------------------------------

struct TileMap {
    CUtensorMap map;
};

inline PFN_cuTensorMapEncodeTiled_v12000 tensor_map_encoder() {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                           cudaEnableDefault, &found),
          "cudaGetDriverEntryPointByVersion");
    if (found != cudaDriverEntryPointSuccess) {
        throw CudaError("the driver has no cuTensorMapEncodeTiled");
    }
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

// Of a matrix of bytes, [rows, width], whose address and stride are multiples of 16: tiles of
// `tile_rows` rows by 128 bytes. What of a tile lies outside of the matrix is zero.
inline TileMap tile_map(const void* data, std::int64_t rows, std::int64_t width,
                        std::int64_t stride, int tile_rows) {
    static const PFN_cuTensorMapEncodeTiled_v12000 encode = tensor_map_encoder();
    const cuuint64_t sizes[] = {static_cast<cuuint64_t>(width), static_cast<cuuint64_t>(rows)};
    const cuuint64_t strides[] = {static_cast<cuuint64_t>(stride)};
    const cuuint32_t box[] = {kTileRowBytes, static_cast<cuuint32_t>(tile_rows)};
    const cuuint32_t steps[] = {1, 1};
    TileMap made{};
    const CUresult status =
        encode(&made.map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, const_cast<void*>(data), sizes, strides,
               box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (status != CUDA_SUCCESS) {
        throw CudaError("cuTensorMapEncodeTiled: error " + std::to_string(status));
    }
    return made;
}

// ---- Device
// --------------------------------------------------------------------------------------

// The shared memory that a kernel was started with, for tiles.
inline __device__ unsigned char* dynamic_tiles() {
    extern __shared__ __align__(1024) unsigned char tiles_memory[];
    return tiles_memory;
}

// Of shared memory.
inline __device__ unsigned shared_address(const void* shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// A phase of the barrier ends when all have arrived, and all bytes that they said they expect.
using Barrier = std::uint64_t;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

inline __device__ void barrier_init(Barrier* barrier, unsigned arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(arrivals)
                 : "memory");
}

// Once all are initialised: lets copies see them. The block synchronises after it.
inline __device__ void barriers_ready() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

inline __device__ void barrier_arrive(Barrier* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
                 : "memory");
}

inline __device__ void barrier_arrive_expecting(Barrier* barrier, unsigned bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
        "r"(bytes)
        : "memory");
}

// Until the phase of this parity has ended: the first one has 0, and the one before it counts as
// ended.
inline __device__ void barrier_wait(Barrier* barrier, unsigned parity) {
    unsigned done = 0;
    while (done == 0) {
        asm volatile(
            "{\n"
            ".reg .pred done;\n"
            "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
            "selp.u32 %0, 1, 0, done;\n"
            "}"
            : "=r"(done)
            : "r"(shared_address(barrier)), "r"(parity)
            : "memory");
    }
}

// The tile that begins at byte `column` of row `row`, to shared memory; its bytes, outside or not,
// arrive at the barrier. Of one thread.
inline __device__ void load_tile(void* to, const TileMap& map, std::int64_t column,
                                 std::int64_t row, Barrier* barrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(static_cast<int>(column)),
        "r"(static_cast<int>(row))
        : "memory");
}

// How many registers each thread of the calling warpgroup has from now on: fewer or more than the
// kernel was compiled for.
template <int Count>
__device__ void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count>
__device__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

// Lets what this thread stored in shared memory be seen by products, once the threads that start
// them know of it.
inline __device__ void stored_for_products() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Sums are only touched before products_begin() and after products_wait(): in between they are the
// tensor cores'. products_end() ends a series of products; products_wait() waits for all series but
// the last `Pending`.
template <int Count>
__device__ __forceinline__ void hold(float (&sums)[Count]) {
#pragma unroll
    for (float& sum : sums) {
        asm volatile("" : "+f"(sum)::"memory");
    }
}
template <int Count>
__device__ __forceinline__ void products_begin(float (&sums)[Count]) {
    hold(sums);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void products_end() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int Pending, int Count>
__device__ __forceinline__ void products_wait(float (&sums)[Count]) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
    hold(sums);
}

// Products by the four warps of a warpgroup together: sums[64, n] = a[64, k] b[n, k]^T, added to
// what they are if `accumulate`. Of warp w a lane has rows 16 w + lane / 4 and that + 8: sums[4 i],
// [4 i + 1] and [4 i + 2], [4 i + 3] of them, at columns 8 i + lane % 4 * 2 and the next one.
#define R1_SUMS_4(s, i) "+f"(s[i]), "+f"(s[(i) + 1]), "+f"(s[(i) + 2]), "+f"(s[(i) + 3])
#define R1_SUMS_16(s, i) \
    R1_SUMS_4(s, i), R1_SUMS_4(s, (i) + 4), R1_SUMS_4(s, (i) + 8), R1_SUMS_4(s, (i) + 12)

// n = 128, k = 32, of E4M3; operands by tile_operand().
__device__ __forceinline__ void product_e4m3(float (&s)[64], std::uint64_t a, std::uint64_t b,
                                             bool accumulate) {
    asm volatile(
        "{\n"
        ".reg .pred accumulate;\n"
        "setp.ne.b32 accumulate, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
        "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, "
        "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
        "%62, %63}, "
        "%64, %65, accumulate, 1, 1;\n"
        "}"
        : R1_SUMS_16(s, 0), R1_SUMS_16(s, 16), R1_SUMS_16(s, 32), R1_SUMS_16(s, 48)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
}

// The same for n = 64.
__device__ __forceinline__ void product_e4m3(float (&s)[32], std::uint64_t a, std::uint64_t b,
                                             bool accumulate) {
    asm volatile(
        "{\n"
        ".reg .pred accumulate;\n"
        "setp.ne.b32 accumulate, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, "
        "%19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "%32, %33, accumulate, 1, 1;\n"
        "}"
        : R1_SUMS_16(s, 0), R1_SUMS_16(s, 16)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
}

// n = 64, k = 16, of BF16; operands by tile_operand().
__device__ __forceinline__ void product_bf16(float (&s)[32], std::uint64_t a, std::uint64_t b,
                                             bool accumulate) {
    asm volatile(
        "{\n"
        ".reg .pred accumulate;\n"
        "setp.ne.b32 accumulate, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
        "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "%32, %33, accumulate, 1, 1, 0, 0;\n"
        "}"
        : R1_SUMS_16(s, 0), R1_SUMS_16(s, 16)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
}

// The same for n = 128.
__device__ __forceinline__ void product_bf16(float (&s)[64], std::uint64_t a, std::uint64_t b,
                                             bool accumulate) {
    asm volatile(
        "{\n"
        ".reg .pred accumulate;\n"
        "setp.ne.b32 accumulate, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
        "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, "
        "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
        "%62, %63}, "
        "%64, %65, accumulate, 1, 1, 0, 0;\n"
        "}"
        : R1_SUMS_16(s, 0), R1_SUMS_16(s, 16), R1_SUMS_16(s, 32), R1_SUMS_16(s, 48)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
}

// n = 128, k = 16, of BF16; b by transposed_operand(), a in registers: of the lane's two rows,
// columns lane % 4 * 2 and the next one of the first, then of the second row, then 8 columns on. It
// is added to the sums, and stays as it is until they are there.
__device__ __forceinline__ void product_bf16_transposed(float (&s)[64], const unsigned (&a)[4],
                                                        std::uint64_t b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
        "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, "
        "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
        "%62, %63}, "
        "{%64, %65, %66, %67}, %68, 1, 1, 1, 1;\n"
        : R1_SUMS_16(s, 0), R1_SUMS_16(s, 16), R1_SUMS_16(s, 32), R1_SUMS_16(s, 48)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

// n = 256, k = 16, of BF16; a by tile_operand(), b by transposed_operand().
__device__ __forceinline__ void product_bf16_transposed(float (&s)[128], std::uint64_t a,
                                                        std::uint64_t b, bool accumulate) {
    asm volatile(
        "{\n"
        ".reg .pred accumulate;\n"
        "setp.ne.b32 accumulate, %130, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
        "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, "
        "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
        "%62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, "
        "%77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, "
        "%92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, "
        "%106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, "
        "%119, %120, %121, %122, %123, %124, %125, %126, %127}, "
        "%128, %129, accumulate, 1, 1, 0, 1;\n"
        "}"
        : R1_SUMS_16(s, 0), R1_SUMS_16(s, 16), R1_SUMS_16(s, 32), R1_SUMS_16(s, 48),
          R1_SUMS_16(s, 64), R1_SUMS_16(s, 80), R1_SUMS_16(s, 96), R1_SUMS_16(s, 112)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
}

#undef R1_SUMS_16
#undef R1_SUMS_4

#else

// Code for other GPUs, which nobody starts.
inline __device__ void barrier_init(Barrier* /*barrier*/, unsigned /*arrivals*/) { trap(); }
inline __device__ void barriers_ready() { trap(); }
inline __device__ void barrier_arrive(Barrier* /*barrier*/) { trap(); }
inline __device__ void barrier_arrive_expecting(Barrier* /*barrier*/, unsigned /*bytes*/) {
    trap();
}
inline __device__ void barrier_wait(Barrier* /*barrier*/, unsigned /*parity*/) { trap(); }
inline __device__ void load_tile(void* /*to*/, const TileMap& /*map*/, std::int64_t /*column*/,
                                 std::int64_t /*row*/, Barrier* /*barrier*/) {
    trap();
}
template <int Count>
__device__ void give_registers() {}
template <int Count>
__device__ void take_registers() {}
inline __device__ void stored_for_products() { trap(); }
template <int Count>
__device__ void products_begin(float (&/*sums*/)[Count]) {
    trap();
}
inline __device__ void products_end() { trap(); }
template <int Pending, int Count>
__device__ void products_wait(float (&/*sums*/)[Count]) {
    trap();
}
template <int Count>
__device__ void product_e4m3(float (&/*s*/)[Count], std::uint64_t /*a*/, std::uint64_t /*b*/,
                             bool /*accumulate*/) {
    trap();
}
template <int Count>
__device__ void product_bf16(float (&/*s*/)[Count], std::uint64_t /*a*/, std::uint64_t /*b*/,
                             bool /*accumulate*/) {
    trap();
}
inline __device__ void product_bf16_transposed(float (&/*s*/)[64], const unsigned (&/*a*/)[4],
                                               std::uint64_t /*b*/) {
    trap();
}
inline __device__ void product_bf16_transposed(float (&/*s*/)[128], std::uint64_t /*a*/,
                                               std::uint64_t /*b*/, bool /*accumulate*/) {
    trap();
}

#endif

}  // namespace r1::cuda
