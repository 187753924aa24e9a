#include "kernels/ema_update.hpp"

namespace r1::reference {

void ema_update(const EmaUpdateArgs& args) {
    for (std::int64_t i = 0; i < args.elements; ++i) {
        args.ema[i] = args.decay * args.ema[i] + (1 - args.decay) * args.master[i];
    }
}

}  // namespace r1::reference
