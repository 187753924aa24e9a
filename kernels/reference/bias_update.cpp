#include "kernels/bias_update.hpp"

#include "model/base/check.hpp"

namespace r1::reference {

void expert_load(const ExpertLoadArgs& args) {
    for (std::int64_t i = 0; i < args.tokens * args.experts_per_token; ++i) {
        R1_CHECK(args.indices[i] >= 0 && args.indices[i] < args.experts);
        ++args.load[args.indices[i]];
    }
}

void bias_update(const BiasUpdateArgs& args) {
    double total = 0;
    for (std::int64_t i = 0; i < args.experts; ++i) {
        total += args.load[i];
    }
    const double mean = total / static_cast<double>(args.experts);
    for (std::int64_t i = 0; i < args.experts; ++i) {
        const double missing = mean - static_cast<double>(args.load[i]);
        if (missing > 0) {
            args.bias[i] += args.gamma;
        } else if (missing < 0) {
            args.bias[i] -= args.gamma;
        }
    }
}

}  // namespace r1::reference
