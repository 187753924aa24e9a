// Fitted curves: forms and factors from points that they made, errors by hand, and what is asked of
// the published calibrations.
#include "sim/cost/curve_model.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "tests/sim/published.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using Rows = std::vector<std::vector<double>>;

// What a curve is made of that follows a formula exactly.
struct Made {
    std::string kernel;
    std::string quantity;
    std::vector<std::string> columns;
    Rows rows;
    CurveForm form;
    std::vector<double> parameters;
};

Calibration two_sources() {
    Calibration calibration;
    calibration.implementation = "ours";
    calibration.sources["ours"] = {};
    calibration.sources["theirs"] = {};
    calibration.sources["theirs again"] = {"measured", "", "", "theirs"};
    return calibration;
}

std::map<std::string, double> named(const CalibrationCurve& curve, const std::vector<double>& row) {
    std::map<std::string, double> columns;
    for (std::size_t c = 0; c < row.size(); ++c) {
        columns[curve.columns[c]] = row[c];
    }
    return columns;
}

// A point that takes `us` microseconds.
CalibrationPoint point_of(const CalibrationCurve& curve, const std::vector<double>& row, double us,
                          const std::string& source = "ours") {
    const KernelShape shape = shape_of(curve.kernel, named(curve, row));
    const double value = curve.quantity == "us"       ? us
                         : curve.quantity == "tflops" ? shape.flops / us / 1e6
                                                      : shape.bytes / us / 1e3;
    return {row, value, source, "r"};
}

CalibrationCurve curve_of(const Made& made) {
    CalibrationCurve curve{made.kernel, made.quantity, made.columns, {}};
    for (const std::vector<double>& row : made.rows) {
        const KernelShape shape = shape_of(made.kernel, named(curve, row));
        curve.points.push_back(
            point_of(curve, row, time_us(made.form, made.parameters, shape, {})));
    }
    return curve;
}

// All combinations.
Rows grid(const std::vector<std::vector<double>>& values) {
    Rows rows = {{}};
    for (const std::vector<double>& column : values) {
        Rows longer;
        for (const std::vector<double>& row : rows) {
            for (const double value : column) {
                longer.push_back(row);
                longer.back().push_back(value);
            }
        }
        rows = std::move(longer);
    }
    return rows;
}

const std::vector<Made>& made_curves() {
    static const std::vector<double> sizes = {1e6, 4e6, 2e7, 9e7, 3e8, 7e8};
    static const std::vector<double> ms = {16, 64, 512, 4096, 16384};
    static const std::vector<Made> curves = {
        {"notify", "us", {"ep"}, grid({{8, 16, 64}}), CurveForm::constant, {12.5}},
        {"gap", "us", {"bytes"}, grid({sizes}), CurveForm::affine, {3.25, 0.0125}},
        {"copy", "gb_per_s", {"bytes"}, grid({{1e6, 2e6, 3e6}}), CurveForm::rate, {1750}},
        {"copy", "gb_per_s", {"bytes", "sms"}, grid({sizes, {112}}), CurveForm::bytes, {4.5, 2750}},
        {"copy",
         "logical_gb_per_s",
         {"bytes", "sms"},
         grid({sizes, {4, 8, 24}}),
         CurveForm::per_sm,
         {70, 3.9}},
        {"mla_attention",
         "tflops",
         {"tokens", "heads", "qk", "v", "sms"},
         grid({{4096, 5000}, {128}, {192}, {128}, {112, 132}}),
         CurveForm::efficiency,
         {5.1}},
        {"mla_attention",
         "tflops",
         {"tokens", "heads", "qk", "v", "sms"},
         grid({{1024, 4096, 32768}, {128}, {192}, {128}, {112, 132}}),
         CurveForm::compute,
         {40, 5.2}},
        {"mla_decode",
         "tflops",
         {"batch", "kv_len", "heads", "sms"},
         grid({{1, 16, 128}, {1024, 8192, 65536}, {16, 64, 128}, {132}}),
         CurveForm::roofline,
         {20, 4.6, 2900}},
        {"gemm_fp8",
         "tflops",
         {"m", "n", "k", "sms"},
         grid({ms, {512, 4096, 7168}, {512, 2048, 7168}, {112, 132}}),
         CurveForm::waves,
         {3, 0.35, 0.12, 1.5, 2200}},
    };
    return curves;
}

