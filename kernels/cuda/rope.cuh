// Rotations of the pairs of rotary columns, as rotation() of kernels/rope_table.hpp makes them.
#pragma once

#include "kernels/cuda/columns.cuh"
#include "kernels/rope_table.hpp"

namespace r1::cuda {

// Calls body(token) for each token by the threads of a block together, with the token's rotations
// in dynamic shared memory. `sign` -1 turns back.
template <class Body>
__device__ void for_each_rotated_token(std::int64_t tokens, std::int64_t pairs,
                                       const std::int32_t* positions, const float* frequencies,
                                       float magnitude, float sign, const Body& body) {
    auto* rotations = reinterpret_cast<Rotation*>(dynamic_shared());
    for (std::int64_t t = blockIdx.x; t < tokens; t += gridDim.x) {
        __syncthreads();  // those before may still be read
        for (std::int64_t j = threadIdx.x; j < pairs; j += blockDim.x) {
            const float angle = static_cast<float>(positions[t]) * frequencies[j];
            double sine = 0;
            double cosine = 0;
            sincos(static_cast<double>(angle), &sine, &cosine);
            rotations[j].cos = static_cast<float>(cosine) * magnitude;
            rotations[j].sin = static_cast<float>(sine) * magnitude * sign;
        }
        __syncthreads();
        body(t);
    }
}

inline std::size_t rotations_bytes(std::int64_t rope_dim) {
    return static_cast<std::size_t>(rope_dim / 2) * sizeof(Rotation);
}

// The pairs of a group that begins `column` behind the first of `width` rotary columns.
inline __device__ Group rotated(const Group& group, std::int64_t column, std::int64_t width) {
    const auto* turns = reinterpret_cast<const Rotation*>(dynamic_shared()) + column / 2;
    Group result{};
    for (int i = 0; i < kGroup && column + i < width; i += 2) {
        const float a = group.v[i];
        const float b = group.v[i + 1];
        const Rotation turn = turns[i / 2];
        result.v[i] = a * turn.cos - b * turn.sin;
        result.v[i + 1] = a * turn.sin + b * turn.cos;
    }
    return result;
}

inline __device__ void rotate_group(const Columns& from, const Columns& to, std::int64_t row,
                                    std::int64_t column, std::int64_t width) {
    const Group group = load_group(from.rows, row, from.first + column, from.first + width);
    store_group(to.rows, row, to.first + column, to.first + width, rotated(group, column, width));
}

// Calls body(head, column) for each group of `width` columns of each head, a block together.
template <class Body>
__device__ void for_each_head_group(std::int64_t heads, std::int64_t width, const Body& body) {
    const std::int64_t groups = ceil_div(width, kGroup);
    for (std::int64_t i = threadIdx.x; i < heads * groups; i += blockDim.x) {
        body(i / groups, i % groups * kGroup);
    }
}

}  // namespace r1::cuda
