#include "sim/cost/calibration.hpp"

#include <algorithm>

#include "sim/hardware/device.hpp"
#include "sim/hardware/presets.hpp"

namespace r1 {

namespace {

constexpr Range kColumn{0, 1e15};  // sizes of kernels, and constants

const std::vector<std::string>& levels() {
    static const std::vector<std::string> names = {"measured", "calibrated", "datasheet",
                                                   "assumed"};
    return names;
}

const std::vector<std::string>& quantities() {
    static const std::vector<std::string> names = {"tflops", "gb_per_s", "logical_gb_per_s"};
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
        for (const char* accepted : {"file", "what", "hardware", "conditions"}) {
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
            reader.required(column, value, kColumn);
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
        }
        entry.finish();
        calibration.curves.push_back(std::move(curve));
    }
    for (ObjectReader& entry : reader.objects("constants", false)) {
        std::string name;
        double value = 0;
        entry.required("name", name);
        entry.required("value", value, kColumn);
        for (const char* accepted : {"source", "row", "derivation", "comment"}) {
            entry.accept(accepted);
        }
        entry.finish();
        calibration.constants[name] = value;
    }
    reader.finish();
    return calibration;
}

Document load_calibration(const std::string& file_or_preset, const std::filesystem::path& base) {
    return Document::from_file(find_data_file(file_or_preset, kCalibrationFolder, base));
}

}  // namespace r1
