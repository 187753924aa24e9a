// A block takes a token if none before it has the same id, and then adds up all tokens of that id
// in their order: no two blocks add to one row, and the bytes are those of the other versions.
#include "kernels/embedding_backward.hpp"

#include "kernels/cuda/reduce.cuh"

namespace r1::cuda {

namespace {

// Bit i of word w: token begin + 32 w + i is below `end` and has the id. One bit a thread.
__device__ void find_id(const std::int32_t* ids, std::int32_t id, std::int64_t begin,
                        std::int64_t end, unsigned (&found)[kThreads / kWarp]) {
    const std::int64_t token = begin + threadIdx.x;
    const unsigned ballot = __ballot_sync(kAllLanes, token < end && ids[token] == id);
    __syncthreads();  // the last ones may still be read
    if (threadIdx.x % kWarp == 0) {
        found[threadIdx.x / kWarp] = ballot;
    }
    __syncthreads();
}

__device__ bool is_first(const EmbeddingBackwardArgs& p, std::int64_t t,
                         unsigned (&found)[kThreads / kWarp]) {
    for (std::int64_t begin = 0; begin < t; begin += kThreads) {
        find_id(p.ids, p.ids[t], begin, t, found);
        unsigned any = 0;
        for (const unsigned word : found) {
            any |= word;
        }
        if (any != 0) {
            return false;
        }
    }
    return true;
}

__device__ void add_row(const Rows& table_grad, const Rows& grad, std::int64_t id,
                        std::int64_t token, std::int64_t width) {
    for (std::int64_t column = threadIdx.x * kGroup; column < width; column += kThreads * kGroup) {
        Group sum = load_group(table_grad, id, column, width);
        const Group added = load_group(grad, token, column, width);
        for (int i = 0; i < kGroup; ++i) {
            sum.v[i] += added.v[i];
        }
        store_group(table_grad, id, column, width, sum);
    }
}

__global__ void embedding_backward_kernel(EmbeddingBackwardArgs p, Rows grad, Rows table_grad) {
    __shared__ unsigned found[kThreads / kWarp];
    for (std::int64_t t = blockIdx.x; t < p.tokens; t += gridDim.x) {
        const std::int32_t id = p.ids[t];
        if (id < 0 || id >= p.vocabulary) {
            trap();
        }
        if (!is_first(p, t, found)) {
            continue;
        }
        for (std::int64_t begin = t; begin < p.tokens; begin += kThreads) {
            find_id(p.ids, id, begin, p.tokens, found);
            for (unsigned word = 0; word < kThreads / kWarp; ++word) {
                for (unsigned bits = found[word]; bits != 0; bits &= bits - 1) {
                    const int bit = __ffs(static_cast<int>(bits)) - 1;
                    add_row(table_grad, grad, id, begin + word * kWarp + bit, p.width);
                }
            }
        }
    }
}

}  // namespace

void embedding_backward(const EmbeddingBackwardArgs& args, const Launch& launch) {
    launch_kernel(embedding_backward_kernel, grid_for(args.tokens, launch), dim3{kThreads, 1, 1}, 0,
                  launch, args, rows_of(args.grad),
                  rows_of(ConstMatrix{args.table_grad, DType::f32, args.width}));
}

}  // namespace r1::cuda
