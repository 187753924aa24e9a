#include "sim/cost/expert_exchange.hpp"

#include <algorithm>
#include <cmath>

#include "model/base/check.hpp"

namespace r1 {

namespace {

// Every published measurement has nodes of 8 GPUs, and of normal kernels 4096 tokens a GPU.
constexpr double kMeasuredNode = 8;
constexpr double kMeasuredTokens = 4096;

// The columns of an exchange curve; 0 where the curve has no such column.
class Columns {
public:
    explicit Columns(const CalibrationCurve& curve)
        : ep_(curve.column("ep")),
          overlapped_(curve.column("overlapped")),
          backward_(curve.column("backward")) {}

    [[nodiscard]] double ep(const CalibrationPoint& p) const { return value(p, ep_); }
    [[nodiscard]] bool one_node(const CalibrationPoint& p) const { return ep(p) <= kMeasuredNode; }
    [[nodiscard]] bool overlapped(const CalibrationPoint& p) const {
        return value(p, overlapped_) > 0;
    }
    [[nodiscard]] bool backward(const CalibrationPoint& p) const { return value(p, backward_) > 0; }

private:
    static double value(const CalibrationPoint& point, int column) {
        return column < 0 ? 0.0 : point.columns[static_cast<std::size_t>(column)];
    }

    int ep_;
    int overlapped_;
    int backward_;
};

double log_ep(double ep) { return std::log2(std::max(1.0, ep)); }

double link_rate(const CalibrationCurve& curve, double ep, bool one_node, bool overlapped,
                 bool backward) {
    const Columns columns(curve);
    std::vector<const CalibrationPoint*> points;
    const auto keep = [&points](auto matches) {
        std::vector<const CalibrationPoint*> kept;
        std::copy_if(points.begin(), points.end(), std::back_inserter(kept), matches);
        if (!kept.empty()) {
            points = std::move(kept);
        }
    };
    for (const CalibrationPoint& point : curve.points) {
        points.push_back(&point);
    }
    keep([&](const CalibrationPoint* p) { return columns.one_node(*p) == one_node; });
    keep([&](const CalibrationPoint* p) { return columns.overlapped(*p) == overlapped; });
    keep([&](const CalibrationPoint* p) { return columns.backward(*p) == backward; });
    std::vector<std::vector<double>> features;
    std::vector<double> rates;
    for (const CalibrationPoint* point : points) {
        features.push_back({log_ep(columns.ep(*point))});
        rates.push_back(point->value);
    }
    return interpolate(features, rates, {log_ep(ep)});
}

Bytes logical_bytes(const ExpertExchangeCall& x) {
    return Bytes(static_cast<double>(x.tokens) * logical_copies(x.collective, x.traffic, x.group) *
                 x.token_bytes.value());
}

// What normal kernels do before bytes move and with their buffers, by the form `copies`; nothing of
// that without its curve.
class Kernels {
public:
    Kernels(const CurveModel* sm_limit, const ExpertExchangeCall& x)
        : model_(x.sms > 0 ? sm_limit : nullptr), exchange_(x) {}

