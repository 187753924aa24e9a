#include "tools/report/calibration_table.hpp"

#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "tools/report/text_line.hpp"

namespace r1 {

namespace {

constexpr std::size_t kWidth = 100;
constexpr const char* kRow = "  {:<34}{:<13}{:>6}{:>10}{:>8}{:>10}{:>8}{:>8}";

enum class Group { matrix, attention, memory, overhead, communication };

Group group_of(const Json& curve) {
    const auto kernel = curve.at("kernel").get<std::string>();
    if (kernel.rfind("overhead.", 0) == 0) {
        return Group::overhead;
    }
    const auto quantity = curve.at("quantity").get<std::string>();
    if (quantity == "logical_gb_per_s" || quantity == "bus_gb_per_s" || quantity == "us") {
        return Group::communication;
    }
    if (quantity != "tflops") {
        return Group::memory;
    }
    return curve.at("domain").contains("n") ? Group::matrix : Group::attention;
}

std::string text(const Json& json, const char* key) {
    const Json& value = json.at(key);
    return value.is_string() ? value.get<std::string>() : "";
}

std::string figure(double value) {
    // All digits of sizes, four of what was measured or fitted.
    const bool whole = value == std::floor(value) && std::abs(value) < 1e7;
    return whole ? fmt::format("{:.0f}", value) : short_number(value, 4);
}

std::string size(const std::string& column, double value) {
    return column == "bytes" ? fmt::format("{:.4g} MB", value / 1e6) : figure(value);
}

// A member of residual_percent or leave_one_out_percent, either of which may be null.
std::string percent(const Json& errors, const char* key) {
    return errors.is_null() ? "-" : fmt::format("{:.1f}", errors.at(key).get<double>());
}

// "label  item, item, ..." below a curve, broken before kWidth.
std::string list(const std::string& label, const std::vector<std::string>& items) {
    constexpr std::size_t kIndent = 18;
    std::string result;
    std::string line = fmt::format("      {:<12}", label);
    for (std::size_t i = 0; i < items.size(); ++i) {
        const std::string item = items[i] + (i + 1 < items.size() ? "," : "");
        if (line.size() > kIndent && line.size() + 1 + item.size() > kWidth) {
            result += line + "\n";
            line = std::string(kIndent, ' ');
        }
        line += (line.size() > kIndent ? " " : "") + item;
    }
    return result + line + "\n";
}

std::vector<std::string> parameter_texts(const Json& curve) {
    std::vector<std::string> texts;
    for (const Json& parameter : curve.at("parameters")) {
        texts.push_back(fmt::format("{} {} {}", text(parameter, "name"),
                                    figure(parameter.at("value").get<double>()),
                                    text(parameter, "unit")));
    }
    return texts;
}

std::string curve_row(const Json& curve) {
    const Json& residual = curve.at("residual_percent");
    const Json& left_out = curve.at("leave_one_out_percent");
    return fmt::format(fmt::runtime(kRow), text(curve, "kernel"), text(curve, "form"),
                       curve.at("points_count").get<std::size_t>(), percent(residual, "median"),
                       percent(residual, "max"), percent(left_out, "median"),
                       percent(left_out, "p90"), percent(left_out, "max")) +
           "\n";
}

// What a curve was fitted to, and how.
std::string curve_lines(const Json& curve) {
    std::string lines = curve_row(curve);
    if (!curve.at("parameters").empty()) {
        lines += list("fitted", parameter_texts(curve));
    }
    std::vector<std::string> items;
    for (const auto& [implementation, factor] : curve.at("factors").items()) {
        items.push_back(fmt::format("{} x {:.3f}", implementation, factor.get<double>()));
    }
    if (!items.empty()) {
        items.insert(items.begin(), text(curve, "implementation") + " x 1");
        lines += list("time of", items);
    }
    items.clear();
    for (const auto& [column, range] : curve.at("domain").items()) {
        const double low = range.at("min").get<double>();
        const double high = range.at("max").get<double>();
        items.push_back(low == high ? fmt::format("{} {}", column, size(column, low))
                                    : fmt::format("{} {} to {}", column, size(column, low),
                                                  size(column, high)));
    }
    lines += list("measured", items);
    items = curve.at("sources").get<std::vector<std::string>>();
    return lines + list("sources", items);
}

// The points of a curve that has no formula, by the columns that vary.
std::string point_lines(const Json& curve) {
    std::vector<std::string> columns;
    std::string head = "      ";
    for (const auto& [column, range] : curve.at("domain").items()) {
        if (range.at("min") != range.at("max")) {
            columns.push_back(column);
            head += fmt::format("{:>12}", column);
        }
    }
    std::string lines = head + fmt::format("{:>12}{:>12}  {}\n", "GB/s", "left out %", "source");
    for (const Json& point : curve.at("points")) {
        std::string line = "      ";
        for (const std::string& column : columns) {
            line += fmt::format("{:>12}", size(column, point.at(column).get<double>()));
        }
        const Json& error = point.at("leave_one_out_percent");
        lines += line + fmt::format("{:>12}{:>12}  {}\n", figure(point.at("value").get<double>()),
                                    error.is_null() ? std::string("-")
                                                    : fmt::format("{:+.1f}", error.get<double>()),
                                    text(point, "source"));
    }
    return lines;
}

std::string overhead_line(const Json& curve) {
    std::string fitted;
    for (const std::string& parameter : parameter_texts(curve)) {
        fitted += (fitted.empty() ? "" : ", ") + parameter;
    }
    const std::string kernel = text(curve, "kernel").substr(std::string("overhead.").size());
    return without_trailing_spaces(
        fmt::format("  {:<34}{:<13}{:>6}{:>10}  {}", kernel, text(curve, "form"),
                    curve.at("points_count").get<std::size_t>(),
                    percent(curve.at("leave_one_out_percent"), "median"), fitted));
}

std::string cut(const std::string& line, std::size_t width) {
    if (line.size() <= width) {
        return line;
    }
    std::size_t end = width - 3;
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0U) == 0x80) {
        --end;  // not within a character
    }
    return line.substr(0, end) + "...";
}

