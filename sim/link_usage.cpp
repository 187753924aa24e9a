#include "sim/link_usage.hpp"

#include <algorithm>

#include "model/base/check.hpp"

namespace r1 {

namespace {

constexpr std::size_t kBins = 1000;

struct LinkBins {
    double bytes = 0;
    std::vector<double> bins = std::vector<double>(kBins);

    void add(double amount, double from, double to) {  // in bins
        bytes += amount;
        const auto first = static_cast<std::size_t>(from);
        const auto last = std::min(static_cast<std::size_t>(to), kBins - 1);
        for (std::size_t bin = first; bin <= last && bin < kBins; ++bin) {
            const double overlap = std::min(to, static_cast<double>(bin + 1)) -
                                   std::max(from, static_cast<double>(bin));
            bins[bin] += to > from ? amount * std::max(0.0, overlap) / (to - from) : amount;
            if (to <= from) {
                break;
            }
        }
    }
};

}  // namespace

std::vector<LinkUsage> link_usage(const ReplayDag& dag, const Timeline& timeline) {
    const TimePs makespan = timeline.makespan();
    const std::size_t endpoints = dag.network.endpoints.size();
    std::vector<LinkBins> up(endpoints);
    std::vector<LinkBins> down(endpoints);
    for (const ReplayNode& node : dag.nodes) {
        if (node.activity.flows.empty() || makespan == 0) {
            continue;
        }
        const NodeRun& run = node.runs.front();
        const Interval* interval =
            timeline.find({run.lane, run.item, run.segment->ops.front().value});
        R1_CHECK(interval != nullptr);
        const double scale = static_cast<double>(kBins) / static_cast<double>(makespan);
        const double from = static_cast<double>(interval->start) * scale;
        const double to = static_cast<double>(interval->end) * scale;
        for (const Flow& flow : node.activity.flows) {
            const double bytes = flow.bytes.value() * flow.multiplicity;
            up[flow.from.index()].add(bytes, from, to);
            down[flow.to.index()].add(bytes, from, to);
        }
    }
    std::vector<LinkUsage> result;
    const double seconds = from_ps(makespan).value();
    const auto report = [&](const EngineNetwork::Endpoint& endpoint, const char* direction,
                            BytesPerSecond capacity, const LinkBins& link) {
        if (!(capacity.value() > 0) || seconds <= 0) {
            return;  // the node has no such link
        }
        LinkUsage usage;
        usage.id = endpoint.name + "." + direction;
        usage.kind = endpoint.name.substr(endpoint.name.rfind('.') + 1);
        usage.bytes = Bytes(link.bytes);
        usage.capacity = capacity;
        usage.mean_utilisation = link.bytes / (capacity.value() * seconds);
        const double bin_bytes = capacity.value() * seconds / static_cast<double>(kBins);
        // Ops that share a link do not really send evenly: their sum may pass the capacity.
        usage.peak_utilisation =
            std::min(1.0, *std::max_element(link.bins.begin(), link.bins.end()) / bin_bytes);
        result.push_back(std::move(usage));
    };
    for (std::size_t e = 0; e < endpoints; ++e) {
        report(dag.network.endpoints[e], "up", dag.network.endpoints[e].up, up[e]);
        report(dag.network.endpoints[e], "down", dag.network.endpoints[e].down, down[e]);
    }
    return result;
}

}  // namespace r1
