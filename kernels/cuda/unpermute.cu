// Lists of the rows of each token, then sums along them. Rows come into a list in any order, and
// are sorted before they are added: the bytes do not depend on it.
#include "kernels/unpermute.hpp"

#include "kernels/cuda/reduce.cuh"
#include "kernels/workspace.hpp"

namespace r1::cuda {

namespace {

constexpr unsigned kScanThreads = 1024;

struct Unpermute {
    std::int64_t rows, received, width;
    Rows x, y;
    const std::int32_t* row_map;
    std::int32_t* ends;  // [received] where the list of a token ends, once all are filled
    std::int32_t* list;  // [rows]
};

__device__ std::int32_t token_of(const Unpermute& p, std::int64_t row) {
    const std::int32_t token = p.row_map[row];
    if (token < 0 || token >= p.received) {
        trap();
    }
    return token;
}

__global__ void clear_kernel(Unpermute p) {
    for_each_index(p.received, [&](std::int64_t i) { p.ends[i] = 0; });
}

__global__ void count_kernel(Unpermute p) {
    for_each_index(p.rows, [&](std::int64_t i) { atomicAdd(p.ends + token_of(p, i), 1); });
}

// Counts to where lists begin.
__global__ __launch_bounds__(kScanThreads) void begin_kernel(Unpermute p) {
    std::int32_t before = 0;
    for (std::int64_t first = 0; first < p.received; first += kScanThreads) {
        const std::int64_t i = first + threadIdx.x;
        int all = 0;
        const int own = block_prefix(i < p.received ? p.ends[i] : 0, all);
        if (i < p.received) {
            p.ends[i] = before + own;
        }
        before += all;
    }
}

__global__ void fill_kernel(Unpermute p) {
    for_each_index(p.rows, [&](std::int64_t i) {
        p.list[atomicAdd(p.ends + token_of(p, i), 1)] = static_cast<std::int32_t>(i);
    });
}

// Few elements: a token's experts.
__device__ void sort(std::int32_t* list, std::int32_t count) {
    for (std::int32_t i = 1; i < count; ++i) {
        const std::int32_t row = list[i];
        std::int32_t at = i;
        for (; at > 0 && list[at - 1] > row; --at) {
            list[at] = list[at - 1];
        }
        list[at] = row;
    }
}

__global__ void sort_kernel(Unpermute p) {
    for_each_index(p.received, [&](std::int64_t t) {
        const std::int32_t begin = t == 0 ? 0 : p.ends[t - 1];
        sort(p.list + begin, p.ends[t] - begin);
    });
}

__global__ void unpermute_kernel(Unpermute p) {
    for_each_group(p.received, p.width, [&](std::int64_t t, std::int64_t column) {
        Group sum{};
        for (std::int32_t i = t == 0 ? 0 : p.ends[t - 1]; i < p.ends[t]; ++i) {
            const Group row = load_group(p.x, p.list[i], column, p.width);
            for (int j = 0; j < kGroup; ++j) {
                sum.v[j] += row.v[j];
            }
        }
        store_group(p.y, t, column, p.width, sum);
    });
}

}  // namespace

std::size_t unpermute_workspace_bytes(const UnpermuteArgs& args) {
    return workspace_bytes_of<std::int32_t>(args.received) +
           workspace_bytes_of<std::int32_t>(args.rows);
}

void unpermute(const UnpermuteArgs& args, const Launch& launch) {
    Carver carver(args.workspace);
    auto* ends = carver.take<std::int32_t>(args.received);
    auto* list = carver.take<std::int32_t>(args.rows);
    const Unpermute p{args.rows,       args.received, args.width, rows_of(args.x),
                      rows_of(args.y), args.row_map,  ends,       list};
    const dim3 threads{kThreads, 1, 1};
    const dim3 by_token = grid_for_indices(args.received, launch);
    const dim3 by_row = grid_for_indices(args.rows, launch);
    launch_kernel(clear_kernel, by_token, threads, 0, launch, p);
    launch_kernel(count_kernel, by_row, threads, 0, launch, p);
    launch_kernel(begin_kernel, dim3{1, 1, 1}, dim3{kScanThreads, 1, 1}, 0, launch, p);
    launch_kernel(fill_kernel, by_row, threads, 0, launch, p);
    launch_kernel(sort_kernel, by_token, threads, 0, launch, p);
    launch_kernel(unpermute_kernel, grid_for_groups(args.received, args.width, launch), threads, 0,
                  launch, p);
}

}  // namespace r1::cuda
