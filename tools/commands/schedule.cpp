#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/schedule/schedule_json.hpp"
#include "model/schedule/schedule_times.hpp"
#include "tools/cli.hpp"
#include "tools/report/schedule_gantt.hpp"

namespace r1 {

namespace {

// 30 years: sums of them stay far from where they would lose a small one.
constexpr double kSecondsMax = 1e9;

// Chunk times from the flags; nothing if none was given.
std::optional<ChunkSeconds> chunk_seconds(const Invocation& invocation) {
    const char* names[] = {"forward", "backward-input", "backward-weight", "overlapped"};
    double values[4] = {0, 0, 0, 0};
    int given = 0;
    for (int i = 0; i < 4; ++i) {
        if (invocation.has(names[i])) {
            values[i] = invocation.get<double>(names[i]);
            given += i < 3;
            if (!(values[i] >= 0 && values[i] <= kSecondsMax)) {
                throw UsageError(
                    fmt::format("--{} must be from 0 to {:.0f} seconds", names[i], kSecondsMax));
            }
        }
    }
    if (given == 0 && !invocation.has("overlapped")) {
        return std::nullopt;
    }
    if (given != 3) {
        throw UsageError("--forward, --backward-input and --backward-weight go together");
    }
    return ChunkSeconds{values[0], values[1], values[2], values[3]};
}

int run_schedule(const Invocation& invocation) {
    ScheduleOptions options;
    const std::string kind = invocation.text("kind");
    const std::optional<ScheduleKind> parsed = parse_schedule_kind(kind);
    if (!parsed) {
        throw UsageError("there is no schedule '" + kind + "'" +
                         did_you_mean(kind, schedule_names()));
    }
    options.kind = *parsed;
    if (!invocation.has("ranks") || !invocation.has("micro-batches")) {
        throw UsageError("--ranks and --micro-batches are needed");
    }
    options.ranks = invocation.get<int>("ranks");
    options.micro_batches = invocation.get<int>("micro-batches");
    options.virtual_stages = invocation.get<int>("virtual-stages");
    if (const auto problem = schedule_problem(options)) {
        throw InputError("schedule " + kind, *problem);
    }
    const std::optional<ChunkSeconds> seconds = chunk_seconds(invocation);
    const Schedule schedule = make_schedule(options);
    const ScheduleTimes times = time_schedule(schedule, seconds.value_or(kUnitChunkSeconds));
    GanttOptions gantt;
    gantt.width = invocation.get<int>("width");
    gantt.color = invocation.color();
    gantt.time_unit = seconds ? "s" : "units";
    invocation.answer(seconds ? schedule_to_json(schedule, times) : schedule_to_json(schedule),
                      invocation.flag("json") ? "" : draw_schedule(schedule, times, gantt));
    return kOk;
}

}  // namespace

Command schedule_command() {
    Command command;
    command.name = "schedule";
    command.summary = "Draws a pipeline schedule, or prints it as JSON.";
    command.arguments = "KIND";
    command.positional = "kind";
    command.choices = schedule_names();
    command.examples = {
        "schedule dualpipe --ranks 8 --micro-batches 20",
        "schedule interleaved --ranks 4 --micro-batches 8 --virtual-stages 2 --json",
        "schedule zb1p --ranks 8 --micro-batches 16 --forward 1 --backward-input 1 "
        "--backward-weight 1"};
    command.add_options = [](po::options_description& options) {
        options.add_options()  //
            ("kind", po::value<std::string>()->value_name("KIND"),
             "1f1b, zb1p, interleaved, dualpipe or dualpipev")              //
            ("ranks", po::value<int>()->value_name("P"), "pipeline ranks")  //
            ("micro-batches", po::value<int>()->value_name("M"),
             "micro-batches of one pipeline, both directions together")  //
            ("virtual-stages", po::value<int>()->default_value(2)->value_name("V"),
             "chunks a rank (interleaved)")                                                  //
            ("forward", po::value<double>()->value_name("S"), "seconds of a forward chunk")  //
            ("backward-input", po::value<double>()->value_name("S"),
             "seconds of the input-gradient half of a backward")  //
            ("backward-weight", po::value<double>()->value_name("S"),
             "seconds of the weight-gradient half")  //
            ("overlapped", po::value<double>()->value_name("S"),
             "seconds of an overlapped pair (default: the sum of its parts)")  //
            ("width", po::value<int>()->default_value(100)->value_name("N"),
             "columns of the picture");
    };
    command.run = run_schedule;
    return command;
}

}  // namespace r1
