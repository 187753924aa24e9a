// The way back of an exchange (declared in expert_exchange.hpp).
#include <algorithm>
#include <cstring>

#include "kernels/cpu/rows.hpp"
#include "model/base/check.hpp"
#include "model/base/index.hpp"
#include "runtime/expert_exchange.hpp"
#include "runtime/messages.hpp"

namespace r1 {

namespace {

using Rows = ExchangePlan::Rows;
using Buffer = std::vector<std::byte>;

std::size_t row_bytes(const CombinedRows& payload) {
    return at(payload.width * static_cast<std::int64_t>(bits(payload.x.dtype) / 8));
}

std::size_t row_bytes(std::span<const CombinedRows> payloads) {
    std::size_t sum = 0;
    for (const CombinedRows& payload : payloads) {
        sum += row_bytes(payload);
    }
    return sum;
}

// Consecutive rows of x, payload by payload.
Buffer pack(std::span<const CombinedRows> payloads, std::int64_t begin, std::int64_t end) {
    Buffer packed;
    for (const CombinedRows& payload : payloads) {
        const auto* x = static_cast<const std::byte*>(payload.x.data);
        const std::size_t size = row_bytes(payload);
        packed.insert(packed.end(), x + at(begin) * size, x + at(end) * size);
    }
    return packed;
}

// Sums of messages, row by row, for each payload.
class Sums {
public:
    Sums(std::span<const CombinedRows> payloads, std::int64_t rows) : payloads_(payloads) {
        for (const CombinedRows& payload : payloads) {
            values_.emplace_back(at(rows * payload.width));
        }
    }

    // The i-th row of the message is added to rows[i].
    void add(const Buffer& packed, const Rows& rows) {
        const std::byte* from = packed.data();
        for (std::size_t p = 0; p < payloads_.size(); ++p) {
            const std::int64_t width = payloads_[p].width;
            const ConstMatrix matrix{from, payloads_[p].x.dtype, width};
            for (std::size_t i = 0; i < rows.size(); ++i) {
                float* sum = values_[p].data() + at(rows[i] * width);
                cpu::for_pieces(width, [&](std::int64_t column, std::int64_t count) {
                    cpu::Piece piece;
                    cpu::load_row(matrix, static_cast<std::int64_t>(i), column, count,
                                  piece.data());
                    for (std::int64_t c = 0; c < count; ++c) {
                        sum[column + c] += piece[at(c)];
                    }
                });
            }
            from += rows.size() * row_bytes(payloads_[p]);
        }
    }

    // As a message to the next rank.
    [[nodiscard]] Buffer packed() const {
        Buffer all;
        for (std::size_t p = 0; p < payloads_.size(); ++p) {
            const DType dtype = payloads_[p].x.dtype;
            const std::size_t begin = all.size();
            all.resize(begin + values_[p].size() * static_cast<std::size_t>(bits(dtype)) / 8);
            write(p, all.data() + begin, dtype);
        }
        return all;
    }
    void write_outputs() const {
        for (std::size_t p = 0; p < payloads_.size(); ++p) {
            write(p, payloads_[p].y.data, payloads_[p].y.dtype);
        }
    }

private:
    // As one row of them all.
    void write(std::size_t payload, void* to, DType dtype) const {
        const auto count = static_cast<std::int64_t>(values_[payload].size());
        cpu::store_row({to, dtype, count}, 0, 0, count, values_[payload].data());
    }

    std::span<const CombinedRows> payloads_;
    std::vector<std::vector<float>> values_;
};

}  // namespace

void ExpertExchange::combine(const ExchangePlan& plan, std::span<const CombinedRows> payloads,
                             std::uint64_t channel) const {
    for (const CombinedRows& payload : payloads) {
        R1_CHECK(payload.x.stride == payload.width && payload.y.stride == payload.width);
    }
    const std::size_t size = row_bytes(payloads);
    const auto rows_of = [&](int member) {
        return pack(payloads, plan.first_row[at(member)], plan.first_row[at(member) + 1]);
    };
    Messages direct(communicator_, channel, MessageKind::combine);
    Messages to_relay(communicator_, channel + 1, MessageKind::combine);
    std::vector<const Buffer*> from_member(at(group_.size()), nullptr);  // of this node
    std::vector<std::vector<const Buffer*>> parts(at(group_.nodes()));   // by place
    for (int p = 0; p < group_.ranks_per_node; ++p) {
        const int member = group_.member(node(), p);
        if (p != place()) {
            from_member[at(member)] =
                &direct.receive(rank(node(), p), plan.to_member[at(member)].size() * size);
            direct.send(rank(node(), p), rows_of(member));
        }
        for (int other = 0; other < group_.nodes(); ++other) {
            const bool is_relayed = other != node() && p != place();
            parts[at(other)].push_back(
                is_relayed ? &to_relay.receive(rank(node(), p),
                                               plan.relay_to[at(other)][at(p)].size() * size)
                           : nullptr);
            if (is_relayed) {
                to_relay.send(rank(node(), p), rows_of(group_.member(other, p)));
            }
        }
    }
    to_relay.wait();
    Messages back(communicator_, channel + 2, MessageKind::combine);
    std::vector<const Buffer*> from_node(at(group_.nodes()), nullptr);
    for (int other = 0; other < group_.nodes(); ++other) {
        if (other == node()) {
            continue;
        }
        from_node[at(other)] =
            &back.receive(rank(other, place()), plan.to_node[at(other)].size() * size);
        Sums sums(payloads, plan.relayed[at(other)]);
        for (int p = 0; p < group_.ranks_per_node; ++p) {
            const Buffer* part = parts[at(other)][at(p)];
            sums.add(part == nullptr ? rows_of(group_.member(other, p)) : *part,
                     plan.relay_to[at(other)][at(p)]);
        }
        back.send(rank(other, place()), sums.packed());
    }
    direct.wait();
    back.wait();
    Sums sums(payloads, plan.tokens);
    for (int from = 0; from < group_.nodes(); ++from) {
        if (from != node()) {
            sums.add(*from_node[at(from)], plan.to_node[at(from)]);
            continue;
        }
        for (int p = 0; p < group_.ranks_per_node; ++p) {
            const int member = group_.member(from, p);
            sums.add(p == place() ? rows_of(member) : *from_member[at(member)],
                     plan.to_member[at(member)]);
        }
    }
    sums.write_outputs();
}

}  // namespace r1
