// One matrix product for each expert. cuBLASLt has no grouped FP8 product for Hopper, so what is
// measured is what the libraries offer: a sequence of products, on one stream or on several, and
// for BF16 also cuBLAS's grouped call. The fastest counts, and the point says which it was.
#pragma once

#include <array>

#include "runtime/cuda_calibration/gemm.hpp"

namespace r1::cuda {

// Streams beside the measured one, which they wait for and which waits for them.
class SideStreams {
public:
    void fork(cudaStream_t main) const;
    void join(cudaStream_t main) const;
    // 0 is the measured stream itself.
    [[nodiscard]] cudaStream_t lane(std::size_t index, cudaStream_t main) const {
        return index == 0 ? main : sides_[index - 1].get();
    }

private:
    std::array<Stream, kSideStreams> sides_;
    Event forked_{cudaEventDisableTiming};
    Event joined_{cudaEventDisableTiming};
};

// `shape` is that of one group; operands and results of the groups follow each other.
Alternatives grouped_gemm_operations(const Libraries& libraries, const Pools& pools,
                                     const SideStreams& sides, const GemmShape& shape, int groups,
                                     int sms);

}  // namespace r1::cuda
