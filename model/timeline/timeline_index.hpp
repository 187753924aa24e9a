// A timeline by lane, item and op: what the functions that read timelines share. Iteration 0 only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/timeline/timeline.hpp"

namespace r1 {

// From when to when a rank worked for a chunk.
struct ChunkSpan {
    std::uint32_t item = 0;
    TimePs start = 0;
    TimePs end = 0;
};

class TimelineIndex {
public:
    // Keeps references to both. InternalError if an interval names an op that does not exist.
    TimelineIndex(const ExecutionGraph& graph, const Timeline& timeline);

    [[nodiscard]] const ExecutionGraph& graph() const { return graph_; }
    [[nodiscard]] const std::vector<Lane>& lanes() const { return timeline_.lanes; }
    [[nodiscard]] std::uint32_t lane_count() const {
        return static_cast<std::uint32_t>(timeline_.lanes.size());
    }
    // Of all lanes together: what a mean over ranks divides by.
    [[nodiscard]] double ranks() const;
    [[nodiscard]] const std::vector<Item>& items(std::uint32_t lane) const;
    [[nodiscard]] const ChunkTemplate& chunk(std::uint32_t lane, std::uint32_t item) const;

    // nullptr if the op did not run.
    [[nodiscard]] const Interval* find(OpRef op) const;
    // The interval that ends last (the first of those in timeline order); nullptr if there is none.
    [[nodiscard]] const Interval* last() const { return last_; }
    // The step time: the latest end.
    [[nodiscard]] TimePs makespan() const { return last_ == nullptr ? 0 : last_->end; }

    // Chunks that ran, in program order. Each owns the time from its first op's start, or the end
    // of the chunks before it if that is later, to its last op's end on any stream; a chunk that
    // ended before an earlier one did owns an empty span.
    [[nodiscard]] std::vector<ChunkSpan> chunk_spans(std::uint32_t lane) const;

private:
    const ExecutionGraph& graph_;
    const Timeline& timeline_;
    std::vector<std::vector<std::uint32_t>> item_base_;  // by program: ops before each item
    std::vector<std::size_t> lane_base_;                 // ops before each lane
    std::vector<std::uint32_t> interval_of_;             // by op of a lane
    const Interval* last_ = nullptr;
};

// "F stage 3 micro-batch 5", "FB stage 3 micro-batch 5, stage 12 micro-batch 7",
// "send stage 3 micro-batch 5", "update parameters stage 3".
std::string item_name(const Item& item, const ChunkTemplate& chunk);

}  // namespace r1
