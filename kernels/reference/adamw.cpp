#include "kernels/adamw.hpp"

namespace r1::reference {

void adamw(const AdamwArgs& args) {
    const AdamwFactors f(args);
    for (std::int64_t i = 0; i < args.elements; ++i) {
        const float g = args.gradient_scale * args.grad[i];
        const float m = f.beta1 * load(args.exp_avg, 0, i) + f.rest1 * g;
        const float v = f.beta2 * load(args.exp_avg_sq, 0, i) + f.rest2 * g * g;
        const float direction = m / f.correction1 / (std::sqrt(v / f.correction2) + f.epsilon);
        args.master[i] = args.master[i] * f.decay - f.lr * direction;
        store(args.exp_avg, 0, i, m);
        store(args.exp_avg_sq, 0, i, v);
        if (args.updated.data != nullptr) {
            store(args.updated, 0, i, args.master[i]);
        }
    }
}

}  // namespace r1::reference
