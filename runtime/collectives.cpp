#include "runtime/collectives.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>

#include "model/base/check.hpp"
#include "runtime/device_math.hpp"

namespace r1 {

namespace {

// Floats of each other rank that a reduction holds at a time: large enough for full bandwidth,
// small enough that the buffer does not grow with the data.
constexpr std::size_t kReduceChunk = 1 << 16;

// The messages of one collective between the calling rank and the others, named by their place in
// the group. Messages without bytes are sent too: ranks that disagree on sizes get an error instead
// of waiting for ever. Buffers must outlive it.
class Exchange {
public:
    explicit Exchange(const CollectiveGroup& group) : group_(group) {
        const auto& ranks = group.ranks;
        R1_CHECK(std::adjacent_find(ranks.begin(), ranks.end(), std::greater_equal<>()) ==
                 ranks.end());
        const auto own = std::find(ranks.begin(), ranks.end(), group.communicator.rank());
        R1_CHECK(own != ranks.end());
        own_ = static_cast<std::size_t>(own - ranks.begin());
    }

    [[nodiscard]] std::size_t own() const { return own_; }
    [[nodiscard]] std::size_t ranks() const { return group_.ranks.size(); }

    void send(std::size_t to, std::span<const std::byte> data) {
        requests_.push_back(
            group_.communicator.send(group_.ranks[to], group_.channel, group_.kind, data));
    }
    void receive(std::size_t from, std::span<std::byte> data) {
        requests_.push_back(
            group_.communicator.receive(group_.ranks[from], group_.channel, group_.kind, data));
    }

