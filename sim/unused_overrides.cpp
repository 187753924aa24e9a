#include "sim/unused_overrides.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "model/base/index.hpp"
#include "sim/lowering.hpp"

namespace r1 {

namespace {

// By rank: whether its NIC, and its NVLink port, carry bytes.
struct BusyRanks {
    std::vector<bool> nic;
    std::vector<bool> nvlink;
};

BusyRanks busy_ranks(const Fabric& fabric, const ReplayDag& dag) {
    std::vector<bool> busy(dag.network.endpoints.size());
    dag.for_each_activity([&](LanePart, const Activity& activity) {
        for (const Flow& flow : activity.flows) {
            for (const EndpointId end : {flow.from, flow.to}) {
                if (end.valid() && flow.bytes.value() > 0) busy[end.index()] = true;
            }
        }
    });
    const auto is_busy = [&](EndpointId end) { return end.valid() && busy[end.index()]; };
    BusyRanks ranks{std::vector<bool>(at(fabric.gpus())), std::vector<bool>(at(fabric.gpus()))};
    for (std::size_t lane = 0; lane < dag.lanes.size(); ++lane) {
        for (std::int64_t which = 0; which < dag.lanes[lane].multiplicity; ++which) {
            const std::size_t rank =
                dag.lanes[lane].rank.index() + at(which * dag.lanes_per_program);
            ranks.nic[rank] = is_busy(dag.links[lane].nic);
            ranks.nvlink[rank] = is_busy(dag.links[lane].nvlink);
        }
    }
    return ranks;
}

// Leaf-spine links that transfers of the graph pass, and leaves whose uplinks they do.
class CrossedLinks {
public:
    CrossedLinks(const Scenario& scenario, const Fabric& fabric, const ExecutionGraph& graph)
        : fabric_(fabric),
          graph_(graph),
          trunks_(fabric, scenario.ranks(), scenario.seed),
          two_hops_(!scenario.replay.without.two_hop),
          messages_(!scenario.replay.without.pipeline_messages) {
        if (scenario.replay.without.network) return;
        for (std::int32_t program = 0; program < graph.instances().pipeline_parallel; ++program) {
            for (const Item& item : graph.programs()[at(program)].items) {
                add(program, item);
            }
        }
    }

    // Of a link that may have been removed.
    [[nodiscard]] bool passed(const Link& link) const {
        if (!leaves_.contains(fabric_.switches[at(link.from.index)].name)) return false;
        const bool there = std::any_of(fabric_.links.begin(), fabric_.links.end(),
                                       [&](const Link& other) { return other.name == link.name; });
        return fabric_.path_choice == PathChoice::adaptive || !there || links_.contains(link.name);
    }

private:
    void add(std::int32_t program, const Item& item) {
        for (const Op& op : graph_.chunk(item.chunk).ops) {
            const CommOp* comm = op.comm();
            if (comm == nullptr || comm->collective == Collective::notify) continue;
            if (op.stream == Stream::collective) {
                add_rings(program, *comm, item.contexts[op.context].stage);
            } else if (item.kind == ItemKind::send) {
                if (messages_ && seen_.insert({program, item.peer}).second) {
                    add_messages(program, item.peer);
                }
            } else if (item.kind != ItemKind::recv && seen_.insert({program, -1}).second) {
                two_hops_ = two_hops_ && !low_latency(comm->collective);
                add_exchanges(program);
            }
        }
    }

    void add_messages(std::int32_t program, std::int32_t peer) {
        for (std::int32_t i = 0; i < graph_.instances().data_parallel; ++i) {
            pass(graph_.instances().rank(program, i), graph_.instances().rank(peer, i));
        }
    }

    void add_exchanges(std::int32_t program) {
        for (std::int32_t i = 0; i < graph_.instances().data_parallel; ++i) {
            const RankId rank = graph_.instances().rank(program, i);
            for (const RankId other : graph_.group(GroupKind::expert_parallel, rank, 0)) {
                const bool same_place = local_rank(fabric_, rank) == local_rank(fabric_, other);
                if (same_place || !two_hops_) pass(rank, other);
            }
        }
    }

    void add_rings(std::int32_t program, const CommOp& comm, std::int32_t stage) {
        for (std::int32_t i = 0; i < graph_.instances().data_parallel; ++i) {
            const std::vector<RankId> members =
                graph_.group(comm.group, graph_.instances().rank(program, i), stage);
            if (!rings_.insert({comm.group, stage, members.front()}).second) continue;
            for (std::size_t place = 0; place < members.size(); ++place) {
                pass(members[place], ring_successor(fabric_, members, place));
            }
        }
    }

    void pass(RankId from, RankId to) {
        const std::optional<SpinePair> way = trunks_.way(from, to);
        if (!way) return;
        for (const int link : {way->up, way->down}) {
            links_.insert(fabric_.links[at(link)].name);
            leaves_.insert(fabric_.switches[at(fabric_.links[at(link)].from.index)].name);
        }
    }

    const Fabric& fabric_;
    const ExecutionGraph& graph_;
    Trunks trunks_;
    bool two_hops_;
    bool messages_;
    std::set<std::string> links_;
    std::set<std::string> leaves_;
    std::set<std::pair<std::int32_t, std::int32_t>> seen_;  // program and peer; -1: its experts
    std::set<std::tuple<GroupKind, std::int32_t, RankId>> rings_;
};

// Whether a rank of its node has this NIC, or would if it was not removed.
bool nic_is_busy(const Fabric& fabric, const BusyRanks& busy, int index, bool removed) {
    const int node = index / fabric.nics_per_node;
    const int nic = index % fabric.nics_per_node;
    for (int local = 0; local < fabric.gpus_per_node; ++local) {
        const RankId rank = rank_of(fabric, node, local);
        const int used = removed ? fabric.affinity[at(local)] : nic_of(fabric, rank).value_or(-1);
        if (used == nic && busy.nic[rank.index()]) return true;
    }
    return false;
}

}  // namespace

std::vector<std::string> unused_override_warnings(const Scenario& scenario,
                                                  const Topology& topology, const Fabric& fabric,
                                                  const ExecutionGraph& graph,
                                                  const ReplayDag& dag) {
    constexpr std::size_t kShownMax = 10;
    std::vector<std::string> warnings;
    if (topology.overrides.empty()) return warnings;
    const BusyRanks busy = busy_ranks(fabric, dag);
    const CrossedLinks crossed(scenario, fabric, graph);
    Topology plain = topology;
    plain.overrides.clear();
    std::map<std::string, Link> links;
    for (const Link& link : generate_fabric(plain).links) links.emplace(link.name, link);
    const auto is_used = [&](const LinkOverride& item) {
        const Link& link = links.at(item.link);  // read_topology() knows them all
        switch (link.kind) {
            case LinkKind::nvlink: return bool(busy.nvlink[at(link.from.index)]);
            case LinkKind::nic: return nic_is_busy(fabric, busy, link.from.index, item.remove);
            case LinkKind::leaf_spine: break;
        }
        return crossed.passed(link);
    };
    for (const LinkOverride& item : topology.overrides) {
        if (is_used(item)) continue;
        if (warnings.size() == kShownMax) {
            warnings.emplace_back("more overrides change nothing");
            break;
        }
        warnings.push_back(
            fmt::format("override of '{}' changes nothing: no bytes cross it", item.link));
    }
    return warnings;
}

}  // namespace r1
