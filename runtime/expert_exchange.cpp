#include "runtime/expert_exchange.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>

#include "model/base/check.hpp"

namespace r1 {

namespace {

using Rows = ExchangePlan::Rows;
using Buffer = std::vector<std::byte>;

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

// The hops of one exchange must not mix.
std::uint64_t hop(std::uint64_t channel, unsigned which) { return channel + which; }

// Messages under way, with the memory that they need until then.
class Messages {
public:
    Messages(Communicator& communicator, std::uint64_t channel, MessageKind kind)
        : communicator_(communicator), channel_(channel), kind_(kind) {}

    void send(int to, std::span<const std::byte> data) {
        if (!data.empty()) {
            requests_.push_back(communicator_.send(to, channel_, kind_, data));
        }
    }
    void send(int to, Buffer data) {
        kept_.push_back(std::make_unique<Buffer>(std::move(data)));
        send(to, std::span<const std::byte>(*kept_.back()));
    }
    void receive(int from, std::span<std::byte> data) {
        if (!data.empty()) {
            requests_.push_back(communicator_.receive(from, channel_, data));
        }
    }
    Buffer& receive(int from, std::size_t bytes) {
        kept_.push_back(std::make_unique<Buffer>(bytes));
        receive(from, std::span<std::byte>(*kept_.back()));
        return *kept_.back();
    }
    void wait() {
        for (const std::unique_ptr<Request>& request : requests_) {
            request->wait();
        }
        requests_.clear();
    }

private:
    Communicator& communicator_;
    std::uint64_t channel_;
    MessageKind kind_;
    std::vector<std::unique_ptr<Buffer>> kept_;
    std::vector<std::unique_ptr<Request>> requests_;
};

Buffer pack(const std::byte* rows, std::size_t row_bytes, const Rows& which) {
    Buffer packed(which.size() * row_bytes);
    for (std::size_t i = 0; i < which.size(); ++i) {
        std::memcpy(packed.data() + i * row_bytes, rows + at(which[i]) * row_bytes, row_bytes);
    }
    return packed;
}

// ---- plan ----

// A list of tokens for each rank of the group.
std::vector<Rows> tokens_by_member(const ExpertGroup& group,
                                   std::span<const std::int32_t> indices) {
    std::vector<Rows> lists(group.ranks.size());
    for (std::size_t i = 0; i < indices.size(); ++i) {
        const auto token = static_cast<std::int32_t>(i / at(group.slots));
        R1_CHECK(indices[i] >= 0 && indices[i] < group.experts);
        Rows& list = lists[at(indices[i] / group.local_experts())];
        if (list.empty() || list.back() != token) {
            list.push_back(token);
        }
    }
    return lists;
}

Rows joined(const Rows& a, const Rows& b) {
    Rows all;
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(all));
    return all;
}

// For each token of the list its slots: local expert of `member` or -1, then the weights.
std::vector<float> routes(const ExpertGroup& group, int member, const Rows& tokens,
                          std::span<const std::int32_t> indices, std::span<const float> weights) {
    std::vector<float> all;
    all.reserve(tokens.size() * at(2 * group.slots));
    const std::int64_t local = group.local_experts();
    for (const std::int32_t token : tokens) {
        const std::size_t first = at(token) * at(group.slots);
        for (std::size_t slot = first; slot < first + at(group.slots); ++slot) {
            const bool is_there = indices[slot] / local == member;
            all.push_back(is_there ? static_cast<float>(indices[slot] % local) : -1.0F);
        }
        for (std::size_t slot = first; slot < first + at(group.slots); ++slot) {
            all.push_back(weights[slot]);
        }
    }
    return all;
}

// What a source says to the rank of its place in another node: how many tokens come, and for each
// place there how many of them it gets, and which.
Rows relay_note(const ExpertGroup& group, int node, const ExchangePlan& plan) {
    Rows note = {static_cast<std::int32_t>(plan.to_node[at(node)].size())};
    for (int place = 0; place < group.ranks_per_node; ++place) {
        const Rows& tokens = plan.to_member[at(group.member(node, place))];
        note.push_back(static_cast<std::int32_t>(tokens.size()));
        const Rows& all = plan.to_node[at(node)];
        for (const std::int32_t token : tokens) {
            note.push_back(static_cast<std::int32_t>(
                std::lower_bound(all.begin(), all.end(), token) - all.begin()));
        }
    }
    return note;
}

// Sends each member `own[member]` and returns what each sent here: sizes first.
template <class T>
std::vector<std::vector<T>> swap_all(Communicator& communicator, const std::vector<int>& to,
                                     const std::vector<std::vector<T>>& own,
                                     std::uint64_t channel) {
    std::vector<std::int64_t> own_sizes;
    std::vector<std::int64_t> sizes(to.size());
    for (const std::vector<T>& each : own) {
        own_sizes.push_back(static_cast<std::int64_t>(each.size()));
    }
    Messages counts(communicator, hop(channel, 1), MessageKind::notify);
    for (std::size_t i = 0; i < to.size(); ++i) {
        counts.send(to[i], std::as_bytes(std::span(&own_sizes[i], 1)));
        counts.receive(to[i], std::as_writable_bytes(std::span(&sizes[i], 1)));
    }
    counts.wait();
    std::vector<std::vector<T>> got(to.size());
    Messages values(communicator, hop(channel, 2), MessageKind::notify);
    for (std::size_t i = 0; i < to.size(); ++i) {
        got[i].resize(at(sizes[i]));
        values.send(to[i], std::as_bytes(std::span(own[i])));
        values.receive(to[i], std::as_writable_bytes(std::span(got[i])));
    }
    values.wait();
    return got;
}

}  // namespace

