// Calibration files and what the cost model makes of them: measured shapes, the shapes between
// them, and exchanges, against closed forms.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/graph/chunk_builder.hpp"
#include "sim/cost/calibration.hpp"
#include "sim/cost/cost_model.hpp"
#include "sim/hardware/presets.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

Calibration read_or_throw(const Document& document) {
    Diagnostics diagnostics;
    Calibration calibration = read_calibration(document, "", diagnostics);
    diagnostics.throw_if_errors();
    return calibration;
}

const Calibration& h800_calibration() {
    static const Calibration calibration = read_or_throw(load_calibration("h800_published"));
    return calibration;
}

const Topology& h800_topology() {
    static const Topology topology = [] {
        Diagnostics diagnostics;
        Topology read = read_topology(load_topology("h800_8x8"), "", diagnostics);
        diagnostics.throw_if_errors();
        return read;
    }();
    return topology;
}

double launch_gap_s() { return h800_calibration().constants.at("launch_gap_us") * 1e-6; }

// One op whose tensors are as good as empty, so that its matrix FLOPs alone decide.
ChunkTemplate matrix_op(KernelId kernel, std::vector<Extent> dims) {
    ChunkBuilder builder("one");
    const TensorId in = builder.tensor("in", DType::e4m3, {1});
    const TensorId out = builder.tensor("out", DType::bf16, {1});
    builder.compute(kernel, std::move(dims), {in}, {out});
    return std::move(builder).take();
}

ChunkTemplate memory_op(KernelId kernel, std::int64_t rows) {
    ChunkBuilder builder("one");
    const TensorId in = builder.tensor("in", DType::bf16, {rows, 7168});
    const TensorId out = builder.tensor("out", DType::bf16, {rows, 7168});
    builder.compute(kernel, {rows, 7168}, {in, in}, {out});
    return std::move(builder).take();
}

double seconds_of(const Calibration& calibration, const ChunkTemplate& chunk, int sms) {
    const RooflineCostModel cost(calibration, h800_topology());
    return cost.compute(chunk, chunk.ops.front(), {}, sms).value();
}

// The op that a point of a matrix curve measures.
ChunkTemplate measured_op(const CalibrationCurve& curve, const CalibrationPoint& point) {
    const auto at = [&](const char* name) {
        return point.columns[static_cast<std::size_t>(curve.column(name))];
    };
    const KernelId kernel = *parse_kernel(curve.kernel);
    if (curve.column("m_per_group") >= 0) {
        return matrix_op(kernel,
                         {at("groups"), at("groups") * at("m_per_group"), at("n"), at("k")});
    }
    if (curve.column("k_per_group") >= 0) {
        return matrix_op(kernel,
                         {at("groups"), at("m"), at("n"), at("groups") * at("k_per_group")});
    }
    if (curve.column("heads") >= 0) {
        return matrix_op(kernel, {1, at("tokens"), at("heads"), at("qk"), at("v")});
    }
    return matrix_op(kernel, {at("m"), at("n"), at("k")});
}

Calibration with_matrix_rates(double factor) {
    Calibration calibration = h800_calibration();
    for (CalibrationCurve& curve : calibration.curves) {
        for (CalibrationPoint& point : curve.points) {
            point.value *= curve.quantity == "tflops" ? factor : 1;
        }
    }
    return calibration;
}

ExpertExchange exchange_at_ep64() {
    ExpertExchange exchange;
    exchange.collective = Collective::dispatch;
    exchange.token_bytes = Bytes(7168);
    exchange.tokens = 4096;
    exchange.group = {64, 8};
    exchange.traffic = {3.5, 4, 7.0, 3.5 * 7 / 8, 7.0 * 7 / 8};
    exchange.sms = 24;
    return exchange;
}

Json small_file() {
    return Json::parse(R"({
        "schema": "r1sim.calibration/1", "name": "small", "device": "h800",
        "sources": {"s": {"file": "", "what": "w", "source": "t", "level": "measured"}},
        "curves": [{"kernel": "gemm_fp8", "quantity": "tflops", "columns": ["m", "sms"],
                    "points": [{"m": 1, "sms": 132, "value": 2, "source": "s", "row": "r"}]}],
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
        {"/curves/0/columns", "m", {"/curves/0/columns", point + "/m", point + "/sms"}},
        {"/curves/0/points", Json::array(), {"/curves/0/points"}},
        {point + "/m", removed(), {point}},
        {point + "/m", "four", {point + "/m"}},
        {point + "/m", -1, {point + "/m"}},
        {point + "/value", 0, {point + "/value"}},
        {point + "/value", -5, {point + "/value"}},
        {point + "/source", "S", {point + "/source"}},
        {point + "/row", removed(), {point}},
        {point + "/n", 4, {point + "/n"}},
        {"/constants/0/value", -1, {"/constants/0/value"}},
        {"/constants/0/unit", "us", {"/constants/0/unit"}},
        {"/curve", Json::array(), {"/curve"}},
    };
    return cases;
}

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
        CHECK_NOTHROW(RooflineCostModel(calibration, h800_topology()));
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

