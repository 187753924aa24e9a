#include "model/chakra/job_order.hpp"

namespace r1 {

namespace {

// Runs all nodes, in any order that their dependencies allow.
class JobOrder {
public:
    explicit JobOrder(const ChakraJob& job) : job_(job) {
        for (const ChakraCollective& collective : job.collectives) {
            missing_.push_back(collective.parts.size());
        }
        for (const std::vector<ChakraNode>& nodes : job.ranks) {
            std::vector<std::vector<std::uint32_t>>& after = after_.emplace_back(nodes.size());
            std::vector<std::size_t>& waiting = waiting_.emplace_back();
            for (std::uint32_t i = 0; i < nodes.size(); ++i) {
                const bool receives = nodes[i].work == ChakraWork::receive;
                waiting.push_back(nodes[i].before.size() + (receives ? 1 : 0));
                for (const std::uint32_t before : nodes[i].before) {
                    after[before].push_back(i);
                }
            }
        }
    }

    std::optional<ChakraPart> run() {
        for (std::uint32_t rank = 0; rank < waiting_.size(); ++rank) {
            for (std::uint32_t i = 0; i < waiting_[rank].size(); ++i) {
                if (waiting_[rank][i] == 0) {
                    ready(rank, i);
                }
            }
        }
        while (!done_.empty()) {
            const auto [rank, node] = done_.back();
            done_.pop_back();
            finish(rank, node);
        }
        for (std::uint32_t rank = 0; rank < waiting_.size(); ++rank) {
            for (std::uint32_t i = 0; i < waiting_[rank].size(); ++i) {
                if (waiting_[rank][i] != kDone) {
                    return ChakraPart{rank, i, {}};
                }
            }
        }
        return {};
    }

private:
    static constexpr std::size_t kDone = static_cast<std::size_t>(-1);

    void ready(std::uint32_t rank, std::uint32_t index) {
        const ChakraNode& node = job_.ranks[rank][index];
        if (node.work != ChakraWork::collective) {
            done_.emplace_back(rank, index);
        } else if (--missing_[node.other] == 0) {
            for (const ChakraPart& part : job_.collectives[node.other].parts) {
                done_.emplace_back(part.rank, part.node);
            }
        }
    }

    void finish(std::uint32_t rank, std::uint32_t index) {
        waiting_[rank][index] = kDone;
        for (const std::uint32_t next : after_[rank][index]) {
            one_less(rank, next);
        }
        const ChakraNode& node = job_.ranks[rank][index];
        if (node.work == ChakraWork::send) {
            one_less(node.peer, node.other);
        }
    }

    void one_less(std::uint32_t rank, std::uint32_t index) {
        if (--waiting_[rank][index] == 0) {
            ready(rank, index);
        }
    }

    const ChakraJob& job_;
    std::vector<std::size_t> missing_;                            // parts, by collective
    std::vector<std::vector<std::size_t>> waiting_;               // by rank and node
    std::vector<std::vector<std::vector<std::uint32_t>>> after_;  // the same
    std::vector<std::pair<std::uint32_t, std::uint32_t>> done_;   // rank and node, not followed yet
};

}  // namespace

std::optional<ChakraPart> first_stuck(const ChakraJob& job) { return JobOrder(job).run(); }

}  // namespace r1
