#include "kernels/split.hpp"

namespace r1::reference {

void split(const SplitArgs& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        for (std::int64_t i = 0; i < args.a_width; ++i) {
            store(args.a, row, i, load(args.x, row, i));
        }
        for (std::int64_t i = 0; i < args.b_width; ++i) {
            store(args.b, row, i, load(args.x, row, args.a_width + i));
        }
    }
}

}  // namespace r1::reference
