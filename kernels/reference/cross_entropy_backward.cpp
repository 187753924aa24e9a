#include "kernels/cross_entropy_backward.hpp"

#include <cmath>

namespace r1::reference {

void cross_entropy_backward(const CrossEntropyBackwardArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        const std::int32_t label = args.labels[t];
        R1_CHECK(label < args.vocabulary);
        const double row_scale = args.row_scales == nullptr ? 1 : args.row_scales[t];
        const double scale = static_cast<double>(args.scale) * row_scale;
        for (std::int64_t i = 0; i < args.vocabulary; ++i) {
            const double logit = load(args.logits, t, i);
            const double probability = std::exp(logit - static_cast<double>(args.log_sum_exp[t]));
            const double distance = probability - (i == label ? 1 : 0);
            const double grad = label < 0 ? 0 : scale * distance;
            store(args.grad, t, i, static_cast<float>(grad));
        }
    }
}

}  // namespace r1::reference
