#include "sim/cost/calibration.hpp"

#include <algorithm>

#include "model/base/json.hpp"
#include "sim/cost/curve_form.hpp"
#include "sim/hardware/device.hpp"
#include "sim/hardware/presets.hpp"

namespace r1 {

namespace {

constexpr Range kColumn{0, 1e15};      // flags, sizes that may be nothing, and constants
constexpr Range kSize{0, 1e15, true};  // a rate of no work would be no time

const std::vector<std::string>& levels() {
    static const std::vector<std::string> names = {"measured", "calibrated", "datasheet",
                                                   "assumed"};
    return names;
}

const std::vector<std::string>& quantities() {
    static const std::vector<std::string> names = {"tflops", "gb_per_s", "logical_gb_per_s",
                                                   "bus_gb_per_s", "us"};
    return names;
}

void read_sources_of(ObjectReader& reader, Calibration& calibration) {
    const Json* sources = reader.raw("sources");
    if (sources == nullptr || !sources->is_object()) {
        return;  // reported by the caller
    }
    auto object = reader.object("sources", true);
    for (const auto& [key, value] : sources->items()) {
        auto entry = object->object(key, true);
        if (!entry) {
            continue;
        }
        CalibrationSource source;
        entry->required("source", source.text);
        int level = 0;
        entry->required_choice("level", levels(), level);
        source.level = levels()[static_cast<std::size_t>(level)];
        entry->required("file", source.file);
        entry->optional("implementation", source.implementation);
        for (const char* accepted : {"what", "hardware", "conditions"}) {
            entry->accept(accepted);
        }
        entry->finish();
        calibration.sources.emplace(key, source);
    }
}

void read_point(ObjectReader& reader, const Calibration& calibration, CalibrationCurve& curve) {
    CalibrationPoint point;
    for (const std::string& column : curve.columns) {
        double value = 0;
        if (const Json* raw = reader.raw(column); raw != nullptr && raw->is_boolean()) {
            value = raw->get<bool>() ? 1 : 0;
        } else {
            const bool nothing =
                curve.quantity == "us" || column == "overlapped" || column == "backward";
            reader.required(column, value, nothing ? kColumn : kSize);
        }
        point.columns.push_back(value);
    }
    reader.required("value", point.value, kRate);
    reader.required("source", point.source);
    reader.required("row", point.row);
    reader.accept("derivation");
    if (!point.source.empty() && calibration.sources.count(point.source) == 0) {
        std::vector<std::string> known;
        for (const auto& [key, source] : calibration.sources) {
            known.push_back(key);
        }
        reader.error("source",
                     "unknown source '" + point.source + "'" + did_you_mean(point.source, known));
    }
    reader.finish();
    curve.points.push_back(std::move(point));
}

// Whether `leave_out` names the point: its source, that source's file, or a part of its row.
bool is_left_out(const std::string& source, const std::string& row,
                 const std::vector<std::string>& leave_out, Calibration& calibration) {
    const auto known = calibration.sources.find(source);
    bool gone = false;
    for (const std::string& text : leave_out) {
        const bool names_file = known != calibration.sources.end() && known->second.file == text;
        if (text.empty() ||
            (!names_file && source != text && row.find(text) == std::string::npos)) {
            continue;
        }
        gone = true;  // others may name it too: each text that names something is known
        std::vector<std::string>& left_out = calibration.left_out;
        if (std::find(left_out.begin(), left_out.end(), text) == left_out.end()) {
            left_out.push_back(text);
        }
    }
    return gone;
}

// Whether FLOPs follow from the columns.
bool has_shape(const CalibrationCurve& curve) {
    std::map<std::string, double> ones;
    for (const std::string& column : curve.columns) {
        ones[column] = 1;
    }
    return shape_of(curve.kernel, ones).flops > 0;
}

void leave_out_points(CalibrationCurve& curve, const std::vector<std::string>& leave_out,
                      Calibration& calibration) {
    const auto gone = std::remove_if(
        curve.points.begin(), curve.points.end(), [&](const CalibrationPoint& point) {
            return is_left_out(point.source, point.row, leave_out, calibration);
        });
    curve.points.erase(gone, curve.points.end());
}

void read_constants(ObjectReader& reader, const std::vector<std::string>& leave_out,
                    Calibration& calibration) {
    for (ObjectReader& entry : reader.objects("constants", false)) {
        std::string name;
        double value = 0;
        std::string source;
        std::string row;
        entry.required("name", name);
        entry.required("value", value, kColumn);
        entry.optional("source", source);
        entry.optional("row", row);
        for (const char* accepted : {"derivation", "comment"}) {
            entry.accept(accepted);
        }
        entry.finish();
        if (!is_left_out(source, row, leave_out, calibration)) {
            calibration.constants[name] = value;
        }
    }
}

}  // namespace

int CalibrationCurve::column(const std::string& name) const {
    const auto found = std::find(columns.begin(), columns.end(), name);
    return found == columns.end() ? -1 : static_cast<int>(found - columns.begin());
}

const CalibrationCurve* Calibration::curve(const std::string& kernel) const {
    const auto found = std::find_if(curves.begin(), curves.end(),
                                    [&](const auto& each) { return each.kernel == kernel; });
    return found == curves.end() ? nullptr : &*found;
}

Calibration read_calibration(const Document& document, const std::string& pointer,
                             Diagnostics& diagnostics) {
    Calibration calibration;
    ObjectReader reader(document, pointer, diagnostics);
    if (!reader.is_object()) {
        return calibration;
    }
    reader.accept_header("calibration");
    reader.required("name", calibration.name);
    reader.required("device", calibration.device);
    reader.optional("implementation", calibration.implementation);
    std::vector<std::string> leave_out;
    reader.optional("leave_out", leave_out);
    reader.object("sources", true);
    read_sources_of(reader, calibration);
    for (ObjectReader& entry : reader.objects("curves", true)) {
        if (!entry.is_object()) {
            continue;  // reported by its reader
        }
        CalibrationCurve curve;
        entry.required("kernel", curve.kernel);
        int quantity = 0;
        entry.required_choice("quantity", quantities(), quantity);
        curve.quantity = quantities()[static_cast<std::size_t>(quantity)];
        entry.required("columns", curve.columns);
        if (calibration.curve(curve.kernel) != nullptr) {
            entry.error("kernel", "a second curve for " + quote(curve.kernel));
        }
        entry.accept("comment");
        for (ObjectReader& point : entry.objects("points", true)) {
            read_point(point, calibration, curve);
        }
        if (curve.points.empty()) {
            entry.error("points", "a curve needs a point");
        } else if (curve.quantity == "tflops" && !has_shape(curve)) {
            entry.error("columns",
                        "do not make a shape: m n k, groups m_per_group n k, groups m n "
                        "k_per_group, tokens heads qk v, or batch kv_len heads");
        }
        entry.finish();
        leave_out_points(curve, leave_out, calibration);
        if (!curve.points.empty()) {
            calibration.curves.push_back(std::move(curve));
        }
    }
    read_constants(reader, leave_out, calibration);
    for (const std::string& text : leave_out) {
        if (std::find(calibration.left_out.begin(), calibration.left_out.end(), text) ==
            calibration.left_out.end()) {
            reader.error("leave_out", quote(text) + " is no source, no file and no part of a row");
        }
    }
    reader.finish();
    return calibration;
}

Document load_calibration(const std::string& file_or_preset, const std::filesystem::path& base) {
    return Document::from_file(find_data_file(file_or_preset, kCalibrationFolder, base));
}

}  // namespace r1
