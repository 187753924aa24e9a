// What PCI bus ids and link speeds say.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace r1 {

struct BusId {
    std::uint32_t domain = 0;  // of any width: virtual machines have ffff and fffffff
    int bus = 0;
    int device = 0;
    int function = 0;

    auto operator<=>(const BusId&) const = default;
};

// "0000:1b:00.0", hexadecimal; nothing if it is none.
std::optional<BusId> parse_bus_id(std::string_view text);

// Data rate of a link of `speed` ("32.0 GT/s PCIe", "16 GT/s") and `width` lanes ("16"), one
// direction, line code taken off; nothing if either is unknown.
std::optional<double> pci_gb_per_s(std::string_view speed, std::string_view width);

}  // namespace r1
