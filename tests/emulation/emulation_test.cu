// What the emulation is trusted to find: kernels that are wrong.
#include <vector>

#include "kernels/cuda/hopper/instructions.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/permute.hpp"
#include "model/base/check.hpp"
#include "tests/emulation/emulation.hpp"
#include "tests/support/catch.hpp"

namespace r1::cuda {

namespace {

constexpr unsigned kTestThreads = 64;

// Each thread passes a number to its neighbour, with or without waiting for it.
__global__ void pass_on_kernel(int* out, bool waits) {
    auto* numbers = reinterpret_cast<int*>(dynamic_shared());
    numbers[threadIdx.x] = static_cast<int>(threadIdx.x) + 1;
    if (waits) {
        __syncthreads();
    }
    out[threadIdx.x] = numbers[(threadIdx.x + 1) % kTestThreads];
}

std::vector<int> passed_on(bool waits, emulation::Order order) {
    std::vector<int> out(kTestThreads);
    emulation::set_order(order);
    launch_kernel(pass_on_kernel, dim3{1, 1, 1}, dim3{kTestThreads, 1, 1},
                  kTestThreads * sizeof(int), Launch{}, out.data(), waits);
    return out;
}

__global__ void half_waits_kernel() {
    if (threadIdx.x < kTestThreads / 2) {
        __syncthreads();
    }
}

__global__ void stops_kernel() {
    if (threadIdx.x == 3) {
        trap();
    }
    __syncthreads();
}

__global__ void sums_kernel(int* sums, int* prefixes) {
    const int value = static_cast<int>(threadIdx.x + 100 * blockIdx.x);
    int all = 0;
    const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    prefixes[at] = block_prefix(value, all);
    sums[at] = block_reduce(value, Add{}) == all ? all : -1;
}

// The first warp makes a number, the second doubles it, once the first says so, or not.
__global__ void hand_over_kernel(int* out, bool waits, bool arrives) {
    auto* barrier = reinterpret_cast<Barrier*>(dynamic_shared());
    auto* number = reinterpret_cast<int*>(barrier + 1);
    if (threadIdx.x == 0) {
        barrier_init(barrier, 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        *number = 21;
        if (arrives) {
            barrier_arrive(barrier);
        }
    } else if (threadIdx.x == kWarp) {
        if (waits) {
            barrier_wait(barrier, 0);
        }
        *out = 2 * *number;
    }
}

int handed_over(bool waits, emulation::Order order, bool arrives = true) {
    int out = 0;
    emulation::set_order(order, 1);
    launch_kernel(hand_over_kernel, dim3{1, 1, 1}, dim3{kTestThreads, 1, 1},
                  sizeof(Barrier) + sizeof(int), Launch{}, &out, waits, arrives);
    return out;
}

}  // namespace

TEST_CASE("emulation: a missing wait shows in the order of threads", "[cuda]") {
    using emulation::Order;
    for (const Order order : {Order::ascending, Order::descending, Order::random}) {
        CHECK(handed_over(true, order) == 42);
    }
    CHECK(handed_over(false, Order::ascending) != 42);
    CHECK_THROWS_AS(handed_over(true, Order::ascending, false), InternalError);
}

TEST_CASE("emulation: a missing barrier shows in the order of threads", "[cuda]") {
    using emulation::Order;
    CHECK(passed_on(true, Order::ascending) == passed_on(true, Order::descending));
    CHECK(passed_on(false, Order::ascending) != passed_on(false, Order::descending));
    // Who reads before the neighbour has written reads what no one writes.
    CHECK(passed_on(false, Order::ascending)[0] == -1);
}

TEST_CASE("emulation: a barrier that not all threads reach is an error", "[cuda]") {
    CHECK_THROWS_AS(
        launch_kernel(half_waits_kernel, dim3{1, 1, 1}, dim3{kTestThreads, 1, 1}, 0, Launch{}),
        InternalError);
    // And the next kernel runs.
    CHECK(passed_on(true, emulation::Order::ascending)[0] == 2);
}

TEST_CASE("emulation: a kernel that stops itself reaches the caller", "[cuda]") {
    CHECK_THROWS_AS(
        launch_kernel(stops_kernel, dim3{2, 1, 1}, dim3{kTestThreads, 1, 1}, 0, Launch{}),
        InternalError);
}

TEST_CASE("emulation: sums over blocks, by closed forms", "[cuda]") {
    std::vector<int> sums(2 * kTestThreads);
    std::vector<int> prefixes(2 * kTestThreads);
    for (const auto order : {emulation::Order::ascending, emulation::Order::descending}) {
        emulation::set_order(order);
        launch_kernel(sums_kernel, dim3{2, 1, 1}, dim3{kTestThreads, 1, 1}, 0, Launch{},
                      sums.data(), prefixes.data());
        for (int i = 0; i < 64; ++i) {
            const auto at = static_cast<std::size_t>(i);
            CHECK(prefixes[at] == i * (i - 1) / 2);
            CHECK(prefixes[at + kTestThreads] == i * (i - 1) / 2 + 100 * i);
            CHECK(sums[at] == 64 * 63 / 2);
            CHECK(sums[at + kTestThreads] == 64 * 63 / 2 + 6400);
        }
    }
}

// On a GPU too it stops the kernel, and with it all that the process does there.
TEST_CASE("cuda permute: more rows than there is room for stop the kernel", "[cuda]") {
    std::vector<float> route = {0, 1, 0.5F, 0.5F, 1, 0, 0.5F, 0.5F};  // 2 tokens, 2 slots
    std::vector<float> data(2);
    std::vector<float> rows(4);
    std::vector<std::int32_t> row_map(4);
    std::vector<float> row_weights(4);
    std::vector<std::int32_t> offsets(3);
    PermuteArgs args;
    args.received = 2;
    args.slots = 2;
    args.experts = 2;
    args.route = route.data();
    args.data = {sizeof(float), data.data(), rows.data()};
    args.row_map = row_map.data();
    args.row_weights = row_weights.data();
    args.offsets = offsets.data();
    args.rows_max = 4;
    permute(args, Launch{});
    CHECK(offsets == std::vector<std::int32_t>{0, 2, 4});
    args.rows_max = 3;
    CHECK_THROWS_AS(permute(args, Launch{}), InternalError);
}

}  // namespace r1::cuda
