#include "sim/chakra/replay.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "model/base/diagnostics.hpp"
#include "sim/rank_network.hpp"
#include "sim/trunks.hpp"

namespace r1 {

namespace {

class ChakraLowering {
public:
    ChakraLowering(const ChakraJob& job, const Topology& topology, const Fabric& fabric,
                   std::uint64_t seed)
        : job_(job),
          topology_(topology),
          fabric_(fabric),
          trunks_(fabric, static_cast<std::int64_t>(job.ranks.size()), seed) {
        dag_.seed = seed;
        dag_.network.trunks = trunks_.all();
        dag_.segments = {{{Stream::compute, {OpIndex(0)}, {0}, {1}, {}}}};  // of all nodes
    }

    ReplayDag run() && {
        for (std::uint32_t rank = 0; rank < job_.ranks.size(); ++rank) {
            add_lane(rank);
        }
        for (std::uint32_t rank = 0; rank < job_.ranks.size(); ++rank) {
            add_program(rank);
        }
        for (const ChakraCollective& collective : job_.collectives) {
            dag_.collective_of.push_back({static_cast<std::uint32_t>(dag_.collectives.size())});
            dag_.collectives.push_back(collective_work(collective));
        }
        return std::move(dag_);
    }

private:
    void add_lane(std::uint32_t index) {
        const RankId rank(index);
        const std::string name = fmt::format("rank{}", index);
        const auto add = [&](const char* what, BytesPerSecond bandwidth) {
            if (!(bandwidth.value() > 0)) {
                return EndpointId();
            }
            dag_.network.endpoints.push_back({name + what, bandwidth, bandwidth});
            return EndpointId(dag_.network.endpoints.size() - 1);
        };
        dag_.network.compute.push_back(name + ".sm");
        const EndpointId nic = add(".nic", nic_share(fabric_, rank));
        if (nic.valid()) {
            dag_.network.endpoints.back().trunks = trunks_.of(rank);
        }
        dag_.links.push_back({nic, add(".nvlink", nvlink_share(fabric_, rank))});
        dag_.lanes.push_back({rank, static_cast<std::int32_t>(index), 1});
        dag_.shown.push_back(index);
        dag_.shown_lanes.push_back(dag_.lanes.back());
    }

    void add_program(std::uint32_t rank) {
        const std::vector<ChakraNode>& nodes = job_.ranks[rank];
        ReplayProgram& program = dag_.programs.emplace_back(nodes.size());
        for (std::uint32_t i = 0; i < nodes.size(); ++i) {
            ReplayNode& node = program[i];
            node.item = i;
            node.predecessors = static_cast<std::uint16_t>(nodes[i].before.size());
            for (const std::uint32_t before : nodes[i].before) {
                program[before].successors.push_back(i);
            }
            set_work(rank, nodes[i], node);
        }
    }

    void set_work(std::uint32_t rank, const ChakraNode& in, ReplayNode& node) {
        switch (in.work) {
            case ChakraWork::collective:
                node.kind = NodeKind::collective;
                node.work = in.other;
                return;
            case ChakraWork::send:
                node.kind = NodeKind::send;
                node.work = static_cast<std::uint32_t>(dag_.sends.size());
                dag_.sends.push_back(send_work(rank, in));
                break;
            case ChakraWork::receive:
                node.kind = NodeKind::receive;
                ++node.predecessors;
                break;
            default:
                node.work = static_cast<std::uint32_t>(dag_.locals.size());
                dag_.locals.push_back(
                    {in.work == ChakraWork::compute ? LocalKind::compute : LocalKind::wait,
                     {in.time}});
                return;
        }
        node.peer = static_cast<std::int32_t>(in.peer);
        node.other = static_cast<std::int32_t>(in.other);
    }