// Relative, of the parameter that is furthest off.
double parameter_error(const std::vector<double>& fitted, const std::vector<double>& parameters) {
    REQUIRE(fitted.size() == parameters.size());
    double worst = 0;
    for (std::size_t p = 0; p < fitted.size(); ++p) {
        worst = std::max(worst, std::abs(fitted[p] / parameters[p] - 1));
    }
    return worst;
}

CalibrationCurve sizes_curve(const std::vector<double>& sizes, const std::string& quantity) {
    CalibrationCurve curve{"kernel", quantity, {"bytes"}, {}};
    for (const double size : sizes) {
        curve.points.push_back(point_of(curve, {size}, 5 + size / 1e6));
    }
    return curve;
}

double median_left_out(const std::string& kernel) {
    const CalibrationCurve* curve = h800_calibration().curve(kernel);
    REQUIRE(curve != nullptr);
    const auto error = leave_one_out_error_percent(CurveModel(*curve, h800_calibration()));
    REQUIRE(error.has_value());
    return *error;
}

}  // namespace

TEST_CASE("curve model: every form finds the parameters that made its points", "[sim][cost]") {
    const Calibration calibration = two_sources();
    for (const Made& made : made_curves()) {
        const CalibrationCurve curve = curve_of(made);
        const CurveModel model(curve, calibration);
        INFO(name(made.form));
        CHECK(name(model.form()) == name(made.form));
        CHECK(parameter_error(model.parameters(), made.parameters) < 1e-6);
        CHECK(model.factors().empty());
        CHECK(model.implementation() == "ours");
        for (const FittedPoint& point : model.fitted()) {
            CHECK(point.fitted_us == Approx(point.measured_us).epsilon(1e-6));
        }
        for (const FittedPoint& point : model.leave_one_out()) {
            CHECK(std::abs(point.left_out_percent) < 0.1);
        }
    }
}

TEST_CASE("curve model: one outlier bends a fit by little", "[sim][cost]") {
    const Calibration calibration = two_sources();
    int checked = 0;
    for (const Made& made : made_curves()) {
        if (made.quantity == "us" || made.rows.size() < 10) {
            continue;  // means by intent, and too few points to tell an outlier
        }
        CalibrationCurve curve = curve_of(made);
        curve.points[curve.points.size() / 2].value *= 3;
        INFO(name(made.form));
        CHECK(parameter_error(CurveModel(curve, calibration).parameters(), made.parameters) < 0.05);
        ++checked;
    }
    CHECK(checked == 3);
}

TEST_CASE("curve model: implementations differ by a factor", "[sim][cost]") {
    const Made& made = made_curves().back();
    CalibrationCurve curve = curve_of(made);
    for (std::size_t i = 0; i < curve.points.size(); i += 3) {
        curve.points[i].source = i % 2 == 0 ? "theirs" : "theirs again";
        curve.points[i].value /= 1.3;  // takes 1.3 times as long
    }
    Calibration calibration = two_sources();
    const CurveModel ours(curve, calibration);
    CHECK(ours.implementation() == "ours");
    REQUIRE(ours.factors().size() == 1);
    CHECK(ours.factors().at("theirs") == Approx(1.3).epsilon(1e-6));
    CHECK(parameter_error(ours.parameters(), made.parameters) < 1e-5);
    calibration.implementation = "theirs";
    const CurveModel theirs(curve, calibration);
    CHECK(theirs.implementation() == "theirs");
    CHECK(theirs.factors().at("ours") == Approx(1 / 1.3).epsilon(1e-6));
    // A model stands for its own implementation, wherever a shape was measured.
    for (const CalibrationPoint& point : {curve.points[0], curve.points[1]}) {
        const std::map<std::string, double> columns = named(curve, point.columns);
        CHECK(theirs.time(columns, {}) / ours.time(columns, {}) == Approx(1.3).epsilon(1e-4));
    }
    calibration.implementation = "nobody's";
    CHECK(CurveModel(curve, calibration).implementation() == "theirs");  // of the first point
}

