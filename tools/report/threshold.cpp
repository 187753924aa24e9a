#include "tools/report/threshold.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "model/base/json.hpp"

namespace r1 {

bool Threshold::exceeded_by(const Json& signed_percent) const {
    return signed_percent.is_null() || std::abs(signed_percent.get<double>()) > percent;
}

Json threshold_json(const Threshold& threshold, const std::vector<std::string>& exceeded_by) {
    return {{"of", threshold.of}, {"percent", threshold.percent}, {"exceeded_by", exceeded_by}};
}

std::string threshold_text(const Json& threshold) {
    constexpr std::size_t kShownMax = 10;
    auto names = threshold.at("exceeded_by").get<std::vector<std::string>>();
    const std::size_t count = names.size();
    names.resize(std::min(count, kShownMax));
    return fmt::format("{} above {:g} %: {}{}\n", threshold.at("of").get<std::string>(),
                       threshold.at("percent").get<double>(),
                       names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")),
                       count > kShownMax ? fmt::format(" and {} more", count - kShownMax) : "");
}

bool any_exceeded(const Json& thresholds) {
    return std::any_of(thresholds.begin(), thresholds.end(),
                       [](const Json& threshold) { return !threshold.at("exceeded_by").empty(); });
}

}  // namespace r1
