#include "runtime/calibration/document.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "model/base/check.hpp"
#include "model/base/json.hpp"

namespace r1 {

namespace {

constexpr double kValueMax = 1e9;  // of value, in the schema
constexpr double kValueMin = 1e-9;

Json whole_or_rounded(double value) {
    const auto whole = static_cast<std::int64_t>(value);
    return static_cast<double>(whole) == value ? Json(whole) : Json(six_digits(value));
}

Json point_json(const MeasuredCurve& curve, const MeasuredPoint& point) {
    R1_CHECK(point.value >= kValueMin && point.value <= kValueMax);
    Json json;
    for (std::size_t c = 0; c < curve.columns.size(); ++c) {
        json[curve.columns[c]] = whole_or_rounded(point.columns[c]);
    }
    json["value"] = six_digits(point.value);
    json["source"] = curve.source;
    json["row"] = "median " + formatted_number(point.timing.median_us) + " us of " +
                  std::to_string(point.timing.repetitions) + ", interquartile range " +
                  formatted_number(point.timing.spread * 100, "%.1f") + " %" +
                  (point.sm_clock_mhz
                       ? ", then SM clock " + formatted_number(*point.sm_clock_mhz, "%.0f") + " MHz"
                       : std::string()) +
                  ": " + point.ran;
    json["derivation"] = point.derivation;
    return json;
}

Json header_json(const CalibrationHeader& header) {
    Json json;
    json["schema"] = "r1sim.calibration/1";
    json["name"] = header.name;
    json["comment"] = header.comment;
    json["device"] = header.device;
    for (const MeasuredSource& source : header.sources) {
        json["sources"][source.key] = {{"file", ""},
                                       {"what", source.what},
                                       {"source", header.origin},
                                       {"level", "measured"},
                                       {"hardware", header.device}};
    }
    return json;
}

// The members of a JSON array, each on a line of its own.
std::string lines(const Json& members, const std::string& indent) {
    std::string text;
    for (std::size_t i = 0; i < members.size(); ++i) {
        text += indent + members[i].dump() + (i + 1 < members.size() ? ",\n" : "\n");
    }
    return text;
}

// Its points last, one a line.
std::string curve_text(const Json& curve) {
    std::string text = "        {";
    for (const auto& [key, value] : curve.items()) {
        if (key != "points") {
            text += Json(key).dump() + ": " + value.dump() + ", ";
        }
    }
    return text + "\"points\": [\n" + lines(curve.at("points"), "            ") + "        ]}";
}

std::string curves_text(const Json& curves) {
    std::string text;
    for (std::size_t i = 0; i < curves.size(); ++i) {
        text += curve_text(curves[i]) + (i + 1 < curves.size() ? ",\n" : "\n");
    }
    return text;
}

}  // namespace

std::string formatted_number(double value, const char* format) {
    char text[64];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

double six_digits(double value) { return std::strtod(formatted_number(value).c_str(), nullptr); }

std::string today() {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[16];
    std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
    return text;
}

Json calibration_json(const CalibrationHeader& header, const MeasuredCalibration& calibration) {
    R1_CHECK(!calibration.curves.empty());
    Json json = header_json(header);
    for (const MeasuredCurve& curve : calibration.curves) {
        Json points = Json::array();
        for (const MeasuredPoint& point : curve.points) {
            points.push_back(point_json(curve, point));
        }
        json["curves"].push_back({{"kernel", curve.kernel},
                                  {"quantity", curve.quantity},
                                  {"columns", curve.columns},
                                  {"points", std::move(points)}});
    }
    json["constants"] = Json::array();
    for (const MeasuredConstant& each : calibration.constants) {
        json["constants"].push_back({{"name", each.name},
                                     {"value", six_digits(each.value)},
                                     {"source", each.source},
                                     {"row", each.row}});
    }
    return json;
}

std::string calibration_text(const Json& calibration) {
    std::string text = "{\n";
    for (const auto& [key, value] : calibration.items()) {
        text += text.size() > 2 ? ",\n" : "";
        text += "    " + Json(key).dump() + ": ";
        if (key == "curves") {
            text += "[\n" + curves_text(value) + "    ]";
        } else if (key == "constants") {
            text += "[\n" + lines(value, "        ") + "    ]";
        } else {
            text += value.dump();
        }
    }
    return text + "\n}\n";
}

}  // namespace r1
