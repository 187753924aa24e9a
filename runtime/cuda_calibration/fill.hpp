// Contents of operands, and emptying the L2 cache.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace r1::cuda {

// Multiplications of zeros draw less power and run at a higher clock than those of real data, so
// operands are filled with values spread like a normal distribution's.
void fill_bf16(void* data, std::size_t bytes, std::uint32_t seed, cudaStream_t stream);
void fill_e4m3(void* data, std::size_t bytes, std::uint32_t seed, cudaStream_t stream);
void fill_f32(void* data, std::size_t bytes, float value, cudaStream_t stream);

// Reads `bytes`, several times the size of the L2 cache. Reading, unlike writing, leaves nothing
// behind that the next kernel would have to write back.
void read_through(const void* data, std::size_t bytes, cudaStream_t stream);

void empty_kernel(cudaStream_t stream);

}  // namespace r1::cuda
