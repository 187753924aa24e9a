#include "kernels/unpermute.hpp"

namespace r1::reference {

void unpermute(const UnpermuteArgs& args) {
    for (std::int64_t t = 0; t < args.received; ++t) {
        for (std::int64_t i = 0; i < args.width; ++i) {
            float sum = 0;
            for (std::int64_t row = 0; row < args.rows; ++row) {
                if (args.row_map[row] == t) {
                    sum += load(args.x, row, i);
                }
            }
            store(args.y, t, i, sum);
        }
    }
}

}  // namespace r1::reference
