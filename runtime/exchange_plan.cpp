// The plan of an exchange (declared in expert_exchange.hpp): who gets which tokens.
#include <algorithm>
#include <cstring>
#include <iterator>

#include "model/base/check.hpp"
#include "model/base/index.hpp"
#include "runtime/expert_exchange.hpp"
#include "runtime/messages.hpp"

namespace r1 {

namespace {

using Rows = ExchangePlan::Rows;

Rows joined(const Rows& a, const Rows& b) {
    Rows all;
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(all));
    return all;
}

// What each member hears from this one: rows for each of its experts, tokens for it, and tokens
// that it has to forward.
std::vector<Rows> notes(const ExpertGroup& group, const ExchangePlan& plan) {
    std::vector<Rows> all;
    for (int to = 0; to < group.size(); ++to) {
        const int node = group.node_of(to);
        const bool relays =
            node != group.node_of(group.self) && group.place_of(to) == group.place_of(group.self);
        const auto first = plan.expert_rows.begin() + to * group.local_experts();
        Rows& note = all.emplace_back(first, first + group.local_experts());
        note.push_back(static_cast<std::int32_t>(plan.to_member[at(to)].size()));
        note.push_back(relays ? static_cast<std::int32_t>(plan.to_node[at(node)].size()) : 0);
    }
    return all;
}

}  // namespace

ExchangePlan ExpertExchange::plan(std::span<const std::int32_t> indices) const {
    ExchangePlan plan;
    plan.tokens = static_cast<std::int64_t>(indices.size()) / group_.slots;
    plan.to_member.resize(at(group_.size()));
    plan.to_node.resize(at(group_.nodes()));
    plan.expert_rows.resize(at(group_.experts));
    for (std::size_t i = 0; i < indices.size(); ++i) {
        R1_CHECK(indices[i] >= 0 && indices[i] < group_.experts);
        ++plan.expert_rows[at(indices[i])];
        const auto token = static_cast<std::int32_t>(i / at(group_.slots));
        Rows& list = plan.to_member[at(indices[i] / group_.local_experts())];
        if (list.empty() || list.back() != token) {
            list.push_back(token);
        }
    }
    for (int to = 0; to < group_.size(); ++to) {
        Rows& tokens = plan.to_node[at(group_.node_of(to))];
        tokens = joined(tokens, plan.to_member[at(to)]);
    }
    return plan;
}

void ExpertExchange::notify(ExchangePlan& plan, std::uint64_t channel) const {
    const std::vector<Rows> own = notes(group_, plan);
    const std::size_t bytes = own.front().size() * sizeof(std::int32_t);
    Messages messages(communicator_, channel, MessageKind::notify);
    std::vector<const Messages::Buffer*> heard(own.size(), nullptr);
    for (int other = 0; other < group_.size(); ++other) {
        if (other != group_.self) {
            const std::span<const std::byte> note = std::as_bytes(std::span(own[at(other)]));
            messages.send(group_.ranks[at(other)], Messages::Buffer(host_memory(), note));
            heard[at(other)] = &messages.receive(group_.ranks[at(other)], host_memory(), bytes);
        }
    }
    messages.wait();
    plan.rows = 0;
    plan.first_row = {0};
    plan.relayed.assign(at(group_.nodes()), 0);
    for (int from = 0; from < group_.size(); ++from) {
        Rows note = own[at(group_.self)];
        if (from != group_.self) {
            std::memcpy(note.data(), heard[at(from)]->data(), bytes);
        }
        const std::size_t local = note.size() - 2;
        for (std::size_t expert = 0; expert < local; ++expert) {
            plan.rows += note[expert];
        }
        plan.first_row.push_back(plan.first_row.back() + note[local]);
        plan.relayed[at(group_.node_of(from))] += note[local + 1];
    }
    plan.received = plan.first_row.back();
}

}  // namespace r1
