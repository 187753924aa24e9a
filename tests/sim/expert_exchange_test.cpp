// Expert all-to-alls: interpolated rates, and times against closed forms.
#include "sim/cost/expert_exchange.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/cost/cost_model.hpp"
#include "tests/sim/published.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

constexpr double kDispatchRate = (46 + 51 + 50.58) / 3 * 1e9;  // published for 64 ranks

ExpertExchangeCall exchange_at_ep64() {
    ExpertExchangeCall exchange;
    exchange.collective = Collective::dispatch;
    exchange.token_bytes = Bytes(7168);
    exchange.tokens = 4096;
    exchange.group = {64, 8};
    exchange.traffic = {3.5, 4, 7.0, 3.5 * 7 / 8, 7.0 * 7 / 8};
    exchange.sms = 24;
    return exchange;
}

double whole(const CostModel& cost, const ExpertExchangeCall& exchange) {
    const ExchangeTime time = cost.expert_exchange(exchange);
    return (time.startup + time.transfer).value();
}

// ep, overlapped and backward, and the rate.
CalibrationPoint rate_at(double ep, bool overlapped, bool backward, double rate) {
    return {{ep, overlapped ? 1.0 : 0.0, backward ? 1.0 : 0.0}, rate, "s", "r"};
}

CalibrationCurve exchange_curve(std::vector<CalibrationPoint> points) {
    return {"dispatch", "logical_gb_per_s", {"ep", "overlapped", "backward"}, std::move(points)};
}

}  // namespace

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

TEST_CASE("expert exchange: copies at the measured rate", "[sim][cost]") {
    // Isolated dispatch at EP64 was published three times: 46, 51 and 50.58 GB/s.
    const FittedCostModel cost(h800_calibration(), h800_topology());
    ExpertExchangeCall exchange = exchange_at_ep64();
    const double measured = 4096 * 3.5 * 7168 / kDispatchRate;
    CHECK(whole(cost, exchange) == Approx(measured));
    // Twice the bytes of each token take twice as long.
    exchange.token_bytes = exchange.token_bytes * 2;
    CHECK(whole(cost, exchange) == Approx(2 * measured));
    exchange.token_bytes = Bytes(7168);
    // Start-up and the tokens in the buffers of each of 24 SMs come once, however many tokens.
    const std::vector<double>& kernel = cost.model("dispatch_sm_limit")->parameters();
    const double startup = kernel[0] / 1e6;
    const double buffers = kernel[3] * 24;
    for (const int tokens : {512, 8192, 100000}) {
        exchange.tokens = tokens;
        CHECK(whole(cost, exchange) ==
              Approx(startup + (measured - startup) * (tokens + buffers) / (4096 + buffers)));
    }
    exchange.tokens = 0;
    CHECK(whole(cost, exchange) == 0);
    // On one node a copy goes to each rank, over NVLink: 153 GB/s at EP8.
    exchange = exchange_at_ep64();
    exchange.group = {8, 8};
    CHECK(whole(cost, exchange) == Approx(4096 * 7.0 * 7168 / 153e9));
}

TEST_CASE("expert exchange: too few SMs cannot fill the links", "[sim][cost]") {
    const FittedCostModel cost(h800_calibration(), h800_topology());
    const CurveModel& limit = *cost.model("dispatch_sm_limit");
    ExpertExchangeCall exchange = exchange_at_ep64();
    const double bytes = 4096 * 3.5 * 7168;
    double before = whole(cost, exchange);
    int bound = 0;
    for (int sms = 23; sms >= 1; --sms) {
        exchange.sms = sms;
        const double time = whole(cost, exchange);
        const double sms_alone = limit.time(copy_columns(exchange), {}).value();
        INFO(sms << " SMs");
        CHECK(time >= before * (1 - 1e-12));
        CHECK(time == Approx(std::max(bytes / kDispatchRate, sms_alone)));
        bound += sms_alone > bytes / kDispatchRate ? 1 : 0;
        before = time;
    }
    // 20 SMs fill the links (arXiv 2412.19437, sec. 3.2.2), a few do not.
    CHECK(bound >= 4);
    CHECK(bound < 20);
    exchange.sms = 20;
    CHECK(whole(cost, exchange) == Approx(bytes / kDispatchRate));
}

