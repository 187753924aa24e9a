#include "tools/threshold_option.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "model/base/diagnostics.hpp"

namespace r1 {

namespace {

Threshold parse_threshold(const std::string& text, const std::vector<std::string>& names) {
    Threshold threshold{names.front(), 0};
    std::string number = text;
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos) {
        threshold.of = text.substr(0, equals);
        number = text.substr(equals + 1);
        if (std::find(names.begin(), names.end(), threshold.of) == names.end()) {
            constexpr std::size_t kShownMax = 20;
            const auto shown = static_cast<std::ptrdiff_t>(std::min(names.size(), kShownMax));
            throw UsageError(fmt::format("--fail-above knows no {}{}; it takes one of {}{}",
                                         quote(threshold.of), did_you_mean(threshold.of, names),
                                         fmt::join(names.begin(), names.begin() + shown, ", "),
                                         names.size() > kShownMax
                                             ? fmt::format(" and {} more", names.size() - kShownMax)
                                             : ""));
        }
    }
    if (number.ends_with('%')) {
        number.pop_back();
    }
    const char* end = number.data() + number.size();
    const auto [stop, error] = std::from_chars(number.data(), end, threshold.percent);
    if (error != std::errc() || stop != end || !std::isfinite(threshold.percent) ||
        threshold.percent < 0) {
        throw UsageError(
            fmt::format("--fail-above takes per cent, such as 5%, not {}", quote(text)));
    }
    return threshold;
}

}  // namespace

void add_threshold_option(po::options_description& options, const char* what) {
    options.add_options()(
        "fail-above",
        po::value<std::vector<std::string>>()->composing()->value_name("[WHAT=]PERCENT"), what);
}

std::vector<Threshold> thresholds_of(const Invocation& invocation,
                                     const std::vector<std::string>& names) {
    std::vector<Threshold> thresholds;
    if (invocation.has("fail-above")) {
        for (const std::string& text : invocation.get<std::vector<std::string>>("fail-above")) {
            thresholds.push_back(parse_threshold(text, names));
        }
    }
    return thresholds;
}

}  // namespace r1
