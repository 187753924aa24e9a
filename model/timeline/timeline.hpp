// When each op ran: measured by runtime/, or simulated by sim/. Every time in a report comes from
// here.
#pragma once

#include <cstdint>
#include <vector>

#include "model/base/units.hpp"
#include "model/graph/graph.hpp"

namespace r1 {

// One run of one op: the op of an item's template, on the rank that stands for a class of ranks.
struct OpRef {
    std::uint32_t lane = 0;  // index into Timeline::lanes
    std::uint32_t item = 0;  // of the lane's program
    std::uint32_t op = 0;    // of the item's template
    auto operator<=>(const OpRef&) const = default;
};

struct Interval {
    OpRef op;
    std::int32_t iteration = 0;
    TimePs start = 0;
    TimePs end = 0;
};

// Ranks that did the same at the same times; `rank` is one of them. A measured timeline has one
// lane a rank, a folded replay one a class.
struct Lane {
    RankId rank;
    std::int32_t program = 0;
    std::int64_t multiplicity = 1;
};

struct Timeline {
    std::vector<Lane> lanes;
    std::vector<Interval> intervals;  // sorted by lane, item, op

    // The latest end; 0 if empty.
    [[nodiscard]] TimePs makespan() const;
    // The interval of an op of iteration 0; nullptr if it did not run. O(log n).
    [[nodiscard]] const Interval* find(OpRef op) const;
    void sort();
};

// A receive lasts as long as its message is on the wire (from the send's start at the earliest),
// not as long as it is waited for. A rank that executes a receive only knows the latter: see
// trim_receives() in measured.hpp.

}  // namespace r1
