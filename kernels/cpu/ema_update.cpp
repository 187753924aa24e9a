#include "kernels/ema_update.hpp"

#include <algorithm>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

void ema_update(const EmaUpdateArgs& args) {
    const float rest = 1 - args.decay;
    const std::int64_t pieces = (args.elements + kPiece - 1) / kPiece;
    parallel_for(pieces, kPiece, [&](std::int64_t piece) {
        const std::int64_t first = piece * kPiece;
        const std::int64_t end = std::min(first + kPiece, args.elements);
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = first; i < end; ++i) {
                args.ema[i] = args.decay * args.ema[i] + rest * args.master[i];
            }
        });
    });
}

}  // namespace r1::cpu
