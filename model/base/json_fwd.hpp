// What headers need of model/base/json.hpp: most name its types and use none of them, and
// <nlohmann/json.hpp> takes a second to compile in every file that includes it.
#pragma once

#include <cstdint>
#include <limits>

#include <nlohmann/json_fwd.hpp>

namespace r1 {

using Json = nlohmann::ordered_json;  // keeps the order of keys: same inputs, same bytes

class Diagnostics;
class Document;
class ObjectReader;
struct Override;

// Closed interval for numbers; `above` makes the lower end exclusive.
struct Range {
    double min = -1e300;
    double max = 1e300;
    bool above = false;
};
inline constexpr Range kPositive{0, 1e300, true};
inline constexpr Range kNotNegative{0, 1e300, false};
inline constexpr double kInt32Max = std::numeric_limits<std::int32_t>::max();
inline constexpr Range kAtLeastOne{1, 1e300, false};

}  // namespace r1
