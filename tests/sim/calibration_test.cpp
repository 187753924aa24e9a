// Calibration files: what they hold, what is left out of them, and how malformed ones are refused.
#include <algorithm>
#include <string>
#include <vector>

#include "sim/cost/calibration.hpp"
#include "sim/cost/cost_model.hpp"
#include "sim/hardware/presets.hpp"
#include "tests/sim/published.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

Json small_file() {
    return Json::parse(R"({
        "schema": "r1sim.calibration/1", "name": "small", "device": "h800",
        "sources": {"s": {"file": "", "what": "w", "source": "t", "level": "measured"}},
        "curves": [{"kernel": "gemm_fp8", "quantity": "tflops", "columns": ["m", "n", "k", "sms"],
                    "points": [{"m": 1, "n": 2, "k": 3, "sms": 132, "value": 2, "source": "s",
                                "row": "first row"}]}],
        "constants": [{"name": "launch_gap_us", "value": 1, "source": "s", "row": "r"}]})");
}

struct Malformed {
    std::string set;                // JSON pointer
    Json value;                     // discarded: removes the member instead
    std::vector<std::string> said;  // pointers of the errors
};

const Json& removed() {
    static const Json json = Json(Json::value_t::discarded);
    return json;
}

const std::vector<Malformed>& malformed() {
    static const std::string point = "/curves/0/points/0";
    static const std::vector<Malformed> cases = {
        {"/name", removed(), {""}},
        {"/device", 7, {"/device"}},
        {"/schema", "r1sim.topology/1", {"/schema"}},
        {"/sources", removed(), {"", point + "/source"}},
        {"/sources", Json::array(), {"/sources", point + "/source"}},
        {"/sources/s/level", "guessed", {"/sources/s/level"}},
        {"/sources/s/source", removed(), {"/sources/s"}},
        {"/sources/s/sauce", "x", {"/sources/s/sauce"}},
        {"/curves", removed(), {""}},
        {"/curves", Json::object(), {"/curves"}},
        {"/curves/0", 1, {"/curves/0"}},
        {"/curves/0/kernel", removed(), {"/curves/0"}},
        {"/curves/0/quantity", "gflops", {"/curves/0/quantity"}},
        {"/curves/0/columns",
         "m",
         {"/curves/0/columns", point + "/m", point + "/n", point + "/k", point + "/sms",
          "/curves/0/columns"}},
        {"/curves/0/columns", {"m", "sms"}, {point + "/n", point + "/k", "/curves/0/columns"}},
        {"/curves/0/points", Json::array(), {"/curves/0/points"}},
        {point + "/m", removed(), {point}},
        {point + "/m", "four", {point + "/m"}},
        {point + "/m", -1, {point + "/m"}},
        {point + "/m", 0, {point + "/m"}},
        {point + "/sms", 0, {point + "/sms"}},
        {point + "/value", 0, {point + "/value"}},
        {point + "/value", -5, {point + "/value"}},
        {point + "/source", "S", {point + "/source"}},
        {point + "/row", removed(), {point}},
        {point + "/heads", 4, {point + "/heads"}},
        {"/constants/0/value", -1, {"/constants/0/value"}},
        {"/constants/0/unit", "us", {"/constants/0/unit"}},
        {"/curve", Json::array(), {"/curve"}},
        {"/implementation", 3, {"/implementation"}},
        {"/sources/s/implementation", 3, {"/sources/s/implementation"}},
        {"/leave_out", "s", {"/leave_out"}},
        {"/leave_out", {"nobody"}, {"/leave_out"}},
        {"/leave_out", {""}, {"/leave_out"}},
    };
    return cases;
}

// Two sources of one file, and two curves.
Json file_to_leave_out_of() {
    return Json::parse(R"({
        "schema": "r1sim.calibration/1", "name": "small", "device": "h800",
        "sources": {"s.one": {"file": "s.json", "source": "t", "level": "measured"},
                    "s.two": {"file": "s.json", "source": "t", "level": "measured"},
                    "other": {"file": "", "source": "t", "level": "measured"}},
        "curves": [{"kernel": "rms_norm", "quantity": "gb_per_s", "columns": ["bytes"], "points": [
                       {"bytes": 1, "value": 1, "source": "s.one", "row": "layer 0"},
                       {"bytes": 2, "value": 2, "source": "s.two", "row": "layer 0"},
                       {"bytes": 3, "value": 3, "source": "s.two", "row": "layer 1"}]},
                   {"kernel": "notify", "quantity": "us", "columns": ["ep"], "points": [
                       {"ep": 8, "value": 4, "source": "other", "row": "layer 1"}]}],
        "constants": [{"name": "a", "value": 1, "source": "s.one", "row": "the a"},
                      {"name": "b", "value": 2, "source": "other", "row": "the b"},
                      {"name": "c", "value": 3}]})");
}

