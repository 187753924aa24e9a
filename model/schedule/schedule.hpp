// Pipeline schedules as pure functions: which chunk each pipeline rank runs, in which order.
// Names as in the DeepSeek-V3 report (arXiv 2412.19437, sec. 3.2.1) and deepseek-ai/DualPipe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace r1 {

enum class ScheduleKind { one_f_one_b, zb1p, interleaved, dualpipe, dualpipev };
std::string_view name(ScheduleKind kind);  // "1f1b", "zb1p", "interleaved", "dualpipe", "dualpipev"
const std::vector<std::string>& schedule_names();
std::optional<ScheduleKind> parse_schedule_kind(std::string_view name);

// F forward; B input-gradient half of the backward; W weight-gradient half; BW whole backward;
// FB forward of one micro-batch overlapped with the whole backward of another.
enum class ChunkKind { forward, backward_input, backward_weight, backward, overlapped };
std::string_view short_name(ChunkKind kind);  // "F", "B", "W", "BW", "FB"

// Which micro-batch, and along which path through the stages. dualpipe: direction 0 enters at rank
// 0, direction 1 at the last rank, and micro_batch counts within its direction. dualpipev: the
// direction is the chunk of the V (0 down, 1 up). interleaved: the virtual stage of the rank.
// Otherwise 0.
struct ChunkRef {
    int direction = 0;
    int micro_batch = 0;
    bool operator==(const ChunkRef&) const = default;
};

struct ScheduledChunk {
    ChunkKind kind = ChunkKind::forward;
    ChunkRef forward;   // F, FB
    ChunkRef backward;  // B, W, BW, FB
    bool operator==(const ScheduledChunk&) const = default;
};

struct ScheduleOptions {
    ScheduleKind kind = ScheduleKind::dualpipe;
    int ranks = 1;           // pipeline ranks
    int micro_batches = 1;   // per pipeline; dualpipe counts both directions
    int virtual_stages = 2;  // interleaved only: chunks a rank
};

struct Schedule {
    ScheduleOptions options;
    std::vector<std::vector<ScheduledChunk>> ranks;  // by pipeline rank, in execution order
};

// The precondition that the options break, as a sentence ("dualpipe needs an even number of
// ranks, got 5"), or nullopt.
std::optional<std::string> schedule_problem(const ScheduleOptions& options);
// Options must be valid (schedule_problem() is nullopt).
Schedule make_schedule(const ScheduleOptions& options);

// Model stages that the schedule splits the layers into: ranks (1f1b, zb1p, dualpipe),
// 2 * ranks (dualpipev), virtual_stages * ranks (interleaved).
int stage_count(const ScheduleOptions& options);
// The stage that `rank` runs for `direction`.
int stage_of(const ScheduleOptions& options, int rank, int direction);
// The rank that runs `stage` for a micro-batch that travels along `direction` (for dualpipe the
// direction matters; otherwise the stage decides).
int rank_of(const ScheduleOptions& options, int stage, int direction);
// Values that ChunkRef::direction takes: 2 (dualpipe, dualpipev), virtual_stages, else 1.
int direction_count(const ScheduleOptions& options);

}  // namespace r1
