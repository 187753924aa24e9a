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
        // From here on in float32, step by step as the reference model: what FP8 makes of an
        // element between two codes depends on its last bit.
        const auto mean = static_cast<float>(sum / static_cast<double>(args.width));
        const float factor = 1.0F / std::sqrt(mean + args.epsilon);
        for (std::int64_t i = 0; i < args.width; ++i) {
            const float normed = load(args.x, row, i) * factor;
            store(args.y, row, i, normed * load(args.weight, 0, i));
        }
    }
}

}  // namespace r1::reference
