#include "kernels/rope_table.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "model/base/check.hpp"

namespace r1 {

namespace {

// The pair of dimensions that turns `rotations` times over the original context.
double correction_dim(const RopeSettings& settings, double rotations) {
    return static_cast<double>(settings.dim) *
           std::log(settings.original_positions / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(settings.theta));
}

double mscale_factor(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

}  // namespace

void rope_frequencies(const RopeSettings& settings, std::span<float> frequencies) {
    const std::int64_t half = settings.dim / 2;
    R1_CHECK(settings.dim % 2 == 0 && static_cast<std::int64_t>(frequencies.size()) == half);
    double low = 0;
    double high = 0;
    if (settings.yarn) {
        low = std::max(std::floor(correction_dim(settings, settings.beta_fast)), 0.0);
        high = std::min(std::ceil(correction_dim(settings, settings.beta_slow)),
                        static_cast<double>(settings.dim - 1));
        if (low == high) {
            high += 0.001;
        }
    }
    // Each step is rounded to float32, as in the reference model.
    for (std::int64_t j = 0; j < half; ++j) {
        const float exponent = static_cast<float>(2 * j) / static_cast<float>(settings.dim);
        const float power =
            static_cast<float>(std::pow(settings.theta, static_cast<double>(exponent)));
        float frequency = 1.0F / power;
        if (settings.yarn) {
            const float ramp = std::clamp(
                (static_cast<float>(j) - static_cast<float>(low)) / static_cast<float>(high - low),
                0.0F, 1.0F);
            const float smooth = 1.0F - ramp;
            frequency = frequency / static_cast<float>(settings.factor) * (1.0F - smooth) +
                        frequency * smooth;
        }
        frequencies[static_cast<std::size_t>(j)] = frequency;
    }
}

float rope_magnitude(const RopeSettings& settings) {
    if (!settings.yarn) {
        return 1;
    }
    return static_cast<float>(mscale_factor(settings.factor, settings.mscale) /
                              mscale_factor(settings.factor, settings.mscale_all_dim));
}

float softmax_scale(const RopeSettings& settings, std::int64_t qk_head_dim) {
    double scale = 1 / std::sqrt(static_cast<double>(qk_head_dim));
    if (settings.yarn) {
        const double m = mscale_factor(settings.factor, settings.mscale_all_dim);
        scale *= m * m;
    }
    return static_cast<float>(scale);
}

Rotation rotation(std::int32_t position, float frequency, float magnitude) {
    const float angle = static_cast<float>(position) * frequency;
    return {static_cast<float>(std::cos(static_cast<double>(angle))) * magnitude,
            static_cast<float>(std::sin(static_cast<double>(angle))) * magnitude};
}

}  // namespace r1
