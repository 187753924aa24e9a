#include "runtime/calibration/document.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "model/base/check.hpp"
#include "model/base/json.hpp"

namespace r1 {

namespace {

constexpr double kValueMax = 1e9;  // of value, in the schema
constexpr double kValueMin = 1e-9;

std::string number(double value, const char* format = "%.6g") {
    char text[64];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

// Six digits, as the published files have: more would be noise.
Json rounded(double value) { return std::strtod(number(value).c_str(), nullptr); }

Json whole_or_rounded(double value) {
    const auto whole = static_cast<std::int64_t>(value);
    return static_cast<double>(whole) == value ? Json(whole) : rounded(value);
}

std::string device_text(const MeasuredDevice& device) {
    std::string text = device.name + " (compute capability " + device.compute_capability + ", " +
                       std::to_string(device.sms) + " SMs, " + number(device.memory_gb, "%.1f") +
                       " GB, L2 " + number(device.l2_mb, "%.1f") + " MB, clocks at most " +
                       number(device.sm_clock_max_mhz, "%.0f") + " MHz SM and " +
                       number(device.memory_clock_max_mhz, "%.0f") + " MHz memory";
    if (device.sm_clock_seen_min_mhz && device.sm_clock_seen_max_mhz) {
        text += ", SM clock seen after measurements " +
                number(*device.sm_clock_seen_min_mhz, "%.0f") + " to " +
                number(*device.sm_clock_seen_max_mhz, "%.0f") + " MHz";
    }
    text += device.power_limit_w ? ", power limit " + number(*device.power_limit_w, "%.0f") + " W)"
                                 : std::string(", power limit unknown)");
    return text;
}

std::string source_text(const MeasuredDevice& device, const CalibrationOrigin& origin) {
    return origin.program + " on " + origin.date + "; " + device_text(device) + "; driver " +
           (device.driver.empty() ? "unknown" : device.driver) + " with CUDA " +
           device.cuda_driver_api + ", CUDA runtime " + device.cuda_runtime + ", cuBLASLt " +
           device.cublaslt;
}

// How many of which kernels are missing, and why.
std::string left_out_text(const std::vector<LeftOut>& left_out) {
    if (left_out.empty()) {
        return "Nothing was left out.";
    }
    std::map<std::string, std::map<std::string, int>> counts;  // why, kernel
    for (const LeftOut& each : left_out) {
        ++counts[each.why][each.kernel];
    }
    std::string text = "Left out:";
    for (const auto& [why, kernels] : counts) {
        for (const auto& [kernel, count] : kernels) {
            text += " " + std::to_string(count) + " " + kernel + ",";
        }
        text.back() = ':';
        text += " " + why + ";";
    }
    text.back() = '.';
    return text;
}

Json point_json(const MeasuredCurve& curve, const MeasuredPoint& point) {
    R1_CHECK(point.value >= kValueMin && point.value <= kValueMax);
    Json json;
    for (std::size_t c = 0; c < curve.columns.size(); ++c) {
        json[curve.columns[c]] = whole_or_rounded(point.columns[c]);
    }
    json["value"] = rounded(point.value);
    json["source"] = curve.source;
    json["row"] =
        "median " + number(point.timing.median_us) + " us of " +
        std::to_string(point.timing.repetitions) + ", interquartile range " +
        number(point.timing.spread * 100, "%.1f") + " %" +
        (point.sm_clock_mhz ? ", then SM clock " + number(*point.sm_clock_mhz, "%.0f") + " MHz"
                            : std::string()) +
        ": " + point.ran;
    json["derivation"] = point.derivation;
    return json;
}

Json header(const MeasuredCalibration& calibration, const CalibrationOrigin& origin) {
    const std::string preset = device_preset(calibration.device);
    Json json;
    json["schema"] = "r1sim.calibration/1";
    json["name"] = origin.name;
    json["comment"] =
        "Measured in " + number(calibration.seconds, "%.0f") +
        " s. Peaks are not measured here. Kernels run alone on one GPU; with fewer SMs than the "
        "device has, blocks that only wait hold the others. " +
        left_out_text(calibration.left_out);
    json["device"] = preset;
    const auto add_source = [&](const char* key, const char* what) {
        json["sources"][key] = {{"file", ""},
                                {"what", what},
                                {"source", source_text(calibration.device, origin)},
                                {"level", "measured"},
                                {"hardware", preset}};
    };
    add_source(kKernelSource,
               "kernels between CUDA events, L2 emptied by reading before each repetition");
    if (std::any_of(calibration.curves.begin(), calibration.curves.end(),
                    [](const auto& curve) { return curve.source == kCollectiveSource; })) {
        add_source(kCollectiveSource,
                   "collectives between CUDA events on all GPUs, several in a row, the GPU that "
                   "takes longest");
    }
    return json;
}

// The members of a JSON array, each on a line of its own.
std::string lines(const std::vector<Json>& members, const std::string& indent) {
    std::string text;
    for (std::size_t i = 0; i < members.size(); ++i) {
        text += indent + members[i].dump() + (i + 1 < members.size() ? ",\n" : "\n");
    }
    return text;
}

std::string curve_text(const MeasuredCurve& curve) {
    std::vector<Json> points;
    for (const MeasuredPoint& point : curve.points) {
        points.push_back(point_json(curve, point));
    }
    return "        {\"kernel\": " + Json(curve.kernel).dump() +
           ", \"quantity\": " + Json(curve.quantity).dump() +
           ", \"columns\": " + Json(curve.columns).dump() + ", \"points\": [\n" +
           lines(points, "            ") + "        ]}";
}

}  // namespace

std::string calibration_text(const MeasuredCalibration& calibration,
                             const CalibrationOrigin& origin) {
    R1_CHECK(!calibration.curves.empty());
    std::string text = "{\n";
    const Json head = header(calibration, origin);
    for (const auto& [key, value] : head.items()) {
        text += "    " + Json(key).dump() + ": " + value.dump() + ",\n";
    }
    text += "    \"curves\": [\n";
    for (const MeasuredCurve& curve : calibration.curves) {
        text += curve_text(curve) + (&curve == &calibration.curves.back() ? "\n" : ",\n");
    }
    std::vector<Json> constants;
    for (const MeasuredConstant& each : calibration.constants) {
        constants.push_back({{"name", each.name},
                             {"value", rounded(each.value)},
                             {"source", each.source},
                             {"row", each.row}});
    }
    return text + "    ],\n    \"constants\": [\n" + lines(constants, "        ") + "    ]\n}\n";
}

std::string device_preset(const MeasuredDevice& device) {
    constexpr int kSxmSms = 132;  // the PCIe boards of the same names have fewer, or other memory
    for (const char* preset : {"h100", "h800", "h200"}) {
        std::string model = std::string(" ") + preset;  // not GH200
        model[1] = 'H';
        const bool is_other_board = device.name.find("PCIe") != std::string::npos ||
                                    device.name.find("NVL") != std::string::npos;
        if (device.sms == kSxmSms && !is_other_board &&
            device.name.find(model) != std::string::npos) {
            return preset;
        }
    }
    std::string word;
    for (const char c : device.name) {
        const bool is_word = std::isalnum(static_cast<unsigned char>(c)) != 0;
        if (is_word) {
            word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        } else if (!word.empty() && word.back() != '_') {
            word += '_';
        }
    }
    return word.empty() ? "unknown" : word;
}

}  // namespace r1
