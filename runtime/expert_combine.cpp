// The way back of an exchange (declared in expert_exchange.hpp).
#include "model/base/check.hpp"
#include "model/base/index.hpp"
#include "runtime/device_math.hpp"
#include "runtime/expert_exchange.hpp"
#include "runtime/messages.hpp"

namespace r1 {

namespace {

using Rows = ExchangePlan::Rows;
using Buffer = Messages::Buffer;

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
Buffer pack(Memory& memory, std::span<const CombinedRows> payloads, std::int64_t begin,
            std::int64_t end) {
    Buffer packed(memory, at(end - begin) * row_bytes(payloads));
    std::byte* to = packed.data();
    for (const CombinedRows& payload : payloads) {
        const auto* x = static_cast<const std::byte*>(payload.x.data);
        const std::size_t size = row_bytes(payload);
        memory.copy(to, x + at(begin) * size, at(end - begin) * size);
        to += at(end - begin) * size;
    }
    return packed;
}

// Sums of messages, row by row, for each payload.
class Sums {
public:
    Sums(const Device& device, std::span<const CombinedRows> payloads, std::int64_t rows)
        : device_(device), payloads_(payloads) {
        for (const CombinedRows& payload : payloads) {
            values_.emplace_back(device.memory(), at(rows * payload.width)).zero();
        }
    }

    // The i-th row of the message is added to rows[i].
    void add(const Buffer& packed, const Rows& rows) {
        const std::byte* from = packed.data();
        for (std::size_t p = 0; p < payloads_.size(); ++p) {
            const std::int64_t width = payloads_[p].width;
            add_rows(device_, width, {from, payloads_[p].x.dtype, width}, rows, values_[p].data());
            from += rows.size() * row_bytes(payloads_[p]);
        }
    }

    // As a message to the next rank.
    [[nodiscard]] Buffer packed() const {
        std::size_t size = 0;
        for (std::size_t p = 0; p < payloads_.size(); ++p) {
            size += bytes_of(p);
        }
        Buffer all(device_.memory(), size);
        std::byte* to = all.data();
        for (std::size_t p = 0; p < payloads_.size(); ++p) {
            write(p, to, payloads_[p].x.dtype);
            to += bytes_of(p);
        }
        return all;
    }
    void write_outputs() const {
        for (std::size_t p = 0; p < payloads_.size(); ++p) {
            write(p, payloads_[p].y.data, payloads_[p].y.dtype);
        }
    }

private:
    [[nodiscard]] std::size_t bytes_of(std::size_t payload) const {
        return values_[payload].size() *
               static_cast<std::size_t>(bits(payloads_[payload].x.dtype) / 8);
    }
    // As one row of them all.
    void write(std::size_t payload, void* to, DType dtype) const {
        const auto count = static_cast<std::int64_t>(values_[payload].size());
        convert(device_, 1, count, {values_[payload].data(), DType::f32, count},
                {to, dtype, count});
    }

    const Device& device_;
    std::span<const CombinedRows> payloads_;
    std::vector<DeviceArray<float>> values_;
};

}  // namespace

void ExpertExchange::combine(const ExchangePlan& plan, std::span<const CombinedRows> payloads,
                             std::uint64_t channel) const {
    for (const CombinedRows& payload : payloads) {
        R1_CHECK(payload.x.stride == payload.width && payload.y.stride == payload.width);
    }
    const std::size_t size = row_bytes(payloads);
    const auto rows_of = [&](int member) {
        return pack(device_.memory(), payloads, plan.first_row[at(member)],
                    plan.first_row[at(member) + 1]);
    };
    // No message: this rank's own rows.
    const auto add_part = [&](Sums& sums, const Buffer* message, int member, const Rows& rows) {
        message != nullptr ? sums.add(*message, rows) : sums.add(rows_of(member), rows);
    };
    Messages direct(communicator_, channel, MessageKind::combine);
    Messages to_relay(communicator_, channel + 1, MessageKind::combine);
    std::vector<const Buffer*> from_member(at(group_.size()), nullptr);  // of this node
    std::vector<std::vector<const Buffer*>> parts(at(group_.nodes()));   // by place
    for (int p = 0; p < group_.ranks_per_node; ++p) {
        const int member = group_.member(node(), p);
        if (p != place()) {
            from_member[at(member)] = &direct.receive(rank(node(), p), device_.memory(),
                                                      plan.to_member[at(member)].size() * size);
            direct.send(rank(node(), p), rows_of(member));
        }
        for (int other = 0; other < group_.nodes(); ++other) {
            const bool is_relayed = other != node() && p != place();
            parts[at(other)].push_back(
                is_relayed ? &to_relay.receive(rank(node(), p), device_.memory(),
                                               plan.relay_to[at(other)][at(p)].size() * size)
                           : nullptr);
            if (is_relayed) {
                to_relay.send(rank(node(), p), rows_of(group_.member(other, p)));
            }
        }
    }
    direct.wait();  // with them, as within with between in ExpertExchange::move()
    to_relay.wait();
    Messages back(communicator_, channel + 2, MessageKind::combine);
    std::vector<const Buffer*> from_node(at(group_.nodes()), nullptr);
    for (int other = 0; other < group_.nodes(); ++other) {
        if (other == node()) {
            continue;
        }
        from_node[at(other)] = &back.receive(rank(other, place()), device_.memory(),
                                             plan.to_node[at(other)].size() * size);
        Sums sums(device_, payloads, plan.relayed[at(other)]);
        for (int p = 0; p < group_.ranks_per_node; ++p) {
            add_part(sums, parts[at(other)][at(p)], group_.member(other, p),
                     plan.relay_to[at(other)][at(p)]);
        }
        back.send(rank(other, place()), sums.packed());
    }
    back.wait();
    Sums sums(device_, payloads, plan.tokens);
    for (int from = 0; from < group_.nodes(); ++from) {
        if (from != node()) {
            sums.add(*from_node[at(from)], plan.to_node[at(from)]);
            continue;
        }
        for (int p = 0; p < group_.ranks_per_node; ++p) {
            const int member = group_.member(from, p);
            add_part(sums, from_member[at(member)], member, plan.to_member[at(member)]);
        }
    }
    sums.write_outputs();
}

}  // namespace r1
