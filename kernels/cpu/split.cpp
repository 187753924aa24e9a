#include "kernels/split.hpp"

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

void split(const SplitArgs& args) {
    parallel_for(args.rows, args.a_width + args.b_width, [&](std::int64_t row) {
        copy_columns(args.x, row, 0, args.a, 0, args.a_width);
        copy_columns(args.x, row, args.a_width, args.b, 0, args.b_width);
    });
}

}  // namespace r1::cpu