    SendWork send_work(std::uint32_t rank, const ChakraNode& in) {
        if (rank == in.peer) {
            return {};
        }
        const auto [entry, is_new] =
            routes_.try_emplace({rank, in.peer}, static_cast<std::uint32_t>(dag_.routes.size()));
        if (is_new) {
            Route route = rank_route(fabric_, topology_, RankId(rank), RankId(in.peer));
            route.trunks = path(rank, in.peer);
            static_cast<void>(link(rank, route.over_nvlink));
            static_cast<void>(link(in.peer, route.over_nvlink));
            dag_.routes.push_back({route});
        }
        return {entry->second, in.bytes};
    }

    [[nodiscard]] TrunkPath path(std::uint32_t from, std::uint32_t to) const {
        return trunks_.matter() ? trunks_.path(RankId(from), RankId(to)) : TrunkPath{};
    }
    [[nodiscard]] EndpointId link(std::uint32_t rank, bool over_nvlink) const {
        const LaneLinks& links = dag_.links[rank];
        const EndpointId id = over_nvlink ? links.nvlink : links.nic;
        if (!id.valid()) {
            throw InputError("cluster", fmt::format("rank {} has no {} left, but must communicate "
                                                    "over one",
                                                    rank, over_nvlink ? "NVLink" : "NIC"));
        }
        return id;
    }
    [[nodiscard]] BytesPerSecond bandwidth(EndpointId id) const {
        return dag_.network.endpoints[id.index()].up;
    }

    CollectiveWork collective_work(const ChakraCollective& collective) const {
        CollectiveWork work;
        for (const ChakraPart& part : collective.parts) {
            work.parts.push_back({part.rank, part.node});
        }
        const bool moves = collective.bytes.value() > 0 || collective.type == chakra::BARRIER;
        if (collective.flows_gpus_per_node == topology_.gpus_per_node) {
            add_told_flows(collective, work.activity);
        } else if (collective.parts.size() > 1 && moves) {
            if (collective.type == chakra::ALL_TO_ALL) {
                add_all_to_all(collective, work.activity);
            } else {
                add_ring(collective, work.activity);
            }
        }
        return work;
    }

    void add_told_flows(const ChakraCollective& collective, Activity& activity) const {
        activity.delay = collective.startup;
        for (const ChakraPart& part : collective.parts) {
            for (const ChakraFlow& told : part.flows) {
                const EndpointId own = link(part.rank, told.over_nvlink);
                Flow flow;
                flow.bytes = told.bytes;
                flow.multiplicity = told.count;
                flow.rate_max = bandwidth(own) * (told.link_share / told.count);
                (told.is_sent ? flow.from : flow.to) = own;
                if (told.peer >= 0) {
                    const auto peer = static_cast<std::uint32_t>(told.peer);
                    flow.to = link(peer, told.over_nvlink);
                    flow.trunks = told.over_nvlink ? TrunkPath{} : path(part.rank, peer);
                }
                activity.flows.push_back(flow);
            }
        }
    }

    // The n-th part of what each rank brings along goes to each, straight.
    void add_all_to_all(const ChakraCollective& collective, Activity& activity) const {
        const Bytes each = collective.bytes / static_cast<double>(collective.parts.size());
        for (const ChakraPart& from : collective.parts) {
            int over_nic = 0;
            int over_nvlink = 0;
            for (const ChakraPart& to : collective.parts) {
                if (from.rank == to.rank) {
                    continue;
                }
                const Route route =
                    rank_route(fabric_, topology_, RankId(from.rank), RankId(to.rank));
                activity.delay = std::max(activity.delay, route.latency);
                if (route.over_nvlink || !trunks_.matter()) {
                    ++(route.over_nvlink ? over_nvlink : over_nic);
                } else {
                    activity.flows.push_back({link(from.rank, false), link(to.rank, false), each, 1,
                                              BytesPerSecond(0), path(from.rank, to.rank)});
                }
            }
            add_totals(from.rank, false, each, over_nic, activity);
            add_totals(from.rank, true, each, over_nvlink, activity);
        }
    }

