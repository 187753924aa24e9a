#include "kernels/permute.hpp"

#include <cstring>

#include "model/base/check.hpp"

namespace r1::reference {

namespace {

void copy_row(const PermutedBytes& matrix, std::int64_t from, std::int64_t to) {
    if (matrix.row_bytes > 0) {
        std::memcpy(static_cast<char*>(matrix.target) + to * matrix.row_bytes,
                    static_cast<const char*>(matrix.source) + from * matrix.row_bytes,
                    static_cast<std::size_t>(matrix.row_bytes));
    }
}

}  // namespace

void local_route(const LocalRouteArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        float* route = args.route + t * 2 * args.slots;
        for (std::int64_t slot = 0; slot < args.slots; ++slot) {
            route[slot] = static_cast<float>(args.indices[t * args.slots + slot]);
            route[args.slots + slot] = args.weights[t * args.slots + slot];
        }
    }
}

void permute(const PermuteArgs& args) {
    std::int32_t row = 0;
    for (std::int64_t expert = 0; expert < args.experts; ++expert) {
        args.offsets[expert] = row;
        for (std::int64_t t = 0; t < args.received; ++t) {
            const float* route = args.route + t * 2 * args.slots;
            for (std::int64_t slot = 0; slot < args.slots; ++slot) {
                if (route[slot] != static_cast<float>(expert)) {
                    continue;
                }
                R1_CHECK(row < args.rows_max);
                args.row_map[row] = static_cast<std::int32_t>(t);
                args.row_weights[row] = route[args.slots + slot];
                copy_row(args.data, t, row);
                copy_row(args.scales, t, row);
                ++row;
            }
        }
    }
    args.offsets[args.experts] = row;
}

void permute_again(const PermuteAgainArgs& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        copy_row(args.data, args.row_map[row], row);
        copy_row(args.scales, args.row_map[row], row);
    }
}

}  // namespace r1::reference
