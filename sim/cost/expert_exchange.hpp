// What an expert all-to-all takes at least: DeepEP's kernels on idle links, with the SMs they have.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/graph/op.hpp"
#include "model/routing/traffic.hpp"
#include "sim/cost/curve_model.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {

// How an expert all-to-all runs, as far as its measured rate depends on it.
struct ExpertExchangeCall {
    Collective collective = Collective::dispatch;
    Bytes token_bytes;  // one copy of one token
    std::int64_t tokens = 0;
    ExpertGroupShape group;
    ExpertTraffic traffic;
    int sms = 0;
    bool overlapped = false;  // beside the compute kernels of an overlapped chunk
    bool backward = false;
};

// What a GPU's NVLink port reaches, and the line rate of its NIC.
struct LinkRates {
    BytesPerSecond nvlink;
    BytesPerSecond nic;
};

// Copies of a token as DeepEP counts them: for each distinct node, the own one included; on one
// node, for each distinct rank; with low-latency kernels, for each expert (copy_per_expert() has
// put those in place of ranks).
double logical_copies(Collective collective, const ExpertTraffic& traffic,
                      const ExpertGroupShape& group);

// What a transfer takes at least, by what bounds it.
struct TransferBounds {
    Seconds nvlink;
    Seconds network;
    Seconds comm_sms;  // what SMs can move

    [[nodiscard]] Seconds longest() const { return std::max({nvlink, network, comm_sms}); }
};

// How long an exchange takes before its bytes move, and for them.
struct ExchangeTime {
    Seconds startup;
    Seconds transfer;
    TransferBounds bounds{};  // of the transfer
};

// From what its bytes take on each link at best (form `links`), and for normal kernels through the
// SMs (form `copies`; `sm_limit` may be null), whose start-up and buffers the measured 4096 tokens
// include.
ExchangeTime exchange_time(const CurveModel& links, const CurveModel* sm_limit,
                           const ExpertExchangeCall& exchange, const LinkRates& cluster);

// The columns of such curves for an exchange; those of `copies` but for link_us.
std::map<std::string, double> copy_columns(const ExpertExchangeCall& exchange);
std::map<std::string, double> link_columns(const ExpertExchangeCall& exchange,
                                           const LinkRates& rates);

// Whether the curve has points of this EP size that were measured alone.
bool measured_alone(const CalibrationCurve& curve, std::int64_t ep);

// The same from measured rates of this EP size or others (points of the same links, then of the
// same surroundings and pass where there are such; between EP sizes inverse squared distance in log
// space). What was measured on other links is as much longer or shorter as the form `links` says
// or, without it, in proportion to the link that the kernels are bound by.
ExchangeTime exchange_time(const CalibrationCurve& curve, const CurveModel* links,
                           const CurveModel* sm_limit, const ExpertExchangeCall& exchange,
                           const LinkRates& cluster, const LinkRates& measured);

// Inverse-squared-distance interpolation of `values` over log-space `features`: the value of a
// point that is hit exactly (the mean, if several), else a weighted mean of the nearest four.
double interpolate(const std::vector<std::vector<double>>& features,
                   const std::vector<double>& values, const std::vector<double>& at);

// Signed error of each point as predicted by the other points of the same links, surroundings and
// pass, in per cent; nothing where there are no such others.
std::vector<std::optional<double>> exchange_errors_percent(const CalibrationCurve& curve);

// Median of their absolute values; nothing if there are none.
std::optional<double> exchange_error_percent(const CalibrationCurve& curve);

}  // namespace r1
