#include "sim/hardware/import/pci.hpp"

#include <charconv>

namespace r1 {
namespace {

// Takes a number and `separator` off the front of the text.
template <class Number>
bool take_number(std::string_view& text, Number& number, int base, std::string_view separator) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number, base);
    text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
    if (error != std::errc() || !text.starts_with(separator)) return false;
    text.remove_prefix(separator.size());
    return true;
}

}  // namespace

std::optional<BusId> parse_bus_id(std::string_view text) {
    BusId id;
    const bool is_good =
        take_number(text, id.domain, 16, ":") && take_number(text, id.bus, 16, ":") &&
        take_number(text, id.device, 16, ".") && take_number(text, id.function, 16, "") &&
        text.empty() && id.bus >= 0 && id.device >= 0 && id.function >= 0;
    return is_good ? std::optional(id) : std::nullopt;
}

std::optional<double> pci_gb_per_s(std::string_view speed, std::string_view width) {
    double transfers = 0;  // 1e9 a second and lane, a bit each
    int lanes = 0;
    const auto [stop, error] =
        std::from_chars(speed.data(), speed.data() + speed.size(), transfers);
    speed.remove_prefix(static_cast<std::size_t>(stop - speed.data()));
    if (error != std::errc() || !speed.starts_with(" GT/s") || !(transfers > 0) ||
        !take_number(width, lanes, 10, "") || lanes <= 0) {
        return std::nullopt;
    }
    const double code = transfers < 8 ? 8.0 / 10 : 128.0 / 130;  // generations 1 and 2; from 3 on
    return transfers * lanes * code / 8;
}

}  // namespace r1
