// Indices are signed here (differences of them are), those of the standard library are not.
#pragma once

#include <cstddef>
#include <cstdint>

namespace r1 {

constexpr std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

}  // namespace r1
