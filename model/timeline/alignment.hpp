// Two timelines of the same graphs, op by op: what validation and its trace compare.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/timeline/timeline_reader.hpp"

namespace r1 {

// A timeline and what messages call it: its file.
struct NamedTimeline {
    std::string name;
    TimelineFile file;
};

// The same run of the same op in both.
struct AlignedOp {
    const Interval* measured = nullptr;
    const Interval* simulated = nullptr;
};

// One graph of both timelines. Points into them.
struct AlignedGraph {
    const RecordedGraph* measured = nullptr;
    const RecordedGraph* simulated = nullptr;
    std::vector<std::uint32_t> simulated_lane;  // by lane of `measured`: the one that stands for it
    std::vector<AlignedOp> ops;                 // by lane of `measured`, item, op, iteration
};

// Which of the lanes stands for this one: its own rank's; else of its program's lanes one of
// several neighbours that stand for their likes in other groups, or the last one before the rank,
// where lanes are shown at distances. nullopt: none is of its program.
std::optional<std::uint32_t> lane_for(const Lane& lane, const std::vector<Lane>& lanes);

// Aligns every op of every measured rank with that of the lane that stands for the rank: its own,
// or of those of its program the one that a folded replay or a replay that shows some ranks keeps
// for it. Simulated lanes that stand for no measured rank are left out. Throws InputError where an
// op (rank, item, op, iteration) is in one timeline only, or the graphs are not the same.
std::vector<AlignedGraph> align(const NamedTimeline& measured, const NamedTimeline& simulated);

}  // namespace r1
