// A block a row. Nothing is sorted: how much of the probability lies at or above a token is a sum
// over the row, so the token where a given share is reached is found by halving, first over the
// logits' values, then over the indices of those that are equal.
#include "kernels/sample.hpp"

#include <cmath>

#include "kernels/cuda/reduce.cuh"
#include "kernels/workspace.hpp"

namespace r1::cuda {

namespace {

constexpr std::int64_t kRowsAtOnce = 64;  // what the workspace has room for

constexpr unsigned kThreadsMax = 1024;

std::int64_t blocks_of(const SampleArgs& args) { return std::min(args.rows, kRowsAtOnce); }

// Unsigned integers in the order of floats; NaN comes before all.
__device__ unsigned key_of(float value) {
    if (std::isnan(value)) {
        return 0;
    }
    const unsigned bits = __float_as_uint(value + 0.0F);  // one zero
    return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

// A token's place in the order of descending logits, ties by index: larger is earlier.
struct Place {
    unsigned key = 0;
    unsigned before_end = 0;  // vocabulary - index
};

__device__ bool is_at_or_before(const Place& a, const Place& b) {
    return a.key > b.key || (a.key == b.key && a.before_end >= b.before_end);
}

struct Earlier {
    __device__ Place operator()(const Place& a, const Place& b) const {
        return is_at_or_before(a, b) ? a : b;
    }
};

struct Row {
    const SampleArgs& args;
    Rows logits;
    std::int64_t row;
    double* p;  // [vocabulary] of the block, not normalised

    __device__ Place place(std::int64_t i) const {
        return {key_of(element(logits, row, i)), static_cast<unsigned>(args.vocabulary - i)};
    }

    __device__ Place first() const {
        Place own;
        for (std::int64_t i = threadIdx.x; i < args.vocabulary; i += blockDim.x) {
            own = Earlier{}(own, place(i));
        }
        return block_reduce(own, Earlier{});
    }

    __device__ void compute(std::int64_t largest_index) const {
        const double largest = element(logits, row, largest_index);
        for (std::int64_t i = threadIdx.x; i < args.vocabulary; i += blockDim.x) {
            p[i] = exp((static_cast<double>(element(logits, row, i)) - largest) / args.temperature);
        }
    }

    // The sum over tokens at or before a place.
    __device__ double mass(const Place& last) const {
        double sum = 0;
        for (std::int64_t i = threadIdx.x; i < args.vocabulary; i += blockDim.x) {
            sum += is_at_or_before(place(i), last) ? p[i] : 0;
        }
        return block_reduce(sum, Add{});
    }

    // The earliest place up to which `enough` holds of the mass, or that of the last token.
    template <class Enough>
    __device__ Place find(const Enough& enough) const {
        Place found;  // bit by bit, the largest of which it holds
        for (unsigned bit = 1U << 31; bit != 0; bit /= 2) {
            const Place tried{found.key | bit, 0};
            found.key = enough(mass(tried)) ? tried.key : found.key;
        }
        for (unsigned bit = 1U << 30; bit != 0; bit /= 2) {
            const Place tried{found.key, found.before_end | bit};
            found.before_end = enough(mass(tried)) ? tried.before_end : found.before_end;
        }
        return found;
    }
};

__device__ std::int32_t sample_row(const Row& row, const Place& first) {
    const SampleArgs& args = row.args;
    const std::int64_t first_index = args.vocabulary - first.before_end;
    if (args.temperature == 0) {
        return static_cast<std::int32_t>(first_index);
    }
    row.compute(first_index);
    const double wanted = args.top_p * row.mass({0, 0});
    const Place kept = row.find([&](double mass) { return mass >= wanted; });
    const double passed = args.randoms[row.row] * kRandomUnit * row.mass(kept);
    const Place picked = row.find([&](double mass) { return mass > passed; });
    const Place token = is_at_or_before(picked, kept) ? picked : kept;
    const std::int64_t index = args.vocabulary - token.before_end;
    return static_cast<std::int32_t>(index < args.vocabulary ? index : first_index);
}

__global__ __launch_bounds__(kThreadsMax) void sample_kernel(SampleArgs args, Rows logits,
                                                             double* workspace) {
    for (std::int64_t row = blockIdx.x; row < args.rows; row += gridDim.x) {
        const Row one{args, logits, row, workspace + blockIdx.x * args.vocabulary};
        const std::int32_t token = sample_row(one, one.first());
        if (threadIdx.x == 0) {
            args.tokens[row] = token;
        }
    }
}

}  // namespace

std::size_t sample_workspace_bytes(const SampleArgs& args) {
    return args.temperature == 0 ? 0
                                 : workspace_bytes_of<double>(blocks_of(args) * args.vocabulary);
}

void sample(const SampleArgs& args, const Launch& launch) {
    R1_CHECK(args.vocabulary > 0 || args.rows == 0);
    R1_CHECK(args.temperature >= 0 && args.top_p > 0);
    Carver carver(args.workspace);
    const std::int64_t blocks = blocks_of(args);
    auto* p = carver.take<double>(args.temperature == 0 ? 0 : blocks * args.vocabulary);
    // Some eight tokens a thread, up to the largest block.
    const auto threads = static_cast<unsigned>(
        std::min<std::int64_t>(kThreadsMax, ceil_div(args.vocabulary, kGroup * kWarp) * kWarp));
    launch_kernel(sample_kernel, dim3{static_cast<unsigned>(blocks), 1, 1}, dim3{threads, 1, 1}, 0,
                  launch, args, rows_of(args.logits), p);
}

}  // namespace r1::cuda
