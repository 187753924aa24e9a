#include "kernels/residual_add.hpp"

namespace r1::reference {

void residual_add(const ResidualAddArgs& args) {
    R1_CHECK(args.term_count >= 1 && args.term_count <= 4);
    for (std::int64_t row = 0; row < args.rows; ++row) {
        for (std::int64_t i = 0; i < args.width; ++i) {
            float sum = load(args.terms[0], row, i);
            for (std::int64_t term = 1; term < args.term_count; ++term) {
                sum += load(args.terms[static_cast<std::size_t>(term)], row, i);
            }
            store(args.y, row, i, sum);
        }
    }
}

}  // namespace r1::reference
