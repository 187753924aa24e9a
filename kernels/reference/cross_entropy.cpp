#include "kernels/cross_entropy.hpp"

#include <algorithm>
#include <cmath>

namespace r1::reference {

void cross_entropy(const CrossEntropyArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        double largest = -INFINITY;
        for (std::int64_t i = 0; i < args.vocabulary; ++i) {
            largest = std::max(largest, static_cast<double>(load(args.logits, t, i)));
        }
        double sum = 0;
        for (std::int64_t i = 0; i < args.vocabulary; ++i) {
            sum += std::exp(static_cast<double>(load(args.logits, t, i)) - largest);
        }
        const double lse = largest + std::log(sum);
        const std::int32_t label = args.labels[t];
        R1_CHECK(label < args.vocabulary);
        args.log_sum_exp[t] = static_cast<float>(lse);
        args.nll[t] =
            label < 0 ? 0.0F
                      : static_cast<float>(lse - static_cast<double>(load(args.logits, t, label)));
    }
}

}  // namespace r1::reference
