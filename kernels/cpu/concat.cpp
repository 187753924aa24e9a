#include "kernels/concat.hpp"

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

void concat(const ConcatArgs& args) {
    parallel_for(args.rows, args.a_width + args.b_width, [&](std::int64_t row) {
        copy_columns(args.a, row, 0, args.y, 0, args.a_width);
        copy_columns(args.b, row, 0, args.y, args.a_width, args.b_width);
    });
}

}  // namespace r1::cpu