TEST_CASE("curve model: number and spread of the points choose the form", "[sim][cost]") {
    const Calibration calibration = two_sources();
    const auto form = [&](const std::vector<double>& sizes, const std::string& quantity) {
        const CalibrationCurve curve = sizes_curve(sizes, quantity);
        return name(CurveModel(curve, calibration).form());
    };
    CHECK(form({1e6}, "gb_per_s") == "rate");
    CHECK(form({1e6, 9e6}, "gb_per_s") == "rate");  // two points, two parameters: no error left
    CHECK(form({1e6, 2e6, 9e6}, "gb_per_s") == "bytes");
    CHECK(form({1e6, 2e6, 3.9e6}, "gb_per_s") == "rate");  // sizes too close for a slope
    CHECK(form({1e6, 2e6, 9e6}, "us") == "affine");
    CHECK(form({1e6, 2e6}, "us") == "constant");
    CHECK(form({1e6, 2e6, 3e6}, "us") == "constant");
    // A factor is a constant too.
    CalibrationCurve curve = sizes_curve({1e6, 2e6, 9e6}, "gb_per_s");
    curve.points[1].source = "theirs";
    CHECK(name(CurveModel(curve, calibration).form()) == "rate");
    // GEMMs: waves want four points a parameter.
    const Made& waves = made_curves().back();
    CalibrationCurve gemm = curve_of(waves);
    gemm.points.resize(19);
    CHECK(name(CurveModel(gemm, calibration).form()) == "compute");
    gemm.points.resize(2);
    CHECK(name(CurveModel(gemm, calibration).form()) == "efficiency");
}

TEST_CASE("curve model: published curves have more points than fitted constants", "[sim][cost]") {
    for (const char* preset : {"h800_published", "h100_published"}) {
        const Calibration calibration = read_or_throw(load_calibration(preset));
        for (const CalibrationCurve& curve : calibration.curves) {
            if (curve.points.size() < 2 || curve.kernel == "dispatch" ||
                curve.kernel == "combine") {
                continue;
            }
            const CurveModel model(curve, calibration);
            INFO(preset << " " << curve.kernel << " " << name(model.form()));
            CHECK(curve.points.size() >= model.parameters().size() + model.factors().size() + 1);
        }
    }
}

TEST_CASE("curve model: affine fits keep the sum", "[sim][cost]") {
    const Calibration calibration = two_sources();
    const std::vector<std::vector<double>> times = {
        {4, 9, 2, 30}, {30, 9, 4, 2}, {1, 1, 1, 60}, {7, 7, 7, 7}};
    for (const std::vector<double>& us : times) {
        CalibrationCurve curve{"gap", "us", {"bytes"}, {}};
        double measured = 0;
        for (std::size_t i = 0; i < us.size(); ++i) {
            curve.points.push_back(point_of(curve, {1e6 * std::pow(4.0, i)}, us[i]));
            measured += us[i];
        }
        const CurveModel model(curve, calibration);
        REQUIRE(name(model.form()) == "affine");
        double fitted = 0;
        for (const FittedPoint& point : model.fitted()) {
            fitted += point.fitted_us;
            CHECK(point.fitted_us >= 0);
        }
        CHECK(fitted == Approx(measured));
    }
}

TEST_CASE("leave one out: three waits solved by hand", "[sim][cost]") {
    // The mean of the other two: 40 for 10, 35 for 20 and 15 for 60.
    CalibrationCurve curve{"notify", "us", {"ep"}, {}};
    for (const double us : {10.0, 20.0, 60.0}) {
        curve.points.push_back(point_of(curve, {64}, us));
    }
    const Calibration calibration = two_sources();
    const CurveModel model(curve, calibration);
    const std::vector<FittedPoint> points = model.leave_one_out();
    REQUIRE(points.size() == 3);
    CHECK(points[0].left_out_percent == Approx(300));
    CHECK(points[1].left_out_percent == Approx(75));
    CHECK(points[2].left_out_percent == Approx(-75));
    CHECK(points[0].fitted_us == Approx(30));
    CHECK(points[2].measured_us == Approx(60));
    CHECK(*leave_one_out_error_percent(model) == Approx(75));
}

