#include "kernels/concat.hpp"

namespace r1::reference {

void concat(const ConcatArgs& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        for (std::int64_t i = 0; i < args.a_width; ++i) {
            store(args.y, row, i, load(args.a, row, i));
        }
        for (std::int64_t i = 0; i < args.b_width; ++i) {
            store(args.y, row, args.a_width + i, load(args.b, row, i));
        }
    }
}

}  // namespace r1::reference
