#include "runtime/communicator.hpp"

#include <fmt/format.h>

#include "model/base/check.hpp"

namespace r1 {

Communicator::Communicator(int rank, int ranks, int ranks_per_node)
    : rank_(rank), ranks_(ranks), ranks_per_node_(ranks_per_node) {
    R1_CHECK(ranks_per_node > 0);
    R1_CHECK(rank >= 0 && rank < ranks);
}

std::unique_ptr<Request> Communicator::send(int to, std::uint64_t channel, MessageKind kind,
                                            std::span<const std::byte> data) {
    R1_CHECK(to >= 0 && to < ranks_);
    auto request = start_send(to, channel, kind, data);
    if (to != rank_) {
        Counter& counter = counters_[static_cast<std::size_t>(kind)];
        auto& link = node_of(to) == node_of(rank_) ? counter.nvlink : counter.infiniband;
        link.fetch_add(data.size(), std::memory_order_relaxed);
    }
    return request;
}

std::unique_ptr<Request> Communicator::receive(int from, std::uint64_t channel, MessageKind kind,
                                               std::span<std::byte> data) {
    R1_CHECK(from >= 0 && from < ranks_);
    return start_receive(from, channel, kind, data);
}

Traffic Communicator::traffic() const {
    Traffic traffic;
    for (std::size_t kind = 0; kind < kMessageKinds; ++kind) {
        traffic.by_kind[kind] = {counters_[kind].nvlink.load(std::memory_order_relaxed),
                                 counters_[kind].infiniband.load(std::memory_order_relaxed)};
    }
    return traffic;
}

void Communicator::reset_traffic() {
    for (Counter& counter : counters_) {
        counter.nvlink.store(0, std::memory_order_relaxed);
        counter.infiniband.store(0, std::memory_order_relaxed);
    }
}

CommunicatorError size_mismatch(int from, std::uint64_t channel, std::size_t expected,
                                const std::string& sent) {
    return CommunicatorError(
        fmt::format("receive from rank {} on channel {}: {} bytes expected, {}", from, channel,
                    expected, sent));
}

}  // namespace r1
