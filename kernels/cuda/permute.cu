// One block for each expert finds its rows: it counts what comes before them, all entries of the
// experts before it, then its own in the order of the tokens. A second kernel copies the data.
#include "kernels/permute.hpp"

#include "kernels/cuda/reduce.cuh"

namespace r1::cuda {

namespace {

constexpr unsigned kMapThreads = 1024;
constexpr std::int64_t kEntriesPerThread = 8;

__device__ std::int64_t rows_before(const PermuteArgs& p, std::int64_t expert) {
    std::int64_t count = 0;
    for (std::int64_t i = threadIdx.x; i < p.received * p.slots; i += blockDim.x) {
        const float wanted = p.route[i / p.slots * 2 * p.slots + i % p.slots];
        // As the C++ versions compare: only whole numbers are experts.
        count += wanted >= 0 && wanted < static_cast<float>(expert) && wanted == floorf(wanted);
    }
    return block_reduce(count, Add{});
}

__global__ __launch_bounds__(kMapThreads) void permute_map_kernel(PermuteArgs p) {
    for (std::int64_t expert = blockIdx.x; expert < p.experts; expert += gridDim.x) {
        std::int64_t row = rows_before(p, expert);
        if (threadIdx.x == 0) {
            p.offsets[expert] = static_cast<std::int32_t>(row);
        }
        const auto wanted = [&](std::int64_t entry) {
            return entry < p.received * p.slots &&
                   p.route[entry / p.slots * 2 * p.slots + entry % p.slots] ==
                       static_cast<float>(expert);
        };
        for (std::int64_t begin = 0; begin < p.received * p.slots;
             begin += kMapThreads * kEntriesPerThread) {
            const std::int64_t first = begin + threadIdx.x * kEntriesPerThread;
            int own = 0;
            for (std::int64_t i = 0; i < kEntriesPerThread; ++i) {
                own += wanted(first + i) ? 1 : 0;
            }
            int all = 0;
            std::int64_t next = row + block_prefix(own, all);
            if (row + all > p.rows_max) {
                trap();
            }
            for (std::int64_t entry = first; entry < first + kEntriesPerThread; ++entry) {
                if (wanted(entry)) {
                    const std::int64_t t = entry / p.slots;
                    p.row_map[next] = static_cast<std::int32_t>(t);
                    p.row_weights[next] = p.route[t * 2 * p.slots + p.slots + entry % p.slots];
                    ++next;
                }
            }
            row += all;
        }
        if (threadIdx.x == 0 && expert == p.experts - 1) {
            p.offsets[p.experts] = static_cast<std::int32_t>(row);
        }
    }
}

// Units are the largest that divide rows and addresses.
template <class Unit>
__device__ void copy_rows_as(const PermutedBytes& matrix, const std::int32_t* row_map,
                             std::int64_t rows) {
    const auto units = matrix.row_bytes / static_cast<std::int64_t>(sizeof(Unit));
    const auto* source = static_cast<const Unit*>(matrix.source);
    auto* target = static_cast<Unit*>(matrix.target);
    for_each_index(rows * units, [&](std::int64_t i) {
        target[i] = source[row_map[i / units] * units + i % units];
    });
}

__device__ void copy_rows(const PermutedBytes& matrix, const std::int32_t* row_map,
                          std::int64_t rows) {
    const auto together = reinterpret_cast<std::uintptr_t>(matrix.source) |
                          reinterpret_cast<std::uintptr_t>(matrix.target) |
                          static_cast<std::uintptr_t>(matrix.row_bytes);
    if (together % sizeof(uint4) == 0) {
        copy_rows_as<uint4>(matrix, row_map, rows);
    } else if (together % sizeof(unsigned) == 0) {
        copy_rows_as<unsigned>(matrix, row_map, rows);
    } else {
        copy_rows_as<std::uint8_t>(matrix, row_map, rows);
    }
}

// `rows_known`: where the number of rows is, or null for `rows`.
__global__ void permute_copy_kernel(PermuteAgainArgs p, const std::int32_t* rows_known) {
    const std::int64_t rows = rows_known == nullptr ? p.rows : *rows_known;
    copy_rows(p.data, p.row_map, rows);
    copy_rows(p.scales, p.row_map, rows);
}

void copy(const PermuteAgainArgs& args, const std::int32_t* rows_known, const Launch& launch) {
    const std::int64_t threads = ceil_div(args.rows * args.data.row_bytes, sizeof(uint4));
    launch_kernel(permute_copy_kernel, grid_for_indices(threads, launch), dim3{kThreads, 1, 1}, 0,
                  launch, args, rows_known);
}

__global__ void local_route_kernel(LocalRouteArgs p) {
    for_each_index(p.tokens * p.slots, [&](std::int64_t i) {
        float* route = p.route + i / p.slots * 2 * p.slots + i % p.slots;
        route[0] = static_cast<float>(p.indices[i]);
        route[p.slots] = p.weights[i];
    });
}

__global__ void no_rows_kernel(std::int32_t* offsets) { offsets[0] = 0; }

}  // namespace

void local_route(const LocalRouteArgs& args, const Launch& launch) {
    launch_kernel(local_route_kernel, grid_for_indices(args.tokens * args.slots, launch),
                  dim3{kThreads, 1, 1}, 0, launch, args);
}

void permute(const PermuteArgs& args, const Launch& launch) {
    if (args.experts == 0) {
        launch_kernel(no_rows_kernel, dim3{1, 1, 1}, dim3{32, 1, 1}, 0, launch, args.offsets);
        return;
    }
    launch_kernel(permute_map_kernel, grid_for(args.experts, launch), dim3{kMapThreads, 1, 1}, 0,
                  launch, args);
    copy({args.rows_max, args.row_map, args.data, args.scales}, args.offsets + args.experts,
         launch);
}

void permute_again(const PermuteAgainArgs& args, const Launch& launch) {
    copy(args, nullptr, launch);
}

}  // namespace r1::cuda
