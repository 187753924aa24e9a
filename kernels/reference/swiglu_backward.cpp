#include "kernels/swiglu_backward.hpp"

#include <cmath>

#include "kernels/swiglu.hpp"

namespace r1::reference {

void swiglu_backward(const SwigluBackwardArgs& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        const double weight = args.row_weights != nullptr ? args.row_weights[row] : 1.0F;
        double route_grad = 0;
        for (std::int64_t i = 0; i < args.width; ++i) {
            const double gate = load(args.gate_up, row, i);
            const double up = load(args.gate_up, row, args.width + i);
            const double grad = load(args.d_act, row, i);
            const double sigmoid = 1 / (1 + std::exp(-gate));
            const double slope = sigmoid * (1 + gate * (1 - sigmoid));
            store(args.d_gate_up, row, i, static_cast<float>(grad * weight * up * slope));
            store(args.d_gate_up, row, args.width + i,
                  static_cast<float>(grad * weight * gate * sigmoid));
            route_grad += grad * gate * sigmoid * up;
        }
        if (args.route_grad != nullptr) {
            args.route_grad[row] = static_cast<float>(route_grad);
        }
    }
    if (args.act.data != nullptr) {
        swiglu({args.rows, args.width, args.gate_up, args.row_weights, args.act, nullptr, nullptr});
    }
}

}  // namespace r1::reference
