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
    dag.for_each_activity([&](LanePart part, const Activity& activity) {
        const auto shown = std::lower_bound(dag.shown.begin(), dag.shown.end(), part.lane);
        if (activity.flows.empty() || makespan == 0 || shown == dag.shown.end() ||
            *shown != part.lane) {
            return;
        }
        const ReplayNode& node = dag.programs[dag.program_of(part.lane)][part.node];
        const auto lane = static_cast<std::uint32_t>(shown - dag.shown.begin());
        const Interval* interval =
            timeline.find({lane, node.item, dag.segment(node).ops.front().value});
        R1_CHECK(interval != nullptr);
        const double scale = static_cast<double>(kBins) / static_cast<double>(makespan);
        const double from = static_cast<double>(interval->start) * scale;
        const double to = static_cast<double>(interval->end) * scale;
        for (const Flow& flow : activity.flows) {
            const double bytes = flow.bytes.value() * flow.multiplicity;
            if (flow.from.valid()) {
                up[flow.from.index()].add(bytes, from, to);
            }
            if (flow.to.valid()) {
                down[flow.to.index()].add(bytes, from, to);
            }
        }
    });
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
        for (const double bin : link.bins) {
            usage.over_time.push_back(std::min(1.0, bin / bin_bytes));
        }
        usage.peak_utilisation = *std::max_element(usage.over_time.begin(), usage.over_time.end());
        result.push_back(std::move(usage));
    };
    std::vector<bool> is_shown(endpoints);
    for (const std::uint32_t lane : dag.shown) {
        for (const EndpointId end : {dag.links[lane].nic, dag.links[lane].nvlink}) {
            if (end.valid()) {
                is_shown[end.index()] = true;
            }
        }
    }
    for (std::size_t e = 0; e < endpoints; ++e) {
        if (!is_shown[e]) {
            continue;
        }
        report(dag.network.endpoints[e], "up", dag.network.endpoints[e].up, up[e]);
        report(dag.network.endpoints[e], "down", dag.network.endpoints[e].down, down[e]);
    }
    return result;
}

}  // namespace r1