TEST_CASE("leave one out: two rates predict each other, one has no error", "[sim][cost]") {
    const Calibration calibration = two_sources();
    CalibrationCurve curve{"copy", "gb_per_s", {"bytes"}, {}};
    curve.points = {{{1e6}, 10, "ours", "r"}, {{1e6}, 11, "ours", "r"}};
    const CurveModel model(curve, calibration);
    const std::vector<FittedPoint> points = model.leave_one_out();
    // Times go with 1 / rate.
    CHECK(points[0].left_out_percent == Approx((10.0 / 11 - 1) * 100).epsilon(1e-3));
    CHECK(points[1].left_out_percent == Approx((11.0 / 10 - 1) * 100).epsilon(1e-3));
    CHECK(*leave_one_out_error_percent(model) == Approx(10).epsilon(1e-3));
    curve.points.pop_back();
    const CurveModel single(curve, calibration);
    CHECK(single.leave_one_out().empty());
    CHECK_FALSE(leave_one_out_error_percent(single).has_value());
    CHECK(single.fitted().size() == 1);
    CHECK(single.time({{"bytes", 1e6}}, {}).value() == Approx(1e6 / 10e9));
}

TEST_CASE("curve model: near points pull a time towards what they measured", "[sim][cost]") {
    const Calibration calibration = two_sources();
    const Made& made = made_curves()[3];  // bytes
    CalibrationCurve curve = curve_of(made);
    curve.points[2].value *= 0.8;
    const CurveModel model(curve, calibration);
    const auto at = [&](double bytes) {
        return model.time({{"bytes", bytes}, {"sms", 112}}, {}).value() * 1e6;
    };
    const FittedPoint odd = model.fitted()[2];
    CHECK(odd.fitted_us < odd.measured_us);
    CHECK(at(2e7) > odd.fitted_us);
    CHECK(at(2e7) < odd.measured_us);
    // Beyond the measured sizes the border's share of the formula holds.
    const auto formula = [&](double bytes) {
        const KernelShape shape = shape_of(curve.kernel, {{"bytes", bytes}, {"sms", 112}});
        return time_us(model.form(), model.parameters(), shape, {});
    };
    double border = 0;
    for (const CalibrationPoint& point : curve.points) {
        border = std::max(border, point.columns[0]);
    }
    CHECK(at(1e13) / formula(1e13) == Approx(at(border) / formula(border)));
}

TEST_CASE("curve model: other peaks scale their part of the time", "[sim][cost]") {
    const KernelShape gemm =
        shape_of("gemm_fp8", {{"m", 4096}, {"n", 7168}, {"k", 2048}, {"sms", 132}});
    const std::vector<double> waves = {3, 0.35, 0.12, 1.5, 2200};
    const double full = time_us(CurveForm::waves, waves, gemm, {});
    CHECK(time_us(CurveForm::waves, waves, gemm, {2, 2}) == Approx(3 + 2 * (full - 3)));
    CHECK(time_us(CurveForm::bytes, std::vector<double>{5, 2000}, gemm, {7, 3}) ==
          Approx(5 + 3 * gemm.bytes / 2e6));
    CHECK(time_us(CurveForm::compute, std::vector<double>{5, 4}, gemm, {3, 7}) ==
          Approx(5 + 3 * gemm.flops / (4 * 132e6)));
    // Where compute takes much longer than memory, memory does not count, and the other way round.
    const std::vector<double> fast_memory = {1, 4, 1e9};
    CHECK(time_us(CurveForm::roofline, fast_memory, gemm, {}) ==
          Approx(1 + gemm.flops / (4 * 132e6)));
    const std::vector<double> fast_compute = {1, 1e9, 2000};
    CHECK(time_us(CurveForm::roofline, fast_compute, gemm, {}) == Approx(1 + gemm.bytes / 2e6));
}