    // All ranks do the like, so what one sends and gets in all says as much as pairs.
    void add_totals(std::uint32_t rank, bool over_nvlink, Bytes each, int peers,
                    Activity& activity) const {
        if (peers > 0) {
            const EndpointId own = link(rank, over_nvlink);
            activity.flows.push_back({own, EndpointId(), each, peers});
            activity.flows.push_back({EndpointId(), own, each, peers});
        }
    }

    // What each rank passes on, and how often data goes round.
    struct Ring {
        Bytes volume;
        double passes = 1;
    };
    static Ring ring_of(const ChakraCollective& collective) {
        const auto size = static_cast<double>(collective.parts.size());
        const double all_but_one = (size - 1) / size;
        switch (collective.type) {
            case chakra::ALL_REDUCE: return {collective.bytes * 2.0 * all_but_one, 2};
            case chakra::BARRIER: return {Bytes(0), 2};
            case chakra::ALL_GATHER: return {collective.bytes * size * all_but_one, 1};
            case chakra::BROADCAST:
            case chakra::REDUCE: return {collective.bytes, 1};
            default: return {collective.bytes * all_but_one, 1};  // reduce-scatter
        }
    }

    void add_ring(const ChakraCollective& collective, Activity& activity) const {
        std::vector<RankId> members;
        for (const ChakraPart& part : collective.parts) {
            members.emplace_back(part.rank);
        }
        const Ring ring = ring_of(collective);
        activity.delay = collective.startup;
        for (std::size_t place = 0; place < members.size(); ++place) {
            const std::uint32_t rank = members[place].value;
            const RingPart part =
                ring_part(fabric_, topology_, members, members[place], ring.volume, ring.passes);
            activity.delay = std::max(activity.delay, part.delay);
            if (part.nic) {
                // Without trunks, who gets it makes no difference.
                const std::uint32_t next =
                    trunks_.matter() ? ring_successor(fabric_, members, place).value : rank;
                Flow hop{link(rank, false), link(next, false), *part.nic};
                hop.trunks = path(rank, next);
                activity.flows.push_back(hop);
            }
            if (part.nvlink) {
                const EndpointId nvlink = link(rank, true);
                activity.flows.push_back({nvlink, nvlink, *part.nvlink});
            }
        }
    }

    const ChakraJob& job_;
    const Topology& topology_;
    const Fabric& fabric_;
    Trunks trunks_;
    ReplayDag dag_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> routes_;
};

}  // namespace

ReplayDag lower_chakra(const ChakraJob& job, const Topology& topology, const Fabric& fabric,
                       std::uint64_t seed) {
    if (job.ranks.size() > static_cast<std::size_t>(topology.gpus())) {
        throw InputError("cluster", fmt::format("{} has {} GPUs, the traces are of {} ranks",
                                                topology.name, topology.gpus(), job.ranks.size()));
    }
    if (job.ranks.size() > static_cast<std::size_t>(topology.gpus_per_node) &&
        fabric.kind == FabricKind::none) {
        throw InputError("cluster", fmt::format("{} ranks need a network between nodes of {} GPUs",
                                                job.ranks.size(), topology.gpus_per_node));
    }
    return ChakraLowering(job, topology, fabric, seed).run();
}

std::vector<std::string> chakra_warnings(const ChakraJob& job, const Topology& topology) {
    std::vector<std::string> warnings;
    if (job.missing_dependencies > 0) {
        warnings.push_back(fmt::format("{} dependencies are on nodes that no trace has: left out",
                                       job.missing_dependencies));
    }
    for (const ChakraCollective& collective : job.collectives) {
        const std::int32_t gpus = collective.flows_gpus_per_node;
        if (gpus > 0 && gpus != topology.gpus_per_node) {
            warnings.push_back(
                fmt::format("expert all-to-alls were written for nodes of {} GPUs; "
                            "on nodes of {} they go straight from rank to rank",
                            gpus, topology.gpus_per_node));
            break;
        }
    }
    return warnings;
}

}  // namespace r1
