// Random initial values: a billion of them would take one thread half a minute.
#pragma once

#include <span>

#include "model/base/rng.hpp"

namespace r1::cpu {

// values[i] = deviation * rng.normal(i)
void fill_normal(const Rng& rng, double deviation, std::span<float> values);

}  // namespace r1::cpu
