// How long a calibration may take, and whether the next piece of work still fits. Knows no clock:
// the caller says what time it is.
#pragma once

namespace r1 {

class TimeBudget {
public:
    explicit TimeBudget(double seconds) : seconds_(seconds) {}

    // Whether work that is estimated at `estimate_s` ends in time if it starts at `elapsed_s`.
    [[nodiscard]] bool fits(double estimate_s, double elapsed_s) const;
    // What finished work took: estimates that follow are corrected by what those so far were off.
    void spent(double estimate_s, double actual_s);
    [[nodiscard]] double correction() const;

private:
    double seconds_;
    double estimated_s_ = 0;
    double actual_s_ = 0;
};

}  // namespace r1