TEST_CASE("curve model: shares say what slightly other peaks make of a time", "[sim][cost]") {
    const KernelShape gemm =
        shape_of("gemm_fp8", {{"m", 4096}, {"n", 7168}, {"k", 2048}, {"sms", 132}});
    const std::vector<std::pair<CurveForm, std::vector<double>>> formulas = {
        {CurveForm::constant, {5}},
        {CurveForm::affine, {5, 0.1}},
        {CurveForm::rate, {2000}},
        {CurveForm::bytes, {5, 2000}},
        {CurveForm::per_sm, {5, 20}},
        {CurveForm::efficiency, {4}},
        {CurveForm::compute, {5, 4}},
        {CurveForm::roofline, {10, 4, 400}},
        {CurveForm::waves, {3, 0.35, 0.12, 1.5, 400}}};
    constexpr double kStep = 1e-4;
    for (const auto& [form, parameters] : formulas) {
        INFO(name(form));
        const auto time = [&, form = form, &p = parameters](double compute, double memory) {
            return time_us(form, p, gemm, {compute, memory});
        };
        const auto slope = [&](double compute, double memory) {
            return (time(1 + compute, 1 + memory) - time(1 - compute, 1 - memory)) /
                   (2 * kStep * time(1, 1));
        };
        const RateShares shares = rate_shares(form, parameters, gemm, {});
        CHECK(shares.compute == Approx(slope(kStep, 0)).margin(1e-7));
        CHECK(shares.memory == Approx(slope(0, kStep)).margin(1e-7));
    }
    CHECK(rate_shares(CurveForm::rate, std::vector<double>{2000}, gemm, {}).memory == 1);
    CHECK(rate_shares(CurveForm::efficiency, std::vector<double>{4}, gemm, {}).compute == 1);
    const RateShares nothing =
        rate_shares(CurveForm::compute, std::vector<double>{5, 4}, KernelShape{}, {});
    CHECK(nothing.compute == 0);
}

TEST_CASE("tiling: the fewest waves, and the smallest tile of those", "[sim][cost]") {
    std::mt19937 random(7);
    const auto draw = [&](int low, int high) {
        return static_cast<double>(low + static_cast<int>(random() % (high - low + 1)));
    };
    for (int i = 0; i < 2000; ++i) {
        KernelShape shape;
        shape.groups = i % 3 == 0 ? draw(1, 64) : 1;
        shape.m = draw(1, i % 2 == 0 ? 200 : 8192);
        shape.n = draw(1, 8192);
        shape.k = 128;
        shape.sms = draw(1, 132);
        std::vector<std::tuple<long, long>> tilings;  // waves, values of a tile
        for (const long rows : {64, 128}) {
            for (long columns = 16; columns <= 160; columns += 8) {
                const long tiles = static_cast<long>(shape.groups) *
                                   ((static_cast<long>(shape.m) + rows - 1) / rows) *
                                   ((static_cast<long>(shape.n) + columns - 1) / columns);
                const long sms = static_cast<long>(shape.sms);
                tilings.emplace_back((tiles + sms - 1) / sms, rows * columns);
            }
        }
        const auto [waves, area] = *std::min_element(tilings.begin(), tilings.end());
        choose_tiling(shape);
        INFO(shape.groups << " x " << shape.m << " x " << shape.n << " on " << shape.sms);
        CHECK(shape.waves == static_cast<double>(waves));
        CHECK(shape.tile_area == Approx(static_cast<double>(area) / (128 * 128)));
    }
    // 132 tiles of 128 x 160 are one wave, and no smaller tile makes one.
    KernelShape full;
    full.m = 128 * 12;
    full.n = 160 * 11;
    full.sms = 132;
    choose_tiling(full);
    CHECK(full.waves == 1);
    CHECK(full.tile_area == Approx(160.0 / 128));
}

TEST_CASE("published curves: median leave-one-out errors stay in bounds", "[sim][cost]") {
    CHECK(median_left_out("gemm_fp8") <= 6);
    CHECK(median_left_out("grouped_gemm_fp8") <= 10);
    for (const char* kernel : {"mla_attention", "mla_attention_backward", "mla_decode"}) {
        INFO(kernel);
        CHECK(median_left_out(kernel) <= 10);
    }
}

}  // namespace r1
