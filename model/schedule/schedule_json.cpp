#include "model/schedule/schedule_json.hpp"

#include "model/base/json.hpp"

namespace r1 {

namespace {

// Word for word as in the golden files.
constexpr const char* kLegend =
    "F fwd; B input-gradient half of backward; W weight-gradient half; BW whole backward; FB "
    "forward of (dir,mb) overlapped with whole backward of (dir,mb). Entries: [op, direction, "
    "micro_batch_in_direction] or [FB, dirF, mbF, dirB, mbB]. For dualpipe, direction 0 enters at "
    "rank 0, direction 1 at the last rank; micro_batches counts both directions. For dualpipev, "
    "'direction' is the chunk (0 down, 1 up).";
constexpr const char* kInterleavedLegend = " For interleaved, 'direction' is the virtual stage.";

Json entry(const ScheduledChunk& chunk) {
    const std::string op(short_name(chunk.kind));
    const ChunkRef& forward = chunk.forward;
    const ChunkRef& backward = chunk.backward;
    switch (chunk.kind) {
        case ChunkKind::forward: return Json::array({op, forward.direction, forward.micro_batch});
        case ChunkKind::overlapped:
            return Json::array({op, forward.direction, forward.micro_batch, backward.direction,
                                backward.micro_batch});
        case ChunkKind::backward_input:
        case ChunkKind::backward_weight:
        case ChunkKind::backward: break;
    }
    return Json::array({op, backward.direction, backward.micro_batch});
}

}  // namespace

Json schedule_to_json(const Schedule& schedule) {
    const ScheduleOptions& options = schedule.options;
    std::string legend = kLegend;
    Json json;
    json["schedule"] = std::string(name(options.kind));
    json["pipeline_ranks"] = options.ranks;
    json["micro_batches"] = options.micro_batches;
    if (options.kind == ScheduleKind::interleaved) {
        json["virtual_stages"] = options.virtual_stages;
        legend += kInterleavedLegend;
    }
    json["legend"] = legend;
    Json& ranks = json["ranks"] = Json::array();
    for (const auto& chunks : schedule.ranks) {
        Json entries = Json::array();
        for (const ScheduledChunk& chunk : chunks) {
            entries.push_back(entry(chunk));
        }
        ranks.push_back(std::move(entries));
    }
    return json;
}

Json schedule_to_json(const Schedule& schedule, const ScheduleTimes& times) {
    Json json = schedule_to_json(schedule);
    json["makespan_s"] = times.makespan;
    json["bubble_s"] = times.bubble;
    json["bubble_mean_s"] = times.bubble_mean;
    return json;
}

}  // namespace r1
