// What lanes do at nodes that communicate (declared in lowering.hpp).
#include "model/base/index.hpp"
#include "sim/lowering.hpp"

namespace r1 {

std::uint32_t CommunicationWork::send(std::int32_t from, std::int32_t to, const CommOp& comm) {
    SendWork work;
    // Else the next stage is on the same rank, or the message is left out.
    const Without& without = input_.replay.without;
    if (from != to && !without.pipeline_messages && !without.network) {
        work.bytes = Bytes(comm.payload_bytes.value(input_.symbols));
        work.routes = routes_between(from, to);
    }
    dag_.sends.push_back(work);
    return static_cast<std::uint32_t>(dag_.sends.size() - 1);
}

std::uint32_t CommunicationWork::routes_between(std::int32_t from, std::int32_t to) {
    const auto [entry, is_new] =
        routes_.try_emplace(std::pair(from, to), static_cast<std::uint32_t>(dag_.routes.size()));
    if (is_new) {
        std::vector<Route>& routes = dag_.routes.emplace_back();
        for (std::int32_t place = 0; place < lanes_.per_program(); ++place) {
            routes.push_back(network_.route(from * lanes_.per_program() + place,
                                            to * lanes_.per_program() + place));
        }
    }
    return entry->second;
}

std::uint32_t CommunicationWork::exchange(std::int32_t program, const Op& op,
                                          const Context& context, bool overlapped,
                                          std::uint32_t node) {
    dag_.exchanges.push_back(
        {static_cast<std::uint32_t>(program), node, flows_of(program, op, context, overlapped)});
    return static_cast<std::uint32_t>(dag_.exchanges.size() - 1);
}

// Those of the program's first group; the others' follow.
std::uint32_t CommunicationWork::flows_of(std::int32_t program, const Op& op,
                                          const Context& context, bool overlapped) {
    const CommOp& comm = *op.comm();
    const bool differ = loads_.differ();
    const ExchangeKey key{program,
                          comm.collective,
                          op.phase != Phase::forward,
                          overlapped,
                          comm.payload_bytes.constant,
                          comm.metadata_bytes.constant,
                          comm.tokens,
                          differ ? loads_.index(context, op.layer, 0) : 0};
    const auto [entry, is_new] =
        exchange_flows_.try_emplace(key, static_cast<std::uint32_t>(dag_.exchange_flows.size()));
    if (is_new) {
        const auto groups = static_cast<std::int32_t>(dag_.groups_per_program());
        if (input_.replay.without.network) {
            dag_.exchange_flows.resize(dag_.exchange_flows.size() + at(groups));
            return entry->second;
        }
        for (std::int32_t group = 0; group < groups; ++group) {
            const ExpertLoads* loads =
                differ ? &loads_.loads(loads_.index(context, op.layer, group)) : nullptr;
            dag_.exchange_flows.push_back(exchange_flows(
                input_, lanes_, network_, op,
                program * lanes_.per_program() + group * lanes_.per_group(), overlapped, loads));
        }
    }
    return entry->second;
}

std::uint32_t CommunicationWork::collective(std::int32_t program, std::int32_t stage,
                                            const CommOp& comm, std::uint32_t node) {
    const std::int32_t group = is_staged(comm.group) ? stage : -1;
    const int ordinal = collectives_seen_[{comm.group, group}]++;
    const BytesPerSecond share = network_.has_trunks()
                                     ? BytesPerSecond(0)
                                     : ring_share(input_, network_.trunks(), comm, stage, program);
    std::vector<std::uint32_t> by_place;
    for (std::int32_t place = 0; place < lanes_.per_program(); ++place) {
        const std::int32_t lane = program * lanes_.per_program() + place;
        const RankId first = input_.graph.group(comm.group, lanes_.rank(lane), stage).front();
        const auto [entry, is_new] =
            collectives_.try_emplace({comm.group, group, ordinal, first.value},
                                     static_cast<std::uint32_t>(dag_.collectives.size()));
        if (is_new) {
            dag_.collectives.emplace_back();
        }
        CollectiveWork& work = dag_.collectives[entry->second];
        work.parts.push_back({static_cast<std::uint32_t>(lane), node});
        if (!input_.replay.without.network) {
            add_collective_flows(input_, lanes_, network_, comm, stage, lane, share, work.activity);
        }
        by_place.push_back(entry->second);
    }
    dag_.collective_of.push_back(std::move(by_place));
    return static_cast<std::uint32_t>(dag_.collective_of.size() - 1);
}

}  // namespace r1
