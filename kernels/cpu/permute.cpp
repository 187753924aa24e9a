#include "kernels/permute.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/parallel_for.hpp"
#include "model/base/check.hpp"

namespace r1::cpu {

namespace {

void copy_row(const PermutedBytes& matrix, std::int64_t from, std::int64_t to) {
    if (matrix.row_bytes > 0) {
        std::memcpy(static_cast<char*>(matrix.target) + to * matrix.row_bytes,
                    static_cast<const char*>(matrix.source) + from * matrix.row_bytes,
                    static_cast<std::size_t>(matrix.row_bytes));
    }
}

// The local expert of a slot, or -1.
std::int64_t expert_of(const PermuteArgs& args, std::int64_t token, std::int64_t slot) {
    const float expert = args.route[token * 2 * args.slots + slot];
    return expert >= 0 && expert < static_cast<float>(args.experts)
               ? static_cast<std::int64_t>(expert)
               : -1;
}

// A counting sort by expert: sizes, their sums, then places. offsets[e] runs from the first to
// past the last row of e while rows are placed, and is then moved by one.
void place_rows(const PermuteArgs& args) {
    std::int32_t* offsets = args.offsets;
    std::fill_n(offsets, args.experts + 1, 0);
    for (std::int64_t t = 0; t < args.received; ++t) {
        for (std::int64_t slot = 0; slot < args.slots; ++slot) {
            const std::int64_t expert = expert_of(args, t, slot);
            if (expert >= 0) {
                ++offsets[expert + 1];
            }
        }
    }
    for (std::int64_t expert = 0; expert < args.experts; ++expert) {
        offsets[expert + 1] += offsets[expert];
    }
    R1_CHECK(offsets[args.experts] <= args.rows_max);
    for (std::int64_t t = 0; t < args.received; ++t) {
        for (std::int64_t slot = 0; slot < args.slots; ++slot) {
            const std::int64_t expert = expert_of(args, t, slot);
            if (expert < 0) {
                continue;
            }
            const std::int32_t row = offsets[expert]++;
            args.row_map[row] = static_cast<std::int32_t>(t);
            args.row_weights[row] = args.route[t * 2 * args.slots + args.slots + slot];
        }
    }
    for (std::int64_t expert = args.experts; expert > 0; --expert) {
        offsets[expert] = offsets[expert - 1];
    }
    offsets[0] = 0;
}

}  // namespace

void local_route(const LocalRouteArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        const std::int32_t* indices = args.indices + t * args.slots;
        float* route = args.route + t * 2 * args.slots;
        std::transform(indices, indices + args.slots, route,
                       [](std::int32_t expert) { return static_cast<float>(expert); });
        std::copy_n(args.weights + t * args.slots, args.slots, route + args.slots);
    }
}

void permute(const PermuteArgs& args) {
    place_rows(args);
    permute_again({args.offsets[args.experts], args.row_map, args.data, args.scales});
}

void permute_again(const PermuteAgainArgs& args) {
    parallel_for(args.rows, args.data.row_bytes, [&](std::int64_t row) {
        copy_row(args.data, args.row_map[row], row);
        copy_row(args.scales, args.row_map[row], row);
    });
}

}  // namespace r1::cpu