    void wait() {
        for (const auto& request : requests_) request->wait();
        requests_.clear();
    }

private:
    const CollectiveGroup& group_;
    std::size_t own_ = 0;
    std::vector<std::unique_ptr<Request>> requests_;
};

Memory& memory_of(const CollectiveGroup& group) {
    return group.device != nullptr ? group.device->memory() : host_memory();
}

void add_terms(const CollectiveGroup& group, std::span<float> sum, std::span<const float> terms) {
    if (group.device != nullptr) {
        add(*group.device, sum.data(), terms.data(), sum.size());
    } else {
        std::transform(sum.begin(), sum.end(), terms.begin(), sum.begin(), std::plus<>());
    }
}

void copy_floats(const CollectiveGroup& group, std::span<const float> from, std::span<float> to) {
    memory_of(group).copy(to.data(), from.data(), from.size_bytes());
}

// Adds up the own part of `data` over the ranks, chunk after chunk.
void reduce_own_part(const CollectiveGroup& group, std::span<const float> data,
                     std::span<float> sum) {
    Exchange exchange(group);
    const std::vector<Part> all = parts(data.size(), exchange.ranks());
    const Part& own = all[exchange.own()];
    R1_CHECK(sum.size() == own.count);
    const std::size_t stride = std::min(kReduceChunk, own.count);
    DeviceArray<float> buffer(memory_of(group), exchange.ranks() * stride);
    // The first part is the longest.
    for (std::size_t begin = 0; begin < all[0].count; begin += kReduceChunk) {
        const auto chunk_of = [&](const Part& part) {
            const std::size_t skip = std::min(begin, part.count);
            return data.subspan(part.begin + skip, std::min(kReduceChunk, part.count - skip));
        };
        const std::span<const float> mine = chunk_of(own);
        const auto from = [&](std::size_t rank) {
            return buffer.span().subspan(rank * stride, mine.size());
        };
        for (std::size_t rank = 0; rank < exchange.ranks(); ++rank) {
            if (rank == exchange.own()) continue;
            exchange.receive(rank, std::as_writable_bytes(from(rank)));
            exchange.send(rank, std::as_bytes(chunk_of(all[rank])));
        }
        copy_floats(group, mine, from(exchange.own()));
        exchange.wait();
        const std::span<float> total = from(0);
        for (std::size_t rank = 1; rank < exchange.ranks(); ++rank) {
            add_terms(group, total, from(rank));
        }
        copy_floats(group, total, sum.subspan(std::min(begin, own.count)));
    }
}

// Both may be the same memory.
void copy_bytes(const CollectiveGroup& group, std::span<const std::byte> from,
                std::span<std::byte> to) {
    R1_CHECK(from.size() == to.size());
    memory_of(group).copy(to.data(), from.data(), from.size());
}

std::size_t sum(std::span<const std::size_t> counts) {
    return std::accumulate(counts.begin(), counts.end(), std::size_t{0});
}

}  // namespace

std::vector<Part> parts(std::size_t count, std::size_t ranks) {
    R1_CHECK(ranks > 0);
    std::vector<Part> parts(ranks);
    std::size_t begin = 0;
    for (std::size_t i = 0; i < ranks; ++i) {
        parts[i] = {begin, count / ranks + (i < count % ranks ? 1 : 0)};
        begin += parts[i].count;
    }
    return parts;
}

// Dissemination: after the round at distance d, a rank has heard, directly or not, from the 2d - 1
// before it.
void barrier(const CollectiveGroup& group) {
    Exchange exchange(group);
    const std::size_t ranks = exchange.ranks();
    for (std::size_t distance = 1; distance < ranks; distance *= 2) {
        exchange.send((exchange.own() + distance) % ranks, {});
        exchange.receive((exchange.own() + ranks - distance) % ranks, {});
        exchange.wait();
    }
}

void all_reduce(const CollectiveGroup& group, std::span<float> data) {
    const std::vector<Part> all = parts(data.size(), group.ranks.size());
    const Part& own = all[Exchange(group).own()];
    reduce_own_part(group, data, data.subspan(own.begin, own.count));
    std::vector<std::size_t> counts;
    for (const Part& part : all) counts.push_back(part.count * sizeof(float));
    all_gather_v(group, std::as_bytes(data.subspan(own.begin, own.count)),
                 std::as_writable_bytes(data), counts);
}

void reduce_scatter(const CollectiveGroup& group, std::span<const float> data,
                    std::span<float> part) {
    reduce_own_part(group, data, part);
}

void all_gather(const CollectiveGroup& group, std::span<const std::byte> mine,
                std::span<std::byte> all) {
    all_gather_v(group, mine, all, std::vector<std::size_t>(group.ranks.size(), mine.size()));
}

void all_gather_v(const CollectiveGroup& group, std::span<const std::byte> mine,
                  std::span<std::byte> all, std::span<const std::size_t> counts) {
    Exchange exchange(group);
    R1_CHECK(counts.size() == exchange.ranks() && sum(counts) == all.size());
    R1_CHECK(mine.size() == counts[exchange.own()]);
    std::size_t begin = 0;
    for (std::size_t rank = 0; rank < exchange.ranks(); ++rank) {
        const std::span<std::byte> place = all.subspan(begin, counts[rank]);
        begin += counts[rank];
        if (rank == exchange.own()) {
            copy_bytes(group, mine, place);
        } else {
            exchange.receive(rank, place);
            exchange.send(rank, mine);
        }
    }
    exchange.wait();
}

void all_to_all_v(const CollectiveGroup& group, std::span<const std::byte> send,
                  std::span<const std::size_t> send_counts, std::span<std::byte> received,
                  std::span<const std::size_t> receive_counts) {
    Exchange exchange(group);
    R1_CHECK(send_counts.size() == exchange.ranks() && sum(send_counts) == send.size());
    R1_CHECK(receive_counts.size() == exchange.ranks() && sum(receive_counts) == received.size());
    std::size_t send_begin = 0;
    std::size_t receive_begin = 0;
    for (std::size_t rank = 0; rank < exchange.ranks(); ++rank) {
        const auto out = send.subspan(send_begin, send_counts[rank]);
        const auto in = received.subspan(receive_begin, receive_counts[rank]);
        send_begin += out.size();
        receive_begin += in.size();
        if (rank == exchange.own()) {
            copy_bytes(group, out, in);
        } else {
            exchange.receive(rank, in);
            exchange.send(rank, out);
        }
    }
    exchange.wait();
}

}  // namespace r1
