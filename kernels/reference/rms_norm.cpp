#include "kernels/rms_norm.hpp"

#include <cmath>

namespace r1::reference {

void rms_norm(const RmsNormArgs& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        double sum = 0;
        for (std::int64_t i = 0; i < args.width; ++i) {
            const double x = load(args.x, row, i);
            sum += x * x;
        }
        const double mean = sum / static_cast<double>(args.width);
        const double factor = 1 / std::sqrt(mean + static_cast<double>(args.epsilon));
        for (std::int64_t i = 0; i < args.width; ++i) {
            const double weight = load(args.weight, 0, i);
            store(args.y, row, i, static_cast<float>(load(args.x, row, i) * factor * weight));
        }
    }
}

}  // namespace r1::reference
