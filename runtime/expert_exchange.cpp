#include "runtime/expert_exchange.hpp"

#include <numeric>

#include "model/base/check.hpp"
#include "model/base/index.hpp"
#include "runtime/device_math.hpp"
#include "runtime/messages.hpp"

namespace r1 {

namespace {

using Rows = ExchangePlan::Rows;
using Buffer = Messages::Buffer;

// A message holds its rows payload by payload.
std::size_t row_bytes(std::span<const ExchangedRows> payloads) {
    return std::accumulate(
        payloads.begin(), payloads.end(), std::size_t{0},
        [](std::size_t sum, const ExchangedRows& payload) { return sum + payload.row_bytes; });
}

Buffer pack(const Device& device, std::span<const ExchangedRows> payloads, const Rows& which) {
    Buffer packed(device.memory(), which.size() * row_bytes(payloads));
    std::byte* to = packed.data();
    for (const ExchangedRows& payload : payloads) {
        gather_rows(device, payload.row_bytes, payload.from, which, to);
        to += which.size() * payload.row_bytes;
    }
    return packed;
}

void unpack(const Buffer& packed, std::span<const ExchangedRows> payloads, std::size_t first,
            std::size_t rows) {
    const std::byte* from = packed.data();
    for (const ExchangedRows& payload : payloads) {
        packed.memory().copy(payload.to + first * payload.row_bytes, from,
                             rows * payload.row_bytes);
        from += rows * payload.row_bytes;
    }
}

// The payloads as they lie in a message.
std::vector<ExchangedRows> inside(const Buffer& packed, std::span<const ExchangedRows> payloads,
                                  std::size_t rows) {
    std::vector<ExchangedRows> views;
    const std::byte* from = packed.data();
    for (const ExchangedRows& payload : payloads) {
        views.push_back({payload.row_bytes, from, nullptr});
        from += rows * payload.row_bytes;
    }
    return views;
}

}  // namespace

void ExpertExchange::dispatch(ExchangePlan& plan, std::vector<ExchangedRows> payloads,
                              const std::int32_t* indices, const float* weights,
                              std::uint64_t channel) const {
    const std::size_t slots = at(group_.slots);
    Memory& memory = device_.memory();
    DeviceArray<std::int32_t> experts_here(memory, at(plan.received) * slots);
    DeviceArray<float> shares_here(memory, experts_here.size());
    const auto carry = [&](const auto* from, auto& to) {
        payloads.push_back({slots * 4, reinterpret_cast<const std::byte*>(from),
                            reinterpret_cast<std::byte*>(to.data())});
    };
    carry(indices, experts_here);
    carry(weights, shares_here);
    plan.relay_to.assign(at(group_.nodes()), std::vector<Rows>(at(group_.ranks_per_node)));
    move(plan, payloads, channel, [&](int from_node, std::span<const ExchangedRows> relayed) {
        const std::size_t count = at(plan.relayed[at(from_node)]) * slots;
        const HostView view(
            memory, reinterpret_cast<const std::int32_t*>(relayed[relayed.size() - 2].from), count);
        const std::span<const std::int32_t> wanted = view.values();
        for (std::size_t i = 0; i < count; ++i) {
            R1_CHECK(wanted[i] >= 0 && wanted[i] < group_.experts);  // not if a peer has failed
            const auto member = static_cast<int>(wanted[i] / group_.local_experts());
            Rows& rows = plan.relay_to[at(from_node)][at(group_.place_of(member))];
            const auto token = static_cast<std::int32_t>(i / slots);
            if (group_.node_of(member) == node() && (rows.empty() || rows.back() != token)) {
                rows.push_back(token);
            }
        }
    });
    set_route(plan, HostView(experts_here).values(), HostView(shares_here).values());
}

void ExpertExchange::set_route(ExchangePlan& plan, std::span<const std::int32_t> experts,
                               std::span<const float> shares) const {
    const std::size_t slots = at(group_.slots);
    plan.route.clear();
    for (std::size_t first = 0; first < experts.size(); first += slots) {
        for (std::size_t i = first; i < first + slots; ++i) {
            const bool is_here = experts[i] / group_.local_experts() == group_.self;
            plan.route.push_back(is_here ? static_cast<float>(experts[i] % group_.local_experts())
                                         : -1.0F);
        }
        const std::span<const float> of_token = shares.subspan(first, slots);
        plan.route.insert(plan.route.end(), of_token.begin(), of_token.end());
    }
}

void ExpertExchange::dispatch(const ExchangePlan& plan, std::span<const ExchangedRows> payloads,
                              std::uint64_t channel) const {
    move(plan, payloads, channel, nullptr);
}

void ExpertExchange::move(const ExchangePlan& plan, std::span<const ExchangedRows> payloads,
                          std::uint64_t channel, const OnRelayed& relayed) const {
    const std::size_t size = row_bytes(payloads);
    const auto rows_from = [&](int member) {
        return at(plan.first_row[at(member) + 1] - plan.first_row[at(member)]);
    };
    const auto accept = [&](int member, const Buffer& packed) {
        unpack(packed, payloads, at(plan.first_row[at(member)]), rows_from(member));
    };
    Messages between(communicator_, channel, MessageKind::dispatch);
    std::vector<const Buffer*> to_relay(at(group_.nodes()), nullptr);
    for (int other = 0; other < group_.nodes(); ++other) {
        if (other != node()) {
            to_relay[at(other)] = &between.receive(rank(other, place()), device_.memory(),
                                                   at(plan.relayed[at(other)]) * size);
            between.send(rank(other, place()), pack(device_, payloads, plan.to_node[at(other)]));
        }
    }
    Messages within(communicator_, channel + 1, MessageKind::dispatch);
    std::vector<std::pair<int, const Buffer*>> arriving;
    for (int p = 0; p < group_.ranks_per_node; ++p) {
        const int member = group_.member(node(), p);
        if (p == place()) {
            accept(member, pack(device_, payloads, plan.to_member[at(member)]));
            continue;
        }
        arriving.emplace_back(
            member, &within.receive(rank(node(), p), device_.memory(), rows_from(member) * size));
        within.send(rank(node(), p), pack(device_, payloads, plan.to_member[at(member)]));
    }
    // Both before the next messages start: over NCCL a rank's messages leave in groups (see
    // nccl_communicator.hpp), and all ranks have to divide them alike, also those that none comes
    // to.
    between.wait();
    within.wait();
    // One node's tokens after the other's: a channel keeps the order of messages between two ranks.
    Messages forwarded(communicator_, channel + 2, MessageKind::dispatch);
    for (int other = 0; other < group_.nodes(); ++other) {
        if (other == node()) {
            continue;
        }
        const std::vector<ExchangedRows> views =
            inside(*to_relay[at(other)], payloads, at(plan.relayed[at(other)]));
        if (relayed) {
            relayed(other, views);
        }
        for (int p = 0; p < group_.ranks_per_node; ++p) {
            const int source = group_.member(other, p);
            Buffer packed = pack(device_, views, plan.relay_to[at(other)][at(p)]);
            if (p == place()) {
                accept(source, packed);
                continue;
            }
            arriving.emplace_back(source, &forwarded.receive(rank(node(), p), device_.memory(),
                                                             rows_from(source) * size));
            forwarded.send(rank(node(), p), std::move(packed));
        }
    }
    forwarded.wait();
    for (const auto& [member, packed] : arriving) {
        accept(member, *packed);
    }
}

}  // namespace r1
