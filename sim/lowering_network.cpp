// Lanes, their links and how they reach each other (declared in lowering.hpp).
#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "model/base/diagnostics.hpp"
#include "sim/lowering.hpp"

namespace r1 {

namespace {

std::int32_t lanes_of_program(const Instances& instances, Folding fold) {
    switch (fold) {
        case Folding::stage: return 1;
        case Folding::ep_group: return instances.expert_parallel;
        case Folding::none: break;
    }
    return instances.data_parallel;
}

}  // namespace

ExpertGroupShape expert_group_shape(const ExecutionGraph& graph, const Topology& topology) {
    const std::int64_t ranks = graph.instances().expert_parallel;
    return {ranks, std::min<std::int64_t>(ranks, topology.gpus_per_node)};
}

LaneSet::LaneSet(const Instances& instances, Folding fold)
    : instances_(instances), per_program_(lanes_of_program(instances, fold)) {}

LaneNetwork::LaneNetwork(const LoweringInput& input, const LaneSet& lanes)
    : input_(input),
      lanes_(lanes),
      trunks_(input.fabric, input.graph.instances().ranks(), input.seed),
      messages_(trunks_) {
    const bool folded = input.replay.fold == Folding::stage;
    if (input.replay.fold == Folding::none) {
        network_.trunks = trunks_.all();
    } else if (trunks_.matter()) {
        add_messages();
    }
    for (std::int32_t lane = 0; lane < lanes.count(); ++lane) {
        BytesPerSecond nic(INFINITY);
        BytesPerSecond nvlink(INFINITY);
        for (std::int32_t which = 0; which < lanes.multiplicity(); ++which) {
            const RankId rank = lanes.rank(lane, which);
            nic = std::min(nic, nic_share(input.fabric, rank));
            nvlink = std::min(nvlink, nvlink_share(input.fabric, rank));
        }
        const std::string name =
            folded ? fmt::format("stage{}", lane) : fmt::format("rank{}", lanes.rank(lane).value);
        network_.compute.push_back(name + ".sm");
        const EndpointId nic_end = add(name + ".nic", nic);
        if (has_trunks() && nic_end.valid()) {
            network_.endpoints.back().trunks = trunks_.of(lanes.rank(lane));
        }
        links_.push_back({nic_end, add(name + ".nvlink", nvlink)});
    }
}

EndpointId LaneNetwork::add(const std::string& name, BytesPerSecond bandwidth) {
    if (!(bandwidth.value() > 0)) {
        return {};
    }
    network_.endpoints.push_back({name, bandwidth, bandwidth});
    return EndpointId(network_.endpoints.size() - 1);
}

// All messages of the step count as under way at once: the least that one gets of a trunk.
void LaneNetwork::add_messages() {
    const Instances& instances = input_.graph.instances();
    for (std::int32_t program = 0; program < instances.pipeline_parallel; ++program) {
        std::set<std::int32_t> peers;
        for (const Item& item : input_.graph.programs()[static_cast<std::size_t>(program)].items) {
            if (item.kind == ItemKind::send && peers.insert(item.peer).second) {
                for (std::int32_t i = 0; i < instances.data_parallel; ++i) {
                    messages_.add(
                        trunks_.path(instances.rank(program, i), instances.rank(item.peer, i)),
                        Bytes(1));
                }
            }
        }
    }
}

EndpointId LaneNetwork::existing(EndpointId id, std::int32_t lane, const char* what) const {
    if (!id.valid()) {
        throw InputError("cluster", fmt::format("a rank of pipeline rank {} has no {} left, but "
                                                "must communicate over one",
                                                lanes_.program(lane), what));
    }
    return id;
}

EndpointId LaneNetwork::nic(std::int32_t lane) const {
    return existing(links_[static_cast<std::size_t>(lane)].nic, lane, "NIC");
}

EndpointId LaneNetwork::nvlink(std::int32_t lane) const {
    return existing(links_[static_cast<std::size_t>(lane)].nvlink, lane, "NVLink");
}

Route LaneNetwork::route(std::int32_t from, std::int32_t to) const {
    Route worst{true, Seconds(0), BytesPerSecond(0), path(from, to)};
    Seconds of_trunks;  // for a byte of each message
    for (std::int32_t which = 0; which < lanes_.multiplicity(); ++which) {
        const RankId sender = lanes_.rank(from, which);
        const RankId receiver = lanes_.rank(to, which);
        const Route other = route(sender, receiver);
        worst.over_nvlink = worst.over_nvlink && other.over_nvlink;
        worst.latency = std::max(worst.latency, other.latency);
        of_trunks = std::max(of_trunks, messages_.time(trunks_.path(sender, receiver)));
    }
    if (of_trunks.value() > 0) {
        worst.rate_max = Bytes(1) / of_trunks;
    }
    for (const std::int32_t lane : {from, to}) {
        static_cast<void>(worst.over_nvlink ? nvlink(lane) : nic(lane));
    }
    return worst;
}

}  // namespace r1
