// Collective operations of a group of ranks, made of sends and receives only, so that every
// transport gives the same bytes. All ranks of the group call the same function with the same
// channel; calls of one rank may run at once on different channels, and follow each other on one.
//
// Ranks exchange directly, without rings or trees. Throws CommunicatorError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/communicator.hpp"

namespace r1 {

class Device;

struct CollectiveGroup {
    Communicator& communicator;
    std::span<const int> ranks;  // ascending, the calling rank among them
    std::uint64_t channel = 0;   // nothing else uses it between these ranks meanwhile
    MessageKind kind = MessageKind::collective;
    const Device* device = nullptr;  // whose memory the data are in, and who adds; null: the host
};

// A run of elements.
struct Part {
    std::size_t begin = 0;
    std::size_t count = 0;

    bool operator==(const Part&) const = default;
};

// `count` elements cut for `ranks` ranks: the first count % ranks parts hold one more.
std::vector<Part> parts(std::size_t count, std::size_t ranks);

// Returns when every rank of the group has called it. Rounds of messages without bytes.
void barrier(const CollectiveGroup& group);

// Sums over the ranks: float, added in the order of the ranks, so always the same bytes. Each rank
// sends 2 (ranks - 1) / ranks of the data.
void all_reduce(const CollectiveGroup& group, std::span<float> data);

// The same sums, of which the i-th rank of the group gets the i-th of parts(data.size(), ranks).
// `part` may lie in `data` at that place.
void reduce_scatter(const CollectiveGroup& group, std::span<const float> data,
                    std::span<float> part);

// Every rank's bytes, one after the other. `mine` may lie in `all` at its place. Without counts,
// every rank gives the same number of bytes.
void all_gather(const CollectiveGroup& group, std::span<const std::byte> mine,
                std::span<std::byte> all);
void all_gather_v(const CollectiveGroup& group, std::span<const std::byte> mine,
                  std::span<std::byte> all, std::span<const std::size_t> counts);

// `send` holds the bytes for each rank of the group, one after the other, `received` those from
// each. Counts are bytes, by rank of the group; what a rank expects is what the other sends.
void all_to_all_v(const CollectiveGroup& group, std::span<const std::byte> send,
                  std::span<const std::size_t> send_counts, std::span<std::byte> received,
                  std::span<const std::size_t> receive_counts);

}  // namespace r1
