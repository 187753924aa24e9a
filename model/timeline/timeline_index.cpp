#include "model/timeline/timeline_index.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "model/base/check.hpp"

namespace r1 {

namespace {

constexpr std::uint32_t kNotRun = std::numeric_limits<std::uint32_t>::max();

}  // namespace

TimelineIndex::TimelineIndex(const ExecutionGraph& graph, const Timeline& timeline)
    : graph_(graph), timeline_(timeline) {
    for (const RankProgram& program : graph.programs()) {
        std::vector<std::uint32_t>& base = item_base_.emplace_back();
        std::uint32_t ops = 0;
        for (const Item& item : program.items) {
            base.push_back(ops);
            ops += static_cast<std::uint32_t>(graph.chunk(item.chunk).ops.size());
        }
        base.push_back(ops);
    }
    std::size_t slots = 0;
    for (const Lane& lane : timeline.lanes) {
        R1_CHECK(lane.program >= 0 &&
                 static_cast<std::size_t>(lane.program) < graph.programs().size());
        lane_base_.push_back(slots);
        slots += item_base_[static_cast<std::size_t>(lane.program)].back();
    }
    interval_of_.assign(slots, kNotRun);
    for (std::size_t i = 0; i < timeline.intervals.size(); ++i) {
        const Interval& interval = timeline.intervals[i];
        if (interval.iteration != 0) {
            continue;
        }
        const OpRef op = interval.op;
        R1_CHECK(op.lane < timeline.lanes.size());
        const auto& base = item_base_[static_cast<std::size_t>(timeline.lanes[op.lane].program)];
        R1_CHECK(op.item + 1 < base.size() && op.op < base[op.item + 1] - base[op.item]);
        interval_of_[lane_base_[op.lane] + base[op.item] + op.op] = static_cast<std::uint32_t>(i);
        if (last_ == nullptr || interval.end > last_->end) {
            last_ = &interval;
        }
    }
}

double TimelineIndex::ranks() const {
    std::int64_t count = 0;
    for (const Lane& lane : timeline_.lanes) {
        count += lane.multiplicity;
    }
    return static_cast<double>(count);
}

const std::vector<Item>& TimelineIndex::items(std::uint32_t lane) const {
    const std::int32_t program = timeline_.lanes[lane].program;
    return graph_.programs()[static_cast<std::size_t>(program)].items;
}

const ChunkTemplate& TimelineIndex::chunk(std::uint32_t lane, std::uint32_t item) const {
    return graph_.chunk(items(lane)[item].chunk);
}

const Interval* TimelineIndex::find(OpRef op) const {
    const auto program = static_cast<std::size_t>(timeline_.lanes[op.lane].program);
    const std::uint32_t index =
        interval_of_[lane_base_[op.lane] + item_base_[program][op.item] + op.op];
    return index == kNotRun ? nullptr : &timeline_.intervals[index];
}

std::vector<ChunkSpan> TimelineIndex::chunk_spans(std::uint32_t lane) const {
    std::vector<ChunkSpan> spans;
    TimePs previous_end = std::numeric_limits<TimePs>::min();
    const std::vector<Item>& program = items(lane);
    const auto& base = item_base_[static_cast<std::size_t>(timeline_.lanes[lane].program)];
    for (std::uint32_t item = 0; item < program.size(); ++item) {
        if (!is_chunk(program[item].kind)) {
            continue;
        }
        TimePs start = std::numeric_limits<TimePs>::max();
        TimePs end = std::numeric_limits<TimePs>::min();
        const std::size_t first = lane_base_[lane] + base[item];
        for (std::size_t slot = first; slot < first + base[item + 1] - base[item]; ++slot) {
            if (interval_of_[slot] != kNotRun) {
                const Interval& interval = timeline_.intervals[interval_of_[slot]];
                start = std::min(start, interval.start);
                end = std::max(end, interval.end);
            }
        }
        if (end < start) {
            continue;  // did not run
        }
        start = std::max(start, previous_end);
        end = std::max(end, start);
        previous_end = end;
        spans.push_back({item, start, end});
    }
    return spans;
}

std::string item_name(const Item& item, const ChunkTemplate& chunk) {
    const Context& first = item.contexts.front();
    if (item.kind == ItemKind::optimizer) {
        return fmt::format("{} stage {}", chunk.name, first.stage);
    }
    std::string text =
        fmt::format("{} stage {} micro-batch {}", name(item.kind), first.stage, first.micro_batch);
    if (item.kind == ItemKind::overlapped) {
        const Context& second = item.contexts.back();
        text += fmt::format(", stage {} micro-batch {}", second.stage, second.micro_batch);
    }
    return text;
}

}  // namespace r1