struct Left {
    std::vector<std::string> leave_out;
    std::vector<double> values;          // of points that stay
    std::vector<std::string> constants;  // that stay
};

}  // namespace

TEST_CASE("calibration: every published file loads, and every point has a source",
          "[sim][calibration]") {
    const std::vector<std::string> names = preset_names(kCalibrationFolder);
    REQUIRE(names.size() >= 3);
    for (const std::string& name : names) {
        INFO(name);
        const Calibration calibration = read_or_throw(load_calibration(name));
        CHECK(calibration.name == name);
        CHECK_FALSE(calibration.curves.empty());
        for (const CalibrationCurve& curve : calibration.curves) {
            INFO(curve.kernel);
            CHECK_FALSE(curve.points.empty());
            for (const CalibrationPoint& point : curve.points) {
                REQUIRE(calibration.sources.count(point.source) == 1);
                REQUIRE(point.columns.size() == curve.columns.size());
                REQUIRE_FALSE(point.row.empty());
            }
        }
        if (calibration.curve("mla_attention") != nullptr) {
            CHECK_NOTHROW(FittedCostModel(calibration, h800_topology()));
        } else {  // r1_calibrate_cuda measures none
            CHECK_THROWS_AS(FittedCostModel(calibration, h800_topology()), InputError);
        }
    }
}

TEST_CASE("calibration: malformed files say where", "[sim][calibration]") {
    CHECK_NOTHROW(read_or_throw(Document::from_json(small_file(), "small")));
    for (const Malformed& bad : malformed()) {
        INFO(bad.set << " = " << bad.value.dump());
        Json json = small_file();
        const Json::json_pointer pointer(bad.set);
        if (bad.value.is_discarded()) {
            json.at(pointer.parent_pointer()).erase(pointer.back());
        } else {
            json[pointer] = bad.value;
        }
        Diagnostics diagnostics;
        read_calibration(Document::from_json(json, "small"), "", diagnostics);
        std::vector<std::string> said;
        for (const Diagnostic& error : diagnostics.errors()) {
            said.push_back(error.pointer);
        }
        CHECK(said == bad.said);
    }
}

TEST_CASE("calibration: a kernel has one curve", "[sim][calibration]") {
    Json json = small_file();
    json["curves"].push_back(json["curves"][0]);
    Diagnostics diagnostics;
    read_calibration(Document::from_json(json, "small"), "", diagnostics);
    REQUIRE(diagnostics.errors().size() == 1);
    CHECK(diagnostics.errors().front().pointer == "/curves/1/kernel");
}

TEST_CASE("calibration: what is left out drops points, curves and constants",
          "[sim][calibration]") {
    const std::vector<Left> cases = {
        {{}, {1, 2, 3, 4}, {"a", "b", "c"}},
        {{"s.one"}, {2, 3, 4}, {"b", "c"}},
        {{"s.json"}, {4}, {"b", "c"}},
        {{"layer 0"}, {3, 4}, {"a", "b", "c"}},
        {{"layer"}, {}, {"a", "b", "c"}},
        {{"the b"}, {1, 2, 3, 4}, {"a", "c"}},
        {{"other", "s.two"}, {1}, {"a", "c"}},
        // The second names nothing that is left, but something that is there.
        {{"s.json", "layer 0"}, {4}, {"b", "c"}},
        {{"s.json", "s.two", "s.one"}, {4}, {"b", "c"}},
    };
    for (const Left& left : cases) {
        Json json = file_to_leave_out_of();
        json["leave_out"] = left.leave_out;
        INFO(json["leave_out"].dump());
        const Calibration calibration = read_or_throw(Document::from_json(json, "small"));
        std::vector<double> values;
        for (const CalibrationCurve& curve : calibration.curves) {
            CHECK_FALSE(curve.points.empty());
            for (const CalibrationPoint& point : curve.points) {
                values.push_back(point.value);
            }
        }
        CHECK(values == left.values);
        std::vector<std::string> constants;
        for (const auto& [name, value] : calibration.constants) {
            constants.push_back(name);
        }
        CHECK(constants == left.constants);
        std::vector<std::string> named = calibration.left_out;
        std::vector<std::string> texts = left.leave_out;
        std::sort(named.begin(), named.end());
        std::sort(texts.begin(), texts.end());
        CHECK(named == texts);
    }
}

}  // namespace r1
