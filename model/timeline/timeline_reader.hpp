// Reads timeline files ("r1sim.timeline/1"): what ran, without the graph that it ran.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/timeline/timeline.hpp"

namespace r1 {

// What the file says of an op.
struct RecordedOp {
    std::string_view kind;  // kind_name() of the op
    Stream stream = Stream::compute;
    Phase phase = Phase::forward;
    std::int16_t layer = -1;
    bool operator==(const RecordedOp&) const = default;
};

struct RecordedItem {
    ItemKind kind = ItemKind::forward;
    std::vector<RecordedOp> ops;
    // Of a recv, if the file says so: program and item of its send.
    std::optional<std::pair<std::uint32_t, std::uint32_t>> send;
};

using RecordedProgram = std::vector<RecordedItem>;

struct RecordedGraph {
    std::string hash;  // 32 hexadecimal digits
    std::vector<RecordedProgram> programs;
    Timeline timeline;  // all lanes of the file, the intervals of this graph, all iterations

    [[nodiscard]] const RecordedOp& op(OpRef ref) const {
        const auto program = static_cast<std::size_t>(timeline.lanes[ref.lane].program);
        return programs[program][ref.item].ops[ref.op];
    }
};

// What a file of a timeline of the graph would say.
RecordedGraph record(const ExecutionGraph& graph, Timeline timeline);

struct TimelineFile {
    bool measured = false;
    std::vector<RecordedGraph> graphs;
};

// Every interval names an op of its graph, ends no earlier than it starts, and stands once for an
// op and iteration; ranks stand in one lane. Throws InputError with all problems; of more than a
// hundred bad intervals, their number.
TimelineFile read_timeline(const Document& document);
TimelineFile read_timeline(const std::filesystem::path& file);

}  // namespace r1
