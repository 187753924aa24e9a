// A measured step taken apart: each op is a measurement of its kernel, exchange or ring at one
// size. What `calibrate --device cpu` makes curves of.
#pragma once

#include <string>
#include <vector>

#include "model/routing/traffic.hpp"
#include "model/timeline/timeline.hpp"

namespace r1 {

// All ops of one curve and size.
struct StepPoint {
    std::string curve;
    std::string quantity;  // of the curve, as calibration files name it
    std::vector<std::string> columns;
    std::vector<double> at;  // by column
    double amount = 0;       // of one op: FLOPs or bytes; 0 where the quantity is a time
    std::vector<double> times_us;

    // In the curve's quantity, of an op that takes so long.
    [[nodiscard]] double value(double us) const;
};

// Iteration 0 of a timeline with one lane a rank.
struct MeasuredRanks {
    const ExecutionGraph& graph;
    const Timeline& timeline;
    const SymbolValues& symbols;
    const ExpertTraffic& traffic;
    ExpertGroupShape group;
    int sms = 1;
};

// Of compute ops; those that nothing was routed to, or that took no time, are left out. While ops
// of both compute streams of a rank run, each has half of the device, as in a replay: its time
// alone would be that much shorter.
std::vector<StepPoint> kernel_points(const MeasuredRanks& ranks);

// Of dispatch, combine and notify, and of rings: from when the last of the ranks comes until the
// last of them has all. Exchanges of one rank alone are left out. Of graphs with one program.
std::vector<StepPoint> exchange_points(const MeasuredRanks& ranks);

// Of each two ops that follow each other on the compute stream of an item: the time between them.
std::vector<double> launch_gaps_us(const MeasuredRanks& ranks);

}  // namespace r1