TEST_CASE("expert exchange: the limit of the SMs in closed form", "[sim][cost]") {
    const CalibrationCurve curve = exchange_curve({rate_at(64, false, false, 50)});
    // 20 us, NVLink copies at 16 GB/s an SM and RDMA copies at 4, 5 tokens under way: exactly.
    CalibrationCurve limit{
        "dispatch_sm_limit", "us", {"tokens", "sms", "nvlink_bytes", "rdma_bytes", "link_us"}, {}};
    const auto through_sms = [](double tokens, double sms, double nvlink, double rdma,
                                double link_us) {
        const double token = std::max((nvlink / 16e3 + rdma / 4e3) / sms, link_us);
        return 20 + (tokens + std::min(tokens, 5 * sms)) * token;
    };
    for (const double tokens : {1.0, 16.0, 128.0, 4096.0}) {
        for (const double sms : {4.0, 8.0, 16.0}) {
            for (const double rdma : {0.0, 2e4}) {
                const double us = through_sms(tokens, sms, 5e4, rdma, 0.3);
                limit.points.push_back({{tokens, sms, 5e4, rdma, 0.3}, us, "s", "r"});
            }
        }
    }
    Calibration calibration;
    calibration.sources["s"] = {};
    const CurveModel sm_limit(limit, calibration);
    ExpertExchangeCall exchange = exchange_at_ep64();
    const double copies = 4096 * 3.5 * 7168;
    const LinkRates links{gb_per_s(160), gb_per_s(50)};
    const auto time_us = [&](const CurveModel* through, const LinkRates& cluster) {
        const ExchangeTime time = exchange_time(curve, nullptr, through, exchange, cluster, links);
        return (time.startup + time.transfer).value() * 1e6;
    };
    for (const int sms : {4, 10, 16}) {
        exchange.sms = sms;
        CHECK(time_us(&sm_limit, links) ==
              Approx(std::max(copies / 50e3, through_sms(4096, sms, 7.0 * 7168, 3.5 * 7168, 0)))
                  .epsilon(1e-4));
    }
    CHECK(time_us(nullptr, links) == Approx(copies / 50e3));
    // Without a formula for links the rate is the NIC's affair between nodes.
    CHECK(time_us(nullptr, {gb_per_s(160), gb_per_s(100)}) == Approx(copies / 100e3));
    CHECK(time_us(nullptr, {gb_per_s(320), gb_per_s(50)}) == Approx(copies / 50e3));
}

TEST_CASE("expert exchange: what was measured on other links scales with the slower one",
          "[sim][cost]") {
    const CalibrationCurve curve = exchange_curve({rate_at(64, false, false, 50)});
    // NVLink forwards at 0.8 of its rate, RDMA reaches 0.9 of the line rate.
    CalibrationCurve formula{
        "expert_all_to_all", "us", {"nvlink_us", "rdma_us", "forwarded", "low_latency"}, {}};
    for (const double us : {100.0, 300.0, 1000.0, 4000.0}) {
        formula.points.push_back({{us, 0, 1, 0}, us / 0.8, "s", "r"});
        formula.points.push_back({{0, us, 0, 0}, us / 0.9, "s", "r"});
        formula.points.push_back({{us, 0, 0, 1}, 30 + us, "s", "r"});
    }
    Calibration calibration;
    calibration.sources["s"] = {};
    const CurveModel links(formula, calibration);
    const ExpertExchangeCall exchange = exchange_at_ep64();
    const LinkRates measured{gb_per_s(160), gb_per_s(50)};
    const auto ratio = [&](double nvlink, double nic) {
        const LinkRates cluster{gb_per_s(nvlink), gb_per_s(nic)};
        return exchange_time(curve, &links, nullptr, exchange, cluster, measured).transfer.value() /
               exchange_time(curve, &links, nullptr, exchange, measured, measured).transfer.value();
    };
    // A token: 7 copies over NVLink, 3.5 x 7/8 over RDMA, so RDMA binds.
    const auto slower = [](double nvlink, double nic) {
        return std::max(7 / nvlink / 0.8, 3.5 * 7 / 8 / nic / 0.9);
    };
    CHECK(ratio(160, 50) == 1);
    for (const auto& [nvlink, nic] : {std::pair{160.0, 25.0}, {40.0, 50.0}, {450.0, 100.0}}) {
        CHECK(ratio(nvlink, nic) == Approx(slower(nvlink, nic) / slower(160, 50)).epsilon(1e-4));
    }
}

