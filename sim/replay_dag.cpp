#include "sim/replay_dag.hpp"

#include <algorithm>
#include <numeric>

#include "model/base/check.hpp"
#include "sim/what_if.hpp"

namespace r1 {

std::vector<std::size_t> ReplayDag::item_offsets(const ReplayProgram& program) const {
    std::vector<std::size_t> offsets(program.empty() ? 1 : program.back().item + 2);
    for (const ReplayNode& node : program) {
        R1_CHECK(node.item + 1 < offsets.size());  // the last node is of the last item
        offsets[node.item + 1] += segment(node).ops.size();
    }
    std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
    return offsets;
}

std::uint32_t ReplayDag::joint_of(std::uint32_t lane, const ReplayNode& node) const {
    const std::uint32_t place = lane % lanes_per_program;
    if (node.kind == NodeKind::exchange) {
        return node.work * groups_per_program() + place / lanes_per_group;
    }
    R1_CHECK(node.kind == NodeKind::collective);
    return static_cast<std::uint32_t>(exchanges.size()) * groups_per_program() +
           collective_of[node.work][place];
}

void ReplayDag::for_each_part(std::uint32_t joint,
                              const std::function<void(LanePart)>& visit) const {
    const std::uint32_t groups = groups_per_program();
    const auto exchange_count = static_cast<std::uint32_t>(exchanges.size());
    if (joint >= exchange_count * groups) {
        for (const LanePart& part : collectives[joint - exchange_count * groups].parts) {
            visit(part);
        }
        return;
    }
    const ExchangeWork& work = exchanges[joint / groups];
    const std::uint32_t first = work.program * lanes_per_program + joint % groups * lanes_per_group;
    for (std::uint32_t i = 0; i < lanes_per_group; ++i) {
        visit({first + i, work.node});
    }
}

Activity ReplayDag::activity(std::uint32_t lane, const ReplayNode& node) const {
    Activity activity;
    if (node.kind == NodeKind::local) {
        const LocalWork& work = locals[node.work];
        const std::size_t place = work.times.size() == 1 ? 0 : lane % lanes_per_program;
        Seconds time = work.times[place];
        if (work.kind != LocalKind::wait) {
            // A lane stands for ranks that lie lanes_per_program apart.
            time = time * straggler_factor(stragglers, seed, lanes[lane].rank,
                                           lanes[lane].multiplicity, lanes_per_program, node.item);
        }
        if (work.kind == LocalKind::compute) {
            activity.compute = ComputeId(lane);
            activity.compute_time = time;
        } else {
            activity.delay = time;
        }
    } else if (node.kind == NodeKind::send) {
        const SendWork& work = sends[node.work];
        if (work.bytes.value() > 0) {
            const std::uint32_t place = lane % lanes_per_program;
            const Route& route = routes[work.routes][place];
            const std::uint32_t to =
                static_cast<std::uint32_t>(node.peer) * lanes_per_program + place;
            activity.delay = route.latency;
            if (route.over_nvlink) {
                activity.flows.push_back({links[lane].nvlink, links[to].nvlink, work.bytes});
            } else {
                activity.flows.push_back(
                    {links[lane].nic, links[to].nic, work.bytes, 1, route.rate_max, route.trunks});
            }
        }
    } else {
        R1_CHECK(node.kind == NodeKind::receive);
    }
    return activity;
}

Activity ReplayDag::joint_activity(std::uint32_t joint) const {
    const std::uint32_t groups = groups_per_program();
    const auto exchange_count = static_cast<std::uint32_t>(exchanges.size());
    if (joint >= exchange_count * groups) {
        return collectives[joint - exchange_count * groups].activity;
    }
    const ExchangeWork& work = exchanges[joint / groups];
    const std::uint32_t first = work.program * lanes_per_program + joint % groups * lanes_per_group;
    const ExchangeFlows& exchange = exchange_flows[work.flows + joint % groups];
    Activity activity;
    activity.delay = exchange.delay;
    activity.flows.reserve(exchange.flows.size());
    for (const PlaceFlow& flow : exchange.flows) {
        const auto end = [&](std::int32_t place) {
            if (place == PlaceFlow::kNobody) {
                return EndpointId();
            }
            const LaneLinks& lane = links[first + static_cast<std::uint32_t>(place)];
            return flow.over_nvlink ? lane.nvlink : lane.nic;
        };
        activity.flows.push_back({end(flow.from), end(flow.to), flow.bytes, flow.multiplicity,
                                  flow.rate_max, flow.trunks});
    }
    return activity;
}

void ReplayDag::for_each_activity(
    const std::function<void(LanePart, const Activity&)>& visit) const {
    for (std::uint32_t lane = 0; lane < lanes.size(); ++lane) {
        const ReplayProgram& program = programs[program_of(lane)];
        for (std::uint32_t i = 0; i < program.size(); ++i) {
            if (program[i].kind != NodeKind::exchange && program[i].kind != NodeKind::collective) {
                visit({lane, i}, activity(lane, program[i]));
            }
        }
    }
    for (std::uint32_t joint = 0; joint < joint_count(); ++joint) {
        std::vector<LanePart> parts;
        for_each_part(joint, [&](LanePart part) { parts.push_back(part); });
        const auto found = std::find_if(parts.begin(), parts.end(), [&](const LanePart& part) {
            return std::binary_search(shown.begin(), shown.end(), part.lane);
        });
        visit(found != parts.end() ? *found : parts.front(), joint_activity(joint));
    }
}

}  // namespace r1
