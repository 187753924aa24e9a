// Rotary frequencies with YaRN (arXiv 2309.00071), as DeepSeek-V3's reference model builds them:
// frequencies in float32, and the angle position * frequency rounded to float32. At positions far
// out this rounding moves the angle visibly, so an exact table would be another model.
#pragma once

#include <cstdint>
#include <span>

namespace r1 {

struct RopeSettings {
    std::int64_t dim = 0;  // qk_rope_head_dim
    double theta = 10000;
    bool yarn = false;  // the rest counts only then
    double factor = 1;
    double original_positions = 4096;
    double beta_fast = 32;
    double beta_slow = 1;
    double mscale = 1;
    double mscale_all_dim = 1;
};

void rope_frequencies(const RopeSettings& settings, std::span<float> frequencies);  // [dim / 2]

// What cos and sin are multiplied by: 1 unless mscale and mscale_all_dim differ.
float rope_magnitude(const RopeSettings& settings);

// qk_head_dim^-0.5, with YaRN times the square of mscale_all_dim's factor.
float softmax_scale(const RopeSettings& settings, std::int64_t qk_head_dim);

struct Rotation {
    float cos = 1;
    float sin = 0;
};
Rotation rotation(std::int32_t position, float frequency, float magnitude);

}  // namespace r1