TEST_CASE("expert exchange: rates of the same links, surroundings and pass", "[sim][cost]") {
    const CalibrationCurve curve =
        exchange_curve({rate_at(8, false, false, 150), rate_at(64, false, false, 50),
                        rate_at(64, true, false, 30), rate_at(64, true, true, 40)});
    ExpertExchangeCall exchange = exchange_at_ep64();
    const auto rate = [&](int ranks, bool overlapped, bool backward) {
        exchange.group = {ranks, 8};
        exchange.overlapped = overlapped;
        exchange.backward = backward;
        const double copies = ranks == 8 ? 7.0 : 3.5;
        const LinkRates same{gb_per_s(1), gb_per_s(1)};
        return 4096 * copies * 7168 /
               exchange_time(curve, nullptr, nullptr, exchange, same, same).transfer.value() / 1e9;
    };
    CHECK(rate(64, false, false) == Approx(50));
    CHECK(rate(64, false, true) == Approx(50));  // no such point: that of the other pass
    CHECK(rate(64, true, false) == Approx(30));
    CHECK(rate(64, true, true) == Approx(40));
    CHECK(rate(8, true, true) == Approx(150));  // one node: surroundings count less than links
    CHECK(rate(128, false, false) == Approx(50));
}

TEST_CASE("expert exchange: leave-one-out errors by hand", "[sim][cost]") {
    CalibrationCurve curve =
        exchange_curve({rate_at(64, false, false, 50), rate_at(64, false, false, 40),
                        rate_at(64, true, false, 30), rate_at(8, false, false, 150)});
    const std::vector<std::optional<double>> errors = exchange_errors_percent(curve);
    REQUIRE(errors.size() == 4);
    CHECK(*errors[0] == Approx(-20));  // 40 for 50
    CHECK(*errors[1] == Approx(25));   // 50 for 40
    CHECK_FALSE(errors[2].has_value());
    CHECK_FALSE(errors[3].has_value());
    CHECK(*exchange_error_percent(curve) == Approx(25));
    curve.points.erase(curve.points.begin());
    CHECK_FALSE(exchange_error_percent(curve).has_value());
}

TEST_CASE("expert exchange: each token count and each number of SMs follows from the others",
          "[sim][cost]") {
    // One and two nodes of 8 H100: four parameters for what each kernel takes on both.
    for (const char* kernel : {"dispatch_sm_limit", "combine_sm_limit"}) {
        const CalibrationCurve& curve = *h800_calibration().curve(kernel);
        CHECK(curve.points.size() == 299);
        for (const char* column : {"tokens", "sms"}) {
            INFO(kernel << " without each value of " << column);
            const auto c = static_cast<std::size_t>(curve.column(column));
            std::set<double> values;
            for (const CalibrationPoint& point : curve.points) values.insert(point.columns[c]);
            std::vector<double> errors;
            for (const double value : values) {
                CalibrationCurve others = curve;
                std::erase_if(others.points, [&](const auto& p) { return p.columns[c] == value; });
                const CurveModel model(others, h800_calibration());
                CHECK(model.parameters().size() + model.factors().size() == 4);
                for (const CalibrationPoint& point : curve.points) {
                    if (point.columns[c] != value) continue;
                    std::map<std::string, double> columns;
                    for (std::size_t i = 0; i < curve.columns.size(); ++i) {
                        columns[curve.columns[i]] = point.columns[i];
                    }
                    const double us = model.time(columns, {}).value() * 1e6;
                    errors.push_back(std::abs(us / point.value - 1));
                }
            }
            std::sort(errors.begin(), errors.end());
            CHECK(errors[errors.size() / 2] <= 0.05);
            CHECK(errors[errors.size() * 9 / 10] <= 0.15);
        }
    }
}

TEST_CASE("expert exchange: scales with the links it uses", "[sim][cost]") {
    Topology topology = h800_topology();
    const FittedCostModel cost(h800_calibration(), topology);
    const auto transfer = [&](const ExpertExchangeCall& exchange) {
        return cost.expert_exchange(exchange).transfer.value();
    };
    const ExpertExchangeCall between = exchange_at_ep64();
    ExpertExchangeCall local = between;
    local.group = {8, 8};
    const double before = transfer(between);
    const double local_before = transfer(local);
    topology.nic.bandwidth = topology.nic.bandwidth / 2;
    CHECK(transfer(between) == Approx(2 * before));
    CHECK(transfer(local) == local_before);
    topology.nvlink.bandwidth = topology.nvlink.bandwidth / 2;
    CHECK(transfer(local) == Approx(2 * local_before));
}

}  // namespace r1