std::string constant_lines(const Json& constants) {
    std::string lines;
    for (const Json& constant : constants) {
        lines += without_trailing_spaces(
            cut(fmt::format("  {:<28}{:>10}  {}: {}", text(constant, "name"),
                            figure(constant.at("value").get<double>()), text(constant, "source"),
                            text(constant, "row")),
                kWidth));
    }
    return lines;
}

std::string group_lines(const Json& curves, Group group) {
    std::string lines;
    for (const Json& curve : curves) {
        if (group_of(curve) != group) {
            continue;
        }
        if (group == Group::overhead) {
            lines += overhead_line(curve);
        } else {
            lines += curve_lines(curve);
            lines += text(curve, "form") == "interpolated" ? point_lines(curve) : "";
        }
    }
    return lines;
}

}  // namespace

std::string calibration_table(const Json& report, bool color) {
    const auto strong = [color](const std::string& line) { return bold(line, color) + "\n"; };
    std::string table =
        strong(fmt::format("calibration {} for {}", text(report, "name"), text(report, "device")));
    if (!text(report, "implementation").empty()) {
        table += fmt::format("  predicts the kernels of: {}\n", text(report, "implementation"));
    }
    for (const Json& left_out : report.at("left_out")) {
        table += fmt::format("  left out: {}\n", left_out.get<std::string>());
    }
    table +=
        "  errors in %: of the formula at the points (residual), and of the model fitted "
        "without each point\n  in turn (left out); median, 90th percentile and worst\n";
    const std::string head = fmt::format(fmt::runtime(kRow), "", "form", "points", "residual",
                                         "worst", "left out", "90th", "worst");
    const std::pair<Group, const char*> groups[] = {
        {Group::matrix, "Matrix kernels"},
        {Group::attention, "Attention"},
        {Group::memory, "Memory-bound kernels"},
        {Group::overhead, "Overheads (waits and helper kernels before an op)"},
        {Group::communication, "Communication"}};
    for (const auto& [group, title] : groups) {
        const std::string lines = group_lines(report.at("curves"), group);
        if (lines.empty()) {
            continue;
        }
        table += "\n" + strong(title);
        table += group == Group::overhead ? fmt::format("  {:<34}{:<13}{:>6}{:>10}  {}\n", "",
                                                        "form", "points", "left out", "fitted")
                                          : head + "\n";
        table += lines;
    }
    if (!report.at("constants").empty()) {
        table += "\n" + strong("Constants") + constant_lines(report.at("constants"));
    }
    return table;
}

}  // namespace r1
