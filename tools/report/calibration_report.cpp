#include "tools/report/calibration_report.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include "model/base/json.hpp"
#include "sim/cost/curve_model.hpp"
#include "sim/cost/expert_exchange.hpp"

namespace r1 {

namespace {

// Of absolute values; the median as in leave_one_out_error_percent().
struct Spread {
    explicit Spread(std::vector<double> errors) : sorted(std::move(errors)) {
        for (double& error : sorted) {
            error = std::abs(error);
        }
        std::sort(sorted.begin(), sorted.end());
    }
    [[nodiscard]] double at(std::size_t tenths) const {
        return sorted[std::min(sorted.size() * tenths / 10, sorted.size() - 1)];
    }

    std::vector<double> sorted;
};

Json residual_json(const std::vector<double>& errors) {
    const Spread spread(errors);
    return {{"median", spread.at(5)}, {"max", spread.at(10)}};
}

Json left_out_json(const std::vector<double>& errors) {
    if (errors.empty()) {
        return nullptr;
    }
    const Spread spread(errors);
    return {{"median", spread.at(5)}, {"p90", spread.at(9)}, {"max", spread.at(10)}};
}

Json domain_json(const CalibrationCurve& curve) {
    Json domain = Json::object();
    for (std::size_t c = 0; c < curve.columns.size(); ++c) {
        const auto [low, high] = std::minmax_element(
            curve.points.begin(), curve.points.end(),
            [c](const auto& a, const auto& b) { return a.columns[c] < b.columns[c]; });
        domain[curve.columns[c]] = {{"min", low->columns[c]}, {"max", high->columns[c]}};
    }
    return domain;
}

Json sources_json(const CalibrationCurve& curve) {
    std::set<std::string> sources;
    for (const CalibrationPoint& point : curve.points) {
        sources.insert(point.source);
    }
    return sources;
}

// The columns, then what was measured and what the model makes of it.
Json point_json(const CalibrationCurve& curve, const CalibrationPoint& point,
                const FittedPoint* fitted, std::optional<double> left_out_percent) {
    Json json = Json::object();
    for (std::size_t c = 0; c < curve.columns.size(); ++c) {
        json[curve.columns[c]] = point.columns[c];
    }
    json["measured_us"] = fitted == nullptr ? Json() : Json(fitted->measured_us);
    json["fitted_us"] = fitted == nullptr ? Json() : Json(fitted->fitted_us);
    json["residual_percent"] =
        fitted == nullptr ? Json() : Json((fitted->fitted_us / fitted->measured_us - 1) * 100);
    json["leave_one_out_percent"] = left_out_percent ? Json(*left_out_percent) : Json();
    json["value"] = point.value;
    json["source"] = point.source;
    json["row"] = point.row;
    return json;
}

Json curve_json(const CalibrationCurve& curve) {
    return {{"kernel", curve.kernel}, {"quantity", curve.quantity}};
}

void add_data(Json& json, const CalibrationCurve& curve, std::size_t parameters) {
    json["points_count"] = curve.points.size();
    json["parameters_count"] = parameters;
    json["domain"] = domain_json(curve);
    json["sources"] = sources_json(curve);
}

Json fitted_curve_json(const CalibrationCurve& curve, const Calibration& calibration) {
    const CurveModel model(curve, calibration);
    Json json = curve_json(curve);
    json["form"] = name(model.form());
    json["parameters"] = Json::array();
    const std::vector<FormParameter>& form = parameters(model.form());
    for (std::size_t p = 0; p < form.size(); ++p) {
        json["parameters"].push_back(
            {{"name", form[p].name}, {"value", model.parameters()[p]}, {"unit", form[p].unit}});
    }
    json["factors"] = model.factors();
    json["implementation"] = model.implementation();
    add_data(json, curve, form.size() + model.factors().size());
    std::vector<FittedPoint> points = model.leave_one_out();
    const bool left_out = !points.empty();
    if (!left_out) {
        points = model.fitted();
    }
    std::vector<double> residuals;
    std::vector<double> errors;
    Json rows = Json::array();
    for (std::size_t i = 0; i < points.size(); ++i) {
        std::optional<double> error;
        if (left_out) {
            error = points[i].left_out_percent;
            errors.push_back(*error);
        }
        rows.push_back(point_json(curve, curve.points[i], &points[i], error));
        residuals.push_back(rows.back().at("residual_percent").get<double>());
    }
    json["residual_percent"] = residual_json(residuals);
    json["leave_one_out_percent"] = left_out_json(errors);
    json["points"] = std::move(rows);
    return json;
}

// Rates of an exchange are interpolated: there is no formula, and a time needs a traffic.
Json exchange_json(const CalibrationCurve& curve) {
    Json json = curve_json(curve);
    json["form"] = "interpolated";
    json["parameters"] = Json::array();
    json["factors"] = Json::object();
    json["implementation"] = nullptr;
    add_data(json, curve, 0);
    const std::vector<std::optional<double>> left_out = exchange_errors_percent(curve);
    std::vector<double> errors;
    Json rows = Json::array();
    for (std::size_t i = 0; i < left_out.size(); ++i) {
        if (left_out[i]) {
            errors.push_back(*left_out[i]);
        }
        rows.push_back(point_json(curve, curve.points[i], nullptr, left_out[i]));
    }
    json["residual_percent"] = nullptr;
    json["leave_one_out_percent"] = left_out_json(errors);
    json["points"] = std::move(rows);
    return json;
}

// A constant without a source in the file has none here.
Json constants_json(const Calibration& calibration, const Json& file) {
    Json constants = Json::array();
    const auto found = file.find("constants");
    if (found == file.end()) {
        return constants;
    }
    for (const Json& entry : *found) {
        const auto kept = calibration.constants.find(entry.at("name").get<std::string>());
        if (kept != calibration.constants.end()) {
            constants.push_back({{"name", kept->first},
                                 {"value", kept->second},
                                 {"source", entry.value("source", Json())},
                                 {"row", entry.value("row", Json())}});
        }
    }
    return constants;
}

}  // namespace

Json calibration_report(const Calibration& calibration, const Json& file) {
    Json report;
    report["schema"] = "r1sim.calibration_report/1";
    report["name"] = calibration.name;
    report["device"] = calibration.device;
    report["implementation"] = calibration.implementation;
    report["left_out"] = calibration.left_out;
    report["curves"] = Json::array();
    for (const CalibrationCurve& curve : calibration.curves) {
        const bool exchange = curve.kernel == "dispatch" || curve.kernel == "combine";
        report["curves"].push_back(exchange ? exchange_json(curve)
                                            : fitted_curve_json(curve, calibration));
    }
    report["constants"] = constants_json(calibration, file);
    return report;
}

}  // namespace r1
