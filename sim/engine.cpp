#include "sim/engine.hpp"

#include <algorithm>
#include <cmath>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"

namespace r1 {

namespace {

// A timeline counts picoseconds in 64 bits, which hold 106 days.
constexpr Seconds kLongest{100 * 86400.0};

}  // namespace

ActivityLimits::ActivityLimits(const EngineNetwork& network) : computes_(network.compute.size()) {
    for (const EngineNetwork::Endpoint& endpoint : network.endpoints) {
        R1_CHECK(endpoint.up.value() > 0 && endpoint.down.value() > 0);
        for (const TrunkId trunk : endpoint.trunks) {
            R1_CHECK(trunk.index() < network.trunks.size());
        }
        trunks_.push_back(endpoint.trunks);
    }
    for (const EngineNetwork::Trunk& trunk : network.trunks) {
        R1_CHECK(trunk.up.value() > 0 && trunk.down.value() > 0);
    }
}

bool ActivityLimits::passes(EndpointId end, TrunkId trunk) const {
    if (!trunk.valid()) {
        return true;
    }
    const std::vector<TrunkId>& trunks = trunks_[end.index()];
    return std::find(trunks.begin(), trunks.end(), trunk) != trunks.end();
}

void ActivityLimits::check(const Activity& activity) const {
    const auto amount = [](double value) { return value >= 0 && std::isfinite(value); };
    R1_CHECK(amount(activity.delay.value()) && amount(activity.compute_time.value()));
    R1_CHECK(!activity.compute.valid() || activity.compute.index() < computes_);
    for (const Flow& flow : activity.flows) {
        R1_CHECK(flow.from.valid() || flow.to.valid());
        R1_CHECK(!flow.from.valid() || flow.from.index() < trunks_.size());
        R1_CHECK(!flow.to.valid() || flow.to.index() < trunks_.size());
        R1_CHECK(flow.from.valid() ? passes(flow.from, flow.trunks.up) : !flow.trunks.up.valid());
        R1_CHECK(flow.to.valid() ? passes(flow.to, flow.trunks.down) : !flow.trunks.down.valid());
        R1_CHECK(amount(flow.bytes.value()) && amount(flow.rate_max.value()));
        R1_CHECK(flow.multiplicity >= 1);
    }
}

TimePs replay_time(Seconds now) {
    if (!(now < kLongest)) {
        throw InputError("replay",
                         "the step takes more than 100 days, beyond what a timeline can hold: is a "
                         "bandwidth, a latency or a calibrated rate off by orders of magnitude?");
    }
    return to_ps(now);
}

}  // namespace r1
