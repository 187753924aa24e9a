#include "runtime/calibration/budget.hpp"

#include <algorithm>

namespace r1 {

namespace {

// Weight of the estimates themselves: one slow first job must not condemn all that follow.
constexpr double kPriorSeconds = 3;

}  // namespace

bool TimeBudget::fits(double estimate_s, double elapsed_s) const {
    return elapsed_s + estimate_s * correction() <= seconds_;
}

void TimeBudget::spent(double estimate_s, double actual_s) {
    estimated_s_ += std::max(0.0, estimate_s);
    actual_s_ += std::max(0.0, actual_s);
}

double TimeBudget::correction() const {
    return (actual_s_ + kPriorSeconds) / (estimated_s_ + kPriorSeconds);
}

}  // namespace r1
