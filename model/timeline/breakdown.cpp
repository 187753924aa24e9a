#include "model/timeline/breakdown.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/timeline/timeline_index.hpp"

namespace r1 {

namespace {

// In whole picoseconds, so that the six add up exactly.
struct Parts {
    TimePs forward = 0;
    TimePs backward_input = 0;
    TimePs backward_weight = 0;
    TimePs one_f_one_b = 0;
    TimePs bubble = 0;
    TimePs optimizer = 0;

    [[nodiscard]] TimePs chunks() const {
        return forward + backward_input + backward_weight + one_f_one_b;
    }
};

PipelineBreakdown seconds(const Parts& parts) {
    const auto to_s = [](TimePs time) { return from_ps(time).value(); };
    return {to_s(parts.forward),     to_s(parts.backward_input), to_s(parts.backward_weight),
            to_s(parts.one_f_one_b), to_s(parts.bubble),         to_s(parts.optimizer)};
}

// The weight-gradient part of a whole backward, in [0, 1].
double weight_share(const TimelineIndex& index, std::uint32_t lane, std::uint32_t item) {
    // By whether an op works for weight gradients: compute ops, and all ops in case a chunk
    // without compute time has to be divided.
    std::array<TimePs, 2> compute{};
    std::array<TimePs, 2> all{};
    const std::vector<Op>& ops = index.chunk(lane, item).ops;
    for (std::uint32_t i = 0; i < ops.size(); ++i) {
        if (const Interval* interval = index.find({lane, item, i})) {
            const bool weight = ops[i].phase == Phase::backward_weight;
            const TimePs duration = interval->end - interval->start;
            all[weight] += duration;
            if (ops[i].compute() != nullptr && computes(ops[i].stream)) {
                compute[weight] += duration;
            }
        }
    }
    const auto& used = compute[0] + compute[1] > 0 ? compute : all;
    const TimePs total = used[0] + used[1];
    return total > 0 ? static_cast<double>(used[1]) / static_cast<double>(total) : 0;
}

Parts chunk_parts(const TimelineIndex& index, std::uint32_t lane,
                  const std::vector<ChunkSpan>& spans) {
    Parts parts;
    for (const ChunkSpan& span : spans) {
        const TimePs owned = span.end - span.start;
        switch (index.items(lane)[span.item].kind) {
            case ItemKind::forward: parts.forward += owned; break;
            case ItemKind::backward_input: parts.backward_input += owned; break;
            case ItemKind::backward_weight: parts.backward_weight += owned; break;
            case ItemKind::backward: {
                const double share = weight_share(index, lane, span.item);
                const auto weight =
                    static_cast<TimePs>(std::llround(share * static_cast<double>(owned)));
                parts.backward_weight += weight;
                parts.backward_input += owned - weight;
                break;
            }
            default: parts.one_f_one_b += owned;
        }
    }
    return parts;
}

void add(PipelineBreakdown& sum, const PipelineBreakdown& part, double weight) {
    sum.forward_s += weight * part.forward_s;
    sum.backward_input_s += weight * part.backward_input_s;
    sum.backward_weight_s += weight * part.backward_weight_s;
    sum.one_f_one_b_s += weight * part.one_f_one_b_s;
    sum.bubble_s += weight * part.bubble_s;
    sum.optimizer_s += weight * part.optimizer_s;
}

}  // namespace

PipelineTimes pipeline_times(const ExecutionGraph& graph, const Timeline& timeline) {
    const TimelineIndex index(graph, timeline);
    PipelineTimes times;
    times.step_s = from_ps(index.makespan()).value();

    std::vector<Parts> lanes;
    TimePs last_chunk_end = 0;
    for (std::uint32_t lane = 0; lane < index.lane_count(); ++lane) {
        const std::vector<ChunkSpan> spans = index.chunk_spans(lane);
        if (!spans.empty()) {
            last_chunk_end = std::max(last_chunk_end, spans.back().end);
        }
        lanes.push_back(chunk_parts(index, lane, spans));
    }
    const double ranks = index.ranks();
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
        Parts& parts = lanes[lane];
        parts.optimizer = index.makespan() - last_chunk_end;
        parts.bubble = last_chunk_end - parts.chunks();
        times.per_lane.push_back(seconds(parts));
        const auto weight = static_cast<double>(index.lanes()[lane].multiplicity);
        add(times.mean, times.per_lane.back(), weight / ranks);
    }
    return times;
}

}  // namespace r1