std::int64_t ExchangePlan::copies_between_nodes(const ExpertGroup& group) const {
    std::int64_t copies = 0;
    for (int node = 0; node < group.nodes(); ++node) {
        if (node != group.node_of(group.self)) {
            copies += static_cast<std::int64_t>(to_node[at(node)].size());
        }
    }
    return copies;
}

std::int64_t ExchangePlan::copies_within_node(const ExpertGroup& group) const {
    std::int64_t copies = 0;
    const int own = group.node_of(group.self);
    for (int place = 0; place < group.ranks_per_node; ++place) {
        if (place == group.place_of(group.self)) {
            continue;
        }
        copies += static_cast<std::int64_t>(to_member[at(group.member(own, place))].size());
        for (int node = 0; node < group.nodes(); ++node) {
            copies +=
                node == own ? 0 : static_cast<std::int64_t>(relay_to[at(node)][at(place)].size());
        }
    }
    return copies;
}

ExchangePlan ExpertExchange::plan(std::span<const std::int32_t> indices,
                                  std::span<const float> weights, std::uint64_t channel) const {
    ExchangePlan plan;
    plan.tokens = static_cast<std::int64_t>(indices.size()) / group_.slots;
    plan.to_member = tokens_by_member(group_, indices);
    plan.to_node.resize(at(group_.nodes()));
    std::vector<std::vector<float>> own;
    for (int to = 0; to < group_.size(); ++to) {
        Rows& node_tokens = plan.to_node[at(group_.node_of(to))];
        node_tokens = joined(node_tokens, plan.to_member[at(to)]);
        own.push_back(routes(group_, to, plan.to_member[at(to)], indices, weights));
    }
    const auto got = swap_all(communicator_, group_.ranks, own, channel);
    const auto width = at(2 * group_.slots);
    plan.first_row.push_back(0);
    for (const std::vector<float>& from : got) {
        plan.route.insert(plan.route.end(), from.begin(), from.end());
        plan.first_row.push_back(static_cast<std::int64_t>(plan.route.size() / width));
    }
    plan.received = plan.first_row.back();
    for (std::size_t i = 0; i < plan.route.size(); ++i) {
        plan.rows += i % width < at(group_.slots) && plan.route[i] >= 0 ? 1 : 0;
    }
    std::vector<int> peers;
    std::vector<int> peer_nodes;
    std::vector<Rows> notes;
    for (int other = 0; other < group_.nodes(); ++other) {
        if (other != node()) {
            peers.push_back(group_.ranks[at(group_.member(other, place()))]);
            peer_nodes.push_back(other);
            notes.push_back(relay_note(group_, other, plan));
        }
    }
    const std::vector<Rows> relays = swap_all(communicator_, peers, notes, hop(channel, 4));
    plan.relayed.assign(at(group_.nodes()), 0);
    plan.relay_to.assign(at(group_.nodes()), std::vector<Rows>(at(group_.ranks_per_node)));
    for (std::size_t i = 0; i < relays.size(); ++i) {
        auto word = relays[i].begin();
        plan.relayed[at(peer_nodes[i])] = *word++;
        for (Rows& rows : plan.relay_to[at(peer_nodes[i])]) {
            const auto count = *word++;
            rows.assign(word, word + count);
            word += count;
        }
    }
    return plan;
}

void ExpertExchange::dispatch(const ExchangePlan& plan, ExchangedRows payload,
                              std::uint64_t channel) const {
    const std::size_t size = payload.row_bytes;
    const auto rank = [&](int of_node, int of_place) {
        return group_.ranks[at(group_.member(of_node, of_place))];
    };
    const auto received_from = [&](int member) {
        return std::span(payload.to + at(plan.first_row[at(member)]) * size,
                         at(plan.first_row[at(member) + 1] - plan.first_row[at(member)]) * size);
    };
    Messages first(communicator_, hop(channel, 1), MessageKind::dispatch);
    Messages second(communicator_, hop(channel, 2), MessageKind::dispatch);
    std::vector<Buffer*> relayed(at(group_.nodes()), nullptr);
    for (int other = 0; other < group_.nodes(); ++other) {
        if (other != node()) {
            relayed[at(other)] =
                &first.receive(rank(other, place()), at(plan.relayed[at(other)]) * size);
            first.send(rank(other, place()), pack(payload.from, size, plan.to_node[at(other)]));
        }
    }
    for (int p = 0; p < group_.ranks_per_node; ++p) {
        const int member = group_.member(node(), p);
        second.receive(group_.ranks[at(member)], received_from(member));
        second.send(group_.ranks[at(member)], pack(payload.from, size, plan.to_member[at(member)]));
    }
    first.wait();
    second.wait();
    // One node's tokens after the other's: a channel keeps the order of messages between two ranks.
    Messages last(communicator_, hop(channel, 3), MessageKind::dispatch);
    for (int other = 0; other < group_.nodes(); ++other) {
        for (int p = 0; other != node() && p < group_.ranks_per_node; ++p) {
            last.receive(rank(node(), p), received_from(group_.member(other, p)));
            last.send(rank(node(), p),
                      pack(relayed[at(other)]->data(), size, plan.relay_to[at(other)][at(p)]));
        }
    }
    last.wait();
}

