// Strong physical units. Only products that exist in physics compile: Bytes / BytesPerSecond is
// Seconds, Bytes + Seconds is an error. Rates are per second; 1 GB = 1e9 B.
#pragma once

#include <cmath>
#include <compare>
#include <cstdint>

namespace r1 {

template <class Tag, class Rep = double>
class Quantity {
public:
    constexpr Quantity() = default;
    explicit constexpr Quantity(Rep value) : value_(value) {}

    [[nodiscard]] constexpr Rep value() const { return value_; }

    constexpr auto operator<=>(const Quantity&) const = default;

    constexpr Quantity& operator+=(Quantity other) {
        value_ += other.value_;
        return *this;
    }
    constexpr Quantity& operator-=(Quantity other) {
        value_ -= other.value_;
        return *this;
    }
    friend constexpr Quantity operator+(Quantity a, Quantity b) { return a += b; }
    friend constexpr Quantity operator-(Quantity a, Quantity b) { return a -= b; }
    friend constexpr Quantity operator*(Quantity a, Rep factor) {
        return Quantity(a.value_ * factor);
    }
    friend constexpr Quantity operator*(Rep factor, Quantity a) { return a * factor; }
    friend constexpr Quantity operator/(Quantity a, Rep divisor) {
        return Quantity(a.value_ / divisor);
    }
    // The ratio of two like quantities is a plain number.
    friend constexpr Rep operator/(Quantity a, Quantity b) { return a.value_ / b.value_; }

private:
    Rep value_ = Rep{};
};

// Counts are held in doubles: exact up to 2^53, and expected traffic is fractional.
using Bytes = Quantity<struct BytesTag>;
using Flops = Quantity<struct FlopsTag>;  // floating-point operations, not a rate
using Seconds = Quantity<struct SecondsTag>;
using BytesPerSecond = Quantity<struct BytesPerSecondTag>;
using FlopsPerSecond = Quantity<struct FlopsPerSecondTag>;
using Watts = Quantity<struct WattsTag>;

constexpr Seconds operator/(Bytes amount, BytesPerSecond rate) {
    return Seconds(amount.value() / rate.value());
}
constexpr Seconds operator/(Flops amount, FlopsPerSecond rate) {
    return Seconds(amount.value() / rate.value());
}
constexpr BytesPerSecond operator/(Bytes amount, Seconds time) {
    return BytesPerSecond(amount.value() / time.value());
}
constexpr FlopsPerSecond operator/(Flops amount, Seconds time) {
    return FlopsPerSecond(amount.value() / time.value());
}
constexpr Bytes operator*(BytesPerSecond rate, Seconds time) {
    return Bytes(rate.value() * time.value());
}
constexpr Flops operator*(FlopsPerSecond rate, Seconds time) {
    return Flops(rate.value() * time.value());
}

constexpr BytesPerSecond gb_per_s(double value) { return BytesPerSecond(value * 1e9); }
constexpr FlopsPerSecond tflops(double value) { return FlopsPerSecond(value * 1e12); }
constexpr Seconds microseconds(double value) { return Seconds(value * 1e-6); }

// Timeline instants and durations: integer picoseconds, so that equal runs are equal bytes.
using TimePs = std::int64_t;

inline TimePs to_ps(Seconds time) { return static_cast<TimePs>(std::llround(time.value() * 1e12)); }
constexpr Seconds from_ps(TimePs time) { return Seconds(static_cast<double>(time) * 1e-12); }

}  // namespace r1