    [[nodiscard]] Seconds startup() const {
        return microseconds(model_ == nullptr ? 0 : model_->parameters()[0]);
    }
    // Tokens that pass the slowest step one after the other, those of the filling buffers included.
    [[nodiscard]] double turns(double tokens) const {
        return model_ == nullptr
                   ? tokens
                   : tokens + std::min(tokens, model_->parameters()[3] * exchange_.sms);
    }
    // If links took no time.
    [[nodiscard]] Seconds copying() const {
        return model_ == nullptr || exchange_.tokens == 0
                   ? Seconds(0)
                   : model_->time(copy_columns(exchange_), {}) - startup();
    }
    // Of an exchange of any size on links on which kMeasuredTokens take `measured` in all, of which
    // the start-up is half at most.
    [[nodiscard]] Seconds moving(Seconds measured) const {
        return std::max(measured - startup(), measured * 0.5) *
               (turns(static_cast<double>(exchange_.tokens)) / turns(kMeasuredTokens));
    }
    [[nodiscard]] ExchangeTime time(TransferBounds bounds) const {
        bounds.comm_sms = copying();
        return {exchange_.tokens == 0 ? Seconds(0) : startup(), bounds.longest(), bounds};
    }

private:
    const CurveModel* model_;
    const ExpertExchangeCall& exchange_;
};

ExpertExchangeCall as_measured(ExpertExchangeCall x) {
    x.tokens = static_cast<std::int64_t>(kMeasuredTokens);
    return x;
}

// What the bytes of an exchange take on NVLink and on the network, by the form `links`.
TransferBounds on_links(const CurveModel& links, const ExpertExchangeCall& x,
                        const LinkRates& rates) {
    const std::map<std::string, double> columns = link_columns(x, rates);
    const double startup = low_latency(x.collective) ? links.parameters()[0] : 0;
    const auto without = [&](const char* column) {
        std::map<std::string, double> others = columns;
        others[column] = 0;
        return links.time(others, {}) - microseconds(startup);
    };
    return {without("rdma_us"), without("nvlink_us"), Seconds(0)};
}

}  // namespace

double interpolate(const std::vector<std::vector<double>>& features,
                   const std::vector<double>& values, const std::vector<double>& at) {
    R1_CHECK(!features.empty() && features.size() == values.size());
    constexpr std::size_t kNearest = 4;
    std::vector<std::pair<double, double>> by_distance;  // squared distance, value
    for (std::size_t i = 0; i < features.size(); ++i) {
        double squared = 0;
        for (std::size_t d = 0; d < at.size(); ++d) {
            squared += (features[i][d] - at[d]) * (features[i][d] - at[d]);
        }
        by_distance.emplace_back(squared, values[i]);
    }
    std::sort(by_distance.begin(), by_distance.end());
    double weights = 0;
    double sum = 0;
    std::size_t used = 0;
    constexpr double kHit = 1e-12;
    for (const auto& [squared, value] : by_distance) {
        const bool hit = by_distance.front().first < kHit;
        if (hit ? squared >= kHit : used == kNearest) {
            break;
        }
        const double weight = hit ? 1 : 1 / squared;
        weights += weight;
        sum += weight * value;
        ++used;
    }
    return sum / weights;
}

double logical_copies(Collective collective, const ExpertTraffic& traffic,
                      const ExpertGroupShape& group) {
    const bool by_rank = low_latency(collective) || group.nodes() == 1;
    return by_rank ? traffic.ranks_per_token : traffic.nodes_per_token;
}

std::map<std::string, double> link_columns(const ExpertExchangeCall& x, const LinkRates& rates) {
    const bool direct = low_latency(x.collective);
    const Bytes copy = x.token_bytes * static_cast<double>(x.tokens);
    // Normal kernels move rows for the rank itself as those for others, low-latency ones do not.
    const double on_node = direct ? x.traffic.nvlink_copies_per_token : x.traffic.ranks_per_token;
    const auto us = [](Seconds time) { return time.value() * 1e6; };
    return {
        {"nvlink_us", us(copy * on_node / rates.nvlink)},
        {"rdma_us", x.group.nodes() > 1 ? us(copy * x.traffic.ib_copies_per_token / rates.nic) : 0},
        {"forwarded", !direct && x.group.nodes() > 1 ? 1 : 0},
        {"low_latency", direct ? 1 : 0}};
}

std::map<std::string, double> copy_columns(const ExpertExchangeCall& x) {
    const double bytes = x.token_bytes.value();
    return {{"tokens", static_cast<double>(x.tokens)},
            {"sms", static_cast<double>(x.sms)},
            {"nvlink_bytes", bytes * x.traffic.ranks_per_token},
            {"rdma_bytes", x.group.nodes() > 1 ? bytes * x.traffic.nodes_per_token : 0}};
}

ExchangeTime exchange_time(const CurveModel& links, const CurveModel* sm_limit,
                           const ExpertExchangeCall& x, const LinkRates& cluster) {
    if (low_latency(x.collective)) {
        const TransferBounds bounds = on_links(links, x, cluster);
        return {microseconds(links.parameters()[0]), bounds.longest(), bounds};
    }
    const Kernels kernels(sm_limit, x);
    const TransferBounds measured = on_links(links, as_measured(x), cluster);
    const Seconds moving = kernels.moving(measured.longest());
    const auto share = [&](Seconds bound) { return moving * (bound / measured.longest()); };
    return kernels.time({share(measured.nvlink), share(measured.network), Seconds(0)});
}

bool measured_alone(const CalibrationCurve& curve, std::int64_t ep) {
    const Columns columns(curve);
    return std::any_of(curve.points.begin(), curve.points.end(), [&](const CalibrationPoint& p) {
        return !columns.overlapped(p) && columns.ep(p) == static_cast<double>(ep);
    });
}

ExchangeTime exchange_time(const CalibrationCurve& curve, const CurveModel* links,
                           const CurveModel* sm_limit, const ExpertExchangeCall& x,
                           const LinkRates& cluster, const LinkRates& measured) {
    const bool one_node = x.group.nodes() == 1;
    const double rate =
        link_rate(curve, static_cast<double>(x.group.ranks), one_node, x.overlapped, x.backward);
    const ExpertExchangeCall there = as_measured(x);
    const Kernels kernels(sm_limit, x);
    const Seconds moving = kernels.moving(logical_bytes(there) / gb_per_s(rate));
    if (links == nullptr) {
        const double slower =
            one_node ? measured.nvlink / cluster.nvlink : measured.nic / cluster.nic;
        const Seconds time = moving * slower;
        return kernels.time(
            {one_node ? time : Seconds(0), one_node ? Seconds(0) : time, Seconds(0)});
    }
    // What was measured, times what the formula says of other links.
    const Seconds formula = on_links(*links, there, measured).longest();
    const TransferBounds here = on_links(*links, there, cluster);
    return kernels.time(
        {moving * (here.nvlink / formula), moving * (here.network / formula), Seconds(0)});
}

std::vector<std::optional<double>> exchange_errors_percent(const CalibrationCurve& curve) {
    const Columns columns(curve);
    std::vector<std::optional<double>> errors;
    for (const CalibrationPoint& point : curve.points) {
        CalibrationCurve others = curve;
        others.points.clear();
        for (const CalibrationPoint& other : curve.points) {
            if (&other != &point && columns.one_node(other) == columns.one_node(point) &&
                columns.overlapped(other) == columns.overlapped(point) &&
                columns.backward(other) == columns.backward(point)) {
                others.points.push_back(other);
            }
        }
        if (others.points.empty()) {
            errors.emplace_back();
            continue;
        }
        const double predicted = link_rate(others, columns.ep(point), columns.one_node(point),
                                           columns.overlapped(point), columns.backward(point));
        errors.emplace_back((predicted / point.value - 1) * 100);
    }
    return errors;
}

std::optional<double> exchange_error_percent(const CalibrationCurve& curve) {
    std::vector<double> errors;
    for (const std::optional<double>& error : exchange_errors_percent(curve)) {
        if (error) {
            errors.push_back(*error);
        }
    }
    return median_size(std::move(errors));
}

}  // namespace r1
