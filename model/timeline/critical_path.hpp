// What the step time is made of: the chain of ops, back from the one that ends last, in which each
// op waited for the one before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/timeline/timeline.hpp"

namespace r1 {

// An op of the path, or what was waited for before it.
struct PathPiece {
    static constexpr std::string_view kWait = "wait";

    OpRef op;
    std::string_view kind;  // kind_name() of the op, or kWait
    TimePs start = 0;
    TimePs end = 0;
};

// Ops of the path that follow each other and are alike, in order of time.
struct CriticalPathStep {
    RankId rank;
    std::string item;  // "FB stage 3 micro-batch 5, stage 12 micro-batch 7"
    std::string kind;  // kind_name() of the ops, or "wait"
    double start_s = 0;
    double end_s = 0;
};

struct CriticalPath {
    // Kind names of ops, and "wait": time between an op's start and the end of all that it waited
    // for. This and by_resource add up to the step time.
    std::map<std::string, double> by_kind;
    // compute, expert_all_to_all, pipeline_messages, data_parallel_collectives (those of the
    // optimizer step), wait.
    std::map<std::string, double> by_resource;
    // Seconds on each pipeline rank; they add up too.
    std::vector<double> by_rank;
    // Without gaps, in order of time. Ops that took none are left out.
    std::vector<PathPiece> pieces;
    // One a run of ops of one kind in one item; if those are too many, one an item, with the kind
    // that took most of it; if those are too many, the longest of them.
    std::vector<CriticalPathStep> steps;
    std::int64_t ops_total = 0;  // on the path
    std::int64_t steps_left_out = 0;
};

// An op waits for the op before it on its stream, for the producers of what it reads, a receive for
// its send, and a collective for what any of its members waits for; the one that ended last counts.
// A message's time is the send's if both end together. Works for one lane a rank and for lanes that
// stand for classes of ranks. Linear in the number of intervals.
CriticalPath critical_path(const ExecutionGraph& graph, const Timeline& timeline,
                           std::size_t steps_max = 200);

}  // namespace r1