namespace {

// Adds rows of `data` (packed, width values of dtype) to those rows of the float matrix.
void add_rows(const Buffer& data, DType dtype, std::int64_t width, const Rows& rows,
              std::vector<float>& sums) {
    const ConstMatrix matrix{data.data(), dtype, width};
    for (std::size_t i = 0; i < rows.size(); ++i) {
        for (std::int64_t column = 0; column < width; ++column) {
            sums[at(rows[i] * width + column)] +=
                load(matrix, static_cast<std::int64_t>(i), column);
        }
    }
}

Buffer stored(const std::vector<float>& values, DType dtype) {
    Buffer buffer(values.size() * at(static_cast<std::int64_t>(bits(dtype) / 8)));
    const Matrix matrix{buffer.data(), dtype, 1};
    for (std::size_t i = 0; i < values.size(); ++i) {
        store(matrix, static_cast<std::int64_t>(i), 0, values[i]);
    }
    return buffer;
}

}  // namespace

void ExpertExchange::combine(const ExchangePlan& plan, const ConstMatrix& x, const Matrix& y,
                             std::int64_t width, MessageKind kind, std::uint64_t channel) const {
    R1_CHECK(x.stride == width && y.stride == width);
    const std::size_t size = at(width * static_cast<std::int64_t>(bits(x.dtype) / 8));
    const auto rank = [&](int of_node, int of_place) {
        return group_.ranks[at(group_.member(of_node, of_place))];
    };
    const auto rows_of = [&](int member) {
        return std::span(
            static_cast<const std::byte*>(x.data) + at(plan.first_row[at(member)]) * size,
            at(plan.first_row[at(member) + 1] - plan.first_row[at(member)]) * size);
    };
    Messages inside(communicator_, hop(channel, 1), kind);
    Messages to_relay(communicator_, hop(channel, 2), kind);
    std::vector<Buffer*> direct;
    std::vector<std::vector<Buffer*>> parts(at(group_.nodes()));
    for (int p = 0; p < group_.ranks_per_node; ++p) {
        const int member = group_.member(node(), p);
        direct.push_back(
            &inside.receive(group_.ranks[at(member)], plan.to_member[at(member)].size() * size));
        inside.send(group_.ranks[at(member)], rows_of(member));
    }
    for (int other = 0; other < group_.nodes(); ++other) {
        for (int p = 0; other != node() && p < group_.ranks_per_node; ++p) {
            parts[at(other)].push_back(
                &to_relay.receive(rank(node(), p), plan.relay_to[at(other)][at(p)].size() * size));
            to_relay.send(rank(node(), p), rows_of(group_.member(other, p)));
        }
    }
    to_relay.wait();
    Messages back(communicator_, hop(channel, 3), kind);
    std::vector<Buffer*> from_node(at(group_.nodes()), nullptr);
    for (int other = 0; other < group_.nodes(); ++other) {
        if (other == node()) {
            continue;
        }
        from_node[at(other)] =
            &back.receive(rank(other, place()), plan.to_node[at(other)].size() * size);
        std::vector<float> sums(at(plan.relayed[at(other)] * width));
        for (int p = 0; p < group_.ranks_per_node; ++p) {
            add_rows(*parts[at(other)][at(p)], x.dtype, width, plan.relay_to[at(other)][at(p)],
                     sums);
        }
        back.send(rank(other, place()), stored(sums, x.dtype));
    }
    inside.wait();
    back.wait();
    std::vector<float> sums(at(plan.tokens * width));
    for (int from = 0; from < group_.nodes(); ++from) {
        for (int p = 0; from == node() && p < group_.ranks_per_node; ++p) {
            add_rows(*direct[at(p)], x.dtype, width, plan.to_member[at(group_.member(from, p))],
                     sums);
        }
        if (from != node()) {
            add_rows(*from_node[at(from)], x.dtype, width, plan.to_node[at(from)], sums);
        }
    }
    for (std::int64_t i = 0; i < plan.tokens * width; ++i) {
        store(Matrix{y.data, y.dtype, 1}, i, 0, sums[at(i)]);
    }
}

}  // namespace r1
