// The terminal view of a sweep (declared in sweep_result.hpp).
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tools/report/text_line.hpp"
#include "tools/sweep/sweep_result.hpp"

namespace r1 {

namespace {

constexpr std::size_t kFrontShownMax = 20;
constexpr std::size_t kValueWidthMax = 40;
constexpr std::size_t kRefusalsShownMax = 10;

using Row = TextRow;

// Columns that start at the left.
auto first(std::size_t count) {
    return [count](std::size_t column) { return column < count; };
}

std::string heading(const std::string& text, bool color) {
    return color ? fmt::format("\n\033[1m{}\033[0m\n", text) : fmt::format("\n{}\n", text);
}

std::string seconds(const Json& value) { return fmt::format("{:.4g}", value.get<double>()); }
std::string gigabytes(const Json& value) {
    return fmt::format("{:.4g}", value.get<double>() / 1e9);
}

std::string counts(const Json& result) {
    std::string text =
        fmt::format("{}: {} points, {} simulated", result.at("name").get<std::string>(),
                    result.at("points").get<int>(), result.at("simulated").get<int>());
    if (const int without_room = result.at("without_room").get<int>(); without_room > 0) {
        text += fmt::format(", {} of them in more memory than the GPUs have", without_room);
    }
    text += "\n";
    const Json& refused = result.at("refused");
    for (std::size_t i = 0; i < std::min(refused.size(), kRefusalsShownMax); ++i) {
        const Json& refusal = refused[i];
        const std::string error = refusal.at("error").get<std::string>();
        text += fmt::format("{} refused with exit code {}, first point {}: {}\n",
                            refusal.at("points").get<int>(), refusal.at("exit_code").get<int>(),
                            refusal.at("first").get<int>(), error.substr(0, error.find('\n')));
    }
    if (refused.size() > kRefusalsShownMax) {
        text += fmt::format("and others for {} more causes\n", refused.size() - kRefusalsShownMax);
    }
    return text;
}

// Those that differ between points.
std::vector<std::string> axes_to_show(const Json& result) {
    std::vector<std::string> axes;
    for (const Json& effect : result.at("effects")) {
        if (effect.at("values").size() > 1) {
            axes.push_back(effect.at("axis").get<std::string>());
        }
    }
    return axes;
}

// "step_time_s" or "usd" of a step, or of a million tokens; "" where a step has no tokens.
std::string compared_text(const Json& point, const char* key, bool per_token) {
    const Json& rate = point.at("tokens_per_s");
    if (per_token && rate.is_null()) {
        return "";
    }
    const double steps =
        per_token ? 1e6 / (rate.get<double>() * point.at("step_time_s").get<double>()) : 1;
    return fmt::format("{:.4g}", point.at(key).get<double>() * steps);
}

Row point_row(const Json& point, const std::vector<std::string>& axes, bool per_token) {
    Row row = {point.at("point").dump()};
    for (const std::string& axis : axes) {
        const Json& values = point.at("axes");
        row.push_back(values.contains(axis) ? value_text(values.at(axis), kValueWidthMax) : "");
    }
    row.push_back(compared_text(point, "step_time_s", per_token));
    const Json& rate = point.at("tokens_per_s");
    row.push_back(rate.is_null() ? "" : fmt::format("{:.4g}", rate.get<double>()));
    row.push_back(compared_text(point, "usd", per_token));
    row.push_back(gigabytes(point.at("memory_bytes")));
    return row;
}

std::string front_table(const Json& result, bool color) {
    const Json& front = result.at("pareto_front");
    const std::vector<std::string> axes = axes_to_show(result);
    const bool per_token = result.at("compared_per") == "token";
    Row head = {"point"};
    head.insert(head.end(), axes.begin(), axes.end());
    head.insert(head.end(), {per_token ? "s/M tokens" : "step s", "tokens/s",
                             per_token ? "USD/M tokens" : "USD", "memory GB"});
    std::vector<Row> rows = {head};
    for (const Json& point : front) {
        if (rows.size() <= kFrontShownMax) {
            rows.push_back(point_row(point, axes, per_token));
        }
    }
    const std::string by = per_token ? ", time and cost per token, as steps differ in tokens" : "";
    std::string text =
        heading("Best point" + by, color) +
        text_table({head, point_row(result.at("best"), axes, per_token)}, first(axes.size() + 1));
    text += heading("Pareto front: time, cost, memory", color) +
            text_table(rows, first(axes.size() + 1));
    if (front.size() > kFrontShownMax) {
        text += fmt::format("  and {} more\n", front.size() - kFrontShownMax);
    }
    return text;
}

std::string effect_table(const Json& effect, bool color) {
    std::vector<Row> rows = {{"value", "points", "step s", "min", "max", "USD", "memory GB"}};
    for (const Json& value : effect.at("values")) {
        const Json& time = value.at("step_time_s");
        rows.push_back({value_text(value.at("value"), kValueWidthMax), value.at("points").dump(),
                        seconds(time.at("mean")), seconds(time.at("min")), seconds(time.at("max")),
                        fmt::format("{:.4g}", value.at("usd").at("mean").get<double>()),
                        gigabytes(value.at("memory_bytes").at("mean"))});
    }
    return heading(fmt::format("Effect of {} (means over the points of each value)",
                               effect.at("axis").get<std::string>()),
                   color) +
           text_table(rows, first(1));
}

}  // namespace

std::string sweep_table(const Json& result, bool color) {
    std::string text = counts(result);
    if (!result.at("best").is_null()) {
        text += front_table(result, color);
    }
    for (const Json& effect : result.at("effects")) {
        if (effect.at("values").size() > 1) {
            text += effect_table(effect, color);
        }
    }
    return text;
}

}  // namespace r1
