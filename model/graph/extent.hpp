// Sizes that only a run knows. An Extent is a constant plus a multiple of each symbol: exact for
// every shape, FLOP and byte count here, because no op multiplies two symbols.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace r1 {

// A symbol has one value for each (rank, layer, micro-batch); a binding gives the values.
enum class Symbol : std::uint8_t {
    routed_rows,      // token copies that the rank's experts compute: rows of the grouped GEMMs
    received_tokens,  // tokens that dispatch brings to the rank, each once
    past_tokens,      // of a sequence, in its cache before the step: the mean over the sequences
    cache_capacity,   // tokens that a sequence's cache has room for
};
inline constexpr std::size_t kSymbolCount = 4;
std::string_view name(Symbol symbol);

using SymbolValues = std::array<double, kSymbolCount>;

struct Extent {
    double constant = 0;
    SymbolValues per_symbol{};

    constexpr Extent() = default;
    // Implicit: a plain number is the commonest extent.
    constexpr Extent(double value) : constant(value) {}
    constexpr Extent(std::int64_t value) : constant(static_cast<double>(value)) {}
    constexpr Extent(int value) : constant(value) {}
    constexpr Extent(Symbol symbol) { per_symbol[static_cast<std::size_t>(symbol)] = 1; }

    [[nodiscard]] constexpr bool is_constant() const {
        for (const double factor : per_symbol) {
            if (factor != 0) {
                return false;
            }
        }
        return true;
    }
    [[nodiscard]] constexpr double value(const SymbolValues& values) const {
        double result = constant;
        for (std::size_t i = 0; i < kSymbolCount; ++i) {
            result += per_symbol[i] * values[i];
        }
        return result;
    }

    constexpr Extent& operator+=(const Extent& other) {
        constant += other.constant;
        for (std::size_t i = 0; i < kSymbolCount; ++i) {
            per_symbol[i] += other.per_symbol[i];
        }
        return *this;
    }
    constexpr Extent& operator*=(double factor) {
        constant *= factor;
        for (double& slope : per_symbol) {
            slope *= factor;
        }
        return *this;
    }
    friend constexpr Extent operator+(Extent a, const Extent& b) { return a += b; }
    friend constexpr Extent operator*(Extent a, double factor) { return a *= factor; }
    friend constexpr Extent operator*(double factor, Extent a) { return a *= factor; }
    constexpr bool operator==(const Extent&) const = default;
};

}  // namespace r1
