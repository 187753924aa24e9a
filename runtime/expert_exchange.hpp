// Node-limited two-hop exchange of tokens between the ranks of an expert-parallel group (arXiv
// 2412.19437, sec. 3.2.2): a token crosses to another node once, to the rank with the sender's
// place there, which forwards it to the ranks that hold its experts. Outputs go the same way back,
// summed where copies meet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/matrix.hpp"
#include "runtime/communicator.hpp"
#include "runtime/device.hpp"

namespace r1 {

struct ExpertGroup {
    std::vector<int> ranks;    // of the communicator, ascending
    int self = 0;              // index into ranks: the member
    int ranks_per_node = 1;    // neighbours in the group; divides its size
    std::int64_t experts = 0;  // of the group, equally many on each rank
    std::int64_t slots = 0;    // experts a token

    [[nodiscard]] int size() const { return static_cast<int>(ranks.size()); }
    [[nodiscard]] std::int64_t local_experts() const { return experts / size(); }
    [[nodiscard]] int nodes() const { return size() / ranks_per_node; }
    [[nodiscard]] int node_of(int member) const { return member / ranks_per_node; }
    [[nodiscard]] int place_of(int member) const { return member % ranks_per_node; }
    [[nodiscard]] int member(int node, int place) const { return node * ranks_per_node + place; }
};

// Where the tokens of one layer and micro-batch go. The received matrix has the tokens of each
// member in their order, member after member.
struct ExchangePlan {
    using Rows = std::vector<std::int32_t>;

    // From the choice of experts alone.
    std::int64_t tokens = 0;      // own ones
    std::vector<Rows> to_member;  // own tokens with an expert there
    std::vector<Rows> to_node;    // own tokens with an expert in that node
    Rows expert_rows;             // own tokens of each expert

    // From the others' notes.
    std::int64_t received = 0;            // tokens that come
    std::int64_t rows = 0;                // (received token, local expert) pairs
    std::vector<std::int64_t> first_row;  // of the received matrix, by member, and the end
    std::vector<std::int64_t> relayed;    // by node: tokens that its rank of this place sends here

    // From the forward dispatch.
    std::vector<std::vector<Rows>> relay_to;  // which of them, by node and place in this node
    // [received, 2 * slots] as kernels/permute.hpp takes it; a token's slots are its source's.
    std::vector<float> route;
};

// Rows that are moved as bytes: from [tokens], to [received].
struct ExchangedRows {
    std::size_t row_bytes = 0;
    const std::byte* from = nullptr;
    std::byte* to = nullptr;
};

// y[tokens, width] = sum over the copies of each token, of x[received, width].
struct CombinedRows {
    std::int64_t width = 0;
    ConstMatrix x;
    Matrix y;
};

// An exchange takes this many channels, from the one that it is given.
inline constexpr std::uint64_t kChannelsPerExchange = 4;

class ExpertExchange {
public:
    // Payloads lie in the device's memory.
    ExpertExchange(Communicator& communicator, const Device& device, ExpertGroup group)
        : communicator_(communicator), device_(device), group_(std::move(group)) {}

    [[nodiscard]] const ExpertGroup& group() const { return group_; }

    // indices: [tokens, slots], the experts of the own tokens.
    [[nodiscard]] ExchangePlan plan(std::span<const std::int32_t> indices) const;
    // All ranks of the group tell each other what they will send; waits for them. Again for a plan
    // that is complete, it only waits.
    void notify(ExchangePlan& plan, std::uint64_t channel) const;
    // The first dispatch of a plan carries experts and weights [tokens, slots] beside the payloads;
    // they lie in the device's memory too.
    void dispatch(ExchangePlan& plan, std::vector<ExchangedRows> payloads,
                  const std::int32_t* indices, const float* weights, std::uint64_t channel) const;
    void dispatch(const ExchangePlan& plan, std::span<const ExchangedRows> payloads,
                  std::uint64_t channel) const;
    // What leaves a node is the sum over its ranks, in the storage type of x.
    void combine(const ExchangePlan& plan, std::span<const CombinedRows> payloads,
                 std::uint64_t channel) const;

private:
    // `relayed` sees the payloads that another node's rank sent here to be forwarded.
    using OnRelayed = std::function<void(int node, std::span<const ExchangedRows>)>;

    [[nodiscard]] int node() const { return group_.node_of(group_.self); }
    [[nodiscard]] int place() const { return group_.place_of(group_.self); }
    [[nodiscard]] int rank(int node, int place) const {
        return group_.ranks[static_cast<std::size_t>(group_.member(node, place))];
    }
    void set_route(ExchangePlan& plan, std::span<const std::int32_t> experts,
                   std::span<const float> shares) const;
    void move(const ExchangePlan& plan, std::span<const ExchangedRows> payloads,
              std::uint64_t channel, const OnRelayed& relayed) const;

    Communicator& communicator_;
    const Device& device_;
    ExpertGroup group_;
};

}  // namespace r1