TEST_CASE("calibration: a needed curve that is missing is an input error", "[sim][calibration]") {
    Calibration calibration = h800_calibration();
    const auto found =
        std::find_if(calibration.curves.begin(), calibration.curves.end(),
                     [](const CalibrationCurve& curve) { return curve.kernel == "dispatch"; });
    REQUIRE(found != calibration.curves.end());
    calibration.curves.erase(found);
    CHECK_THROWS_AS(RooflineCostModel(calibration, h800_topology()), InputError);
}

TEST_CASE("cost model: a measured shape costs what was measured", "[sim][cost]") {
    for (const CalibrationCurve& curve : h800_calibration().curves) {
        if (curve.quantity != "tflops") {
            continue;
        }
        // Shapes that were measured several times cost the mean rate.
        std::map<std::vector<double>, std::vector<double>> rates;
        for (const CalibrationPoint& point : curve.points) {
            rates[point.columns].push_back(point.value);
        }
        for (const CalibrationPoint& point : curve.points) {
            const std::vector<double>& same = rates[point.columns];
            double mean = 0;
            for (const double rate : same) {
                mean += rate * 1e12 / static_cast<double>(same.size());
            }
            const ChunkTemplate chunk = measured_op(curve, point);
            const double flops = chunk.ops.front().compute()->work.matrix_flops.constant;
            const auto sms =
                static_cast<int>(point.columns[static_cast<std::size_t>(curve.column("sms"))]);
            INFO(curve.kernel << ": " << point.row);
            CHECK(seconds_of(h800_calibration(), chunk, sms) ==
                  Approx(flops / mean + launch_gap_s()).epsilon(1e-9));
        }
    }
}

TEST_CASE("cost model: half the matrix rates take twice the time", "[sim][cost]") {
    const Calibration halved = with_matrix_rates(0.5);
    for (const KernelId kernel : {KernelId::gemm_fp8, KernelId::gemm_bf16, KernelId::gemm_fp8_wgrad,
                                  KernelId::gemm_bf16_wgrad}) {
        for (const double m : {64.0, 300.0, 4096.0}) {
            const ChunkTemplate chunk = matrix_op(kernel, {m, 2112, 7168});
            const double full = seconds_of(h800_calibration(), chunk, 132) - launch_gap_s();
            const double half = seconds_of(halved, chunk, 132) - launch_gap_s();
            CHECK(half == Approx(2 * full));
        }
    }
}

TEST_CASE("cost model: an op bound by memory takes its bytes at the measured rate", "[sim][cost]") {
    // rms_norm reads two tensors and writes one: 3 x rows x 7168 x 2 bytes. A curve with one rate
    // makes the time proportional to the bytes.
    Calibration flat = h800_calibration();
    for (CalibrationCurve& curve : flat.curves) {
        for (CalibrationPoint& point : curve.points) {
            point.value = curve.kernel == "rms_norm" ? 1000 : point.value;
        }
    }
    for (const std::int64_t rows : {16, 4096, 65536}) {
        const double bytes = 3.0 * static_cast<double>(rows) * 7168 * 2;
        CHECK(seconds_of(flat, memory_op(KernelId::rms_norm, rows), 132) ==
              Approx(bytes / 1000e9 + launch_gap_s()));
    }
    // Along the measured curve, more bytes never take less time.
    double before = 0;
    for (std::int64_t rows = 16; rows <= 65536; rows *= 2) {
        const double time =
            seconds_of(h800_calibration(), memory_op(KernelId::rms_norm, rows), 132);
        CHECK(time >= before);
        before = time;
    }
}

TEST_CASE("cost model: fewer SMs are never faster", "[sim][cost]") {
    const std::vector<ChunkTemplate> chunks = {
        matrix_op(KernelId::gemm_fp8, {4096, 2112, 7168}),
        matrix_op(KernelId::gemm_fp8, {4096, 7168, 2048}),
        matrix_op(KernelId::gemm_bf16, {4096, 256, 7168}),
        matrix_op(KernelId::gemm_fp8_wgrad, {7168, 2112, 4096}),
        matrix_op(KernelId::grouped_gemm_fp8, {4, 4 * 8192, 4096, 7168}),
        matrix_op(KernelId::mla_attention, {1, 4096, 128, 192, 128}),
        matrix_op(KernelId::mla_attention_backward, {1, 4096, 128, 192, 128}),
        memory_op(KernelId::rms_norm, 4096)};
    for (const ChunkTemplate& chunk : chunks) {
        double before = 0;
        for (const int sms : {132, 120, 112, 100, 66, 33, 1}) {
            INFO(kind_name(chunk.ops.front()) << " on " << sms << " SMs");
            const double time = seconds_of(h800_calibration(), chunk, sms);
            CHECK(time >= before);
            before = time;
        }
    }
}

TEST_CASE("cost model: no rows cost a launch", "[sim][cost]") {
    const ChunkTemplate chunk =
        matrix_op(KernelId::grouped_gemm_fp8, {4, Symbol::routed_rows, 4096, 7168});
    CHECK(seconds_of(h800_calibration(), chunk, 132) == launch_gap_s());
}

TEST_CASE("interpolate: hits points, and stays between its neighbours", "[sim][cost]") {
    const std::vector<std::vector<double>> features = {{0, 0}, {4, 0}, {0, 4}, {4, 4}, {2, 9}};
    const std::vector<double> values = {1, 2, 5, 3, 100};
    for (std::size_t i = 0; i < features.size(); ++i) {
        CHECK(interpolate(features, values, features[i]) == values[i]);
    }
    for (const double x : {0.5, 1.0, 2.0, 3.5}) {
        for (const double y : {-1.0, 0.5, 2.0, 3.0}) {
            const double value = interpolate(features, values, {x, y});  // the fifth is too far
            CHECK(value > 1);
            CHECK(value < 5);
        }
    }
    CHECK(interpolate(features, values, {2, 2}) == Approx((1 + 2 + 5 + 3) / 4.0));
    // Distances 1 and 2: weights 1 and 1/4.
    CHECK(interpolate({{0}, {3}}, {10, 20}, {1}) == Approx((10 + 20 / 4.0) / (1 + 1 / 4.0)));
    // Two points in one place count as their mean.
    CHECK(interpolate({{1}, {1}, {2}}, {4, 8, 100}, {1}) == 6);
}

TEST_CASE("leave one out: a curve solved by hand", "[sim][cost]") {
    CalibrationCurve curve;
    curve.quantity = "gb_per_s";
    curve.columns = {"bytes"};
    const auto point = [](double bytes, double value) {
        return CalibrationPoint{{bytes}, value, "s", "r"};
    };
    curve.points = {point(2, 10)};
    CHECK_FALSE(leave_one_out_error_percent(curve).has_value());
    // In log2 the points lie at 1, 2 and 4.
    //   without 10: 20 at distance 1, 40 at 3: (20 + 40/9) / (1 + 1/9) = 22      -> 120 %
    //   without 20: 10 at 1, 40 at 2:          (10 + 40/4) / (1 + 1/4) = 16      ->  20 %
    //   without 40: 10 at 3, 20 at 2:          (10/9 + 20/4) / (1/9 + 1/4) = 16.9 -> 57.7 %
    curve.points = {point(2, 10), point(4, 20), point(16, 40)};
    REQUIRE(leave_one_out_error_percent(curve).has_value());
    const double predicted = (10 / 9.0 + 20 / 4.0) / (1 / 9.0 + 1 / 4.0);
    CHECK(*leave_one_out_error_percent(curve) == Approx((1 - predicted / 40) * 100));
    // Repeated measurements of one shape predict each other: 10 against 11 and back.
    curve.points = {point(2, 10), point(2, 11)};
    CHECK(*leave_one_out_error_percent(curve) == Approx(10));
}

TEST_CASE("expert exchange: copies at the measured rate", "[sim][cost]") {
    // Isolated dispatch at EP64 was published twice, as 51 and 50.58 GB/s to 3.5 nodes a token.
    const RooflineCostModel cost(h800_calibration(), h800_topology());
    ExpertExchange exchange = exchange_at_ep64();
    const double bytes = 4096 * 3.5 * 7168;
    CHECK(cost.expert_exchange(exchange).value() == Approx(bytes / ((51 + 50.58) / 2 * 1e9)));
    // Twice the tokens, or twice the bytes of each, take twice as long; no tokens none.
    exchange.tokens *= 2;
    CHECK(cost.expert_exchange(exchange).value() == Approx(2 * bytes / 50.79e9));
    exchange.token_bytes = exchange.token_bytes * 2;
    CHECK(cost.expert_exchange(exchange).value() == Approx(4 * bytes / 50.79e9));
    // On one node a copy goes to each rank, over NVLink: 153 GB/s at EP8.
    exchange = exchange_at_ep64();
    exchange.group = {8, 8};
    CHECK(cost.expert_exchange(exchange).value() == Approx(4096 * 7.0 * 7168 / 153e9));
    // 20 SMs drive the links; half as many do half.
    exchange = exchange_at_ep64();
    exchange.sms = 10;
    CHECK(cost.expert_exchange(exchange).value() == Approx(2 * bytes / 50.79e9));
}

TEST_CASE("expert exchange: scales with the links it uses", "[sim][cost]") {
    Topology topology = h800_topology();
    const RooflineCostModel cost(h800_calibration(), topology);
    const double before = cost.expert_exchange(exchange_at_ep64()).value();
    ExpertExchange local = exchange_at_ep64();
    local.group = {8, 8};
    const double local_before = cost.expert_exchange(local).value();
    topology.nic.bandwidth = topology.nic.bandwidth * 2;
    CHECK(cost.expert_exchange(exchange_at_ep64()).value() == Approx(before / 2));
    CHECK(cost.expert_exchange(local).value() == local_before);
    topology.nvlink.bandwidth = topology.nvlink.bandwidth * 2;
    CHECK(cost.expert_exchange(local).value() == Approx(local_before / 2));
}

}  // namespace r1
