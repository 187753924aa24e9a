#include "model/timeline/timeline_reader.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/graph/dependencies.hpp"

namespace r1 {

namespace {

constexpr std::array<const char*, 7> kColumns = {"graph",     "lane",     "item",  "op",
                                                 "iteration", "start_ps", "end_ps"};
constexpr std::size_t kRowProblemsMax = 100;

template <class Enum>
std::vector<std::string> names_up_to(Enum last) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i <= static_cast<std::size_t>(last); ++i) {
        names.emplace_back(name(static_cast<Enum>(i)));
    }
    return names;
}

const std::vector<std::string>& op_kinds() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all = names_up_to(Collective::low_latency_combine);
        for (std::size_t i = 1; i < kKernelCount; ++i) {
            all.emplace_back(name(static_cast<KernelId>(i)));
        }
        return all;
    }();
    return names;
}

template <class Enum, Enum last>
void read_enum(ObjectReader& reader, const char* key, Enum& out) {
    static const std::vector<std::string> names = names_up_to(last);
    int index = 0;
    reader.required_choice(key, names, index);
    out = static_cast<Enum>(index);
}

RecordedOp read_recorded_op(ObjectReader& reader) {
    RecordedOp op;
    int kind = 0;
    reader.required_choice("kind", op_kinds(), kind);
    op.kind = op_kinds()[static_cast<std::size_t>(kind)];
    read_enum<Stream, Stream::collective>(reader, "stream", op.stream);
    read_enum<Phase, Phase::optimizer>(reader, "phase", op.phase);
    std::int64_t layer = -1;
    reader.required("layer", layer, {-1, std::numeric_limits<std::int16_t>::max()});
    op.layer = static_cast<std::int16_t>(layer);
    reader.finish();
    return op;
}

void read_send(ObjectReader& reader, RecordedItem& item) {
    if (auto send = reader.object("send", false)) {
        std::int64_t program = 0;
        std::int64_t index = 0;
        send->required("program", program, {0, kInt32Max});
        send->required("item", index, {0, kInt32Max});
        send->finish();
        item.send = {static_cast<std::uint32_t>(program), static_cast<std::uint32_t>(index)};
    }
}

void check_sends(ObjectReader& reader, const RecordedGraph& graph) {
    for (const RecordedProgram& items : graph.programs) {
        for (const RecordedItem& item : items) {
            if (item.send && (item.send->first >= graph.programs.size() ||
                              item.send->second >= graph.programs[item.send->first].size())) {
                reader.error("programs", fmt::format("there is no item {} of a program {}, which "
                                                     "an item names as its send",
                                                     item.send->second, item.send->first));
            }
        }
    }
}

RecordedGraph read_graph(ObjectReader& reader) {
    RecordedGraph graph;
    reader.required("hash", graph.hash);
    const bool is_hash = graph.hash.size() == 32 &&
                         graph.hash.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (reader.has("hash") && !is_hash) {
        reader.error("hash", "must be 32 hexadecimal digits");
    }
    for (ObjectReader& program : reader.objects("programs", true)) {
        RecordedProgram& items = graph.programs.emplace_back();
        for (ObjectReader& entry : program.objects("items", true)) {
            RecordedItem& item = items.emplace_back();
            read_enum<ItemKind, ItemKind::optimizer>(entry, "kind", item.kind);
            for (ObjectReader& op : entry.objects("ops", true)) {
                item.ops.push_back(read_recorded_op(op));
            }
            read_send(entry, item);
            entry.finish();
        }
        program.finish();
    }
    check_sends(reader, graph);
    reader.finish();
    return graph;
}

std::vector<Lane> read_lanes(ObjectReader& reader) {
    std::vector<Lane> lanes;
    std::set<std::int64_t> ranks;
    for (ObjectReader& entry : reader.objects("lanes", true)) {
        std::int64_t rank = 0;
        std::int64_t program = 0;
        std::int64_t multiplicity = 1;
        entry.required("rank", rank, {0, kInt32Max});
        entry.required("program", program, {0, kInt32Max});
        entry.required("multiplicity", multiplicity, {1, kInt32Max});
        if (entry.has("rank") && !ranks.insert(rank).second) {
            entry.error("rank", fmt::format("rank {} has a lane already", rank));
        }
        entry.finish();
        lanes.push_back({RankId(static_cast<std::size_t>(rank)), static_cast<std::int32_t>(program),
                         multiplicity});
    }
    return lanes;
}

using Row = std::array<std::int64_t, kColumns.size()>;

// Rows of intervals, once graphs and lanes are known to be right.
class RowReader {
public:
    RowReader(const Document& document, TimelineFile& file, Diagnostics& diagnostics)
        : document_(document), file_(file), diagnostics_(diagnostics), keys_(file.graphs.size()) {}

    void read(const Json& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            Row row{};
            std::string why = parse(rows[i], row);
            if (why.empty()) {
                why = problem(row);
            }
            if (why.empty()) {
                add(row, i);
            } else {
                report(i, std::move(why));
            }
        }
        find_doubles();
        if (problems_ > kRowProblemsMax) {
            diagnostics_.error(document_.diagnostic(
                "/intervals",
                fmt::format("{} more intervals are wrong", problems_ - kRowProblemsMax)));
        }
    }

private:
    struct Key {
        OpRef op;
        std::int32_t iteration = 0;
        std::size_t row = 0;

        [[nodiscard]] auto run() const { return std::tie(op, iteration); }
        bool operator<(const Key& other) const {
            return std::tie(op, iteration, row) < std::tie(other.op, other.iteration, other.row);
        }
    };

    void report(std::size_t row, std::string why) {
        if (problems_++ < kRowProblemsMax) {
            diagnostics_.error(
                document_.diagnostic(fmt::format("/intervals/{}", row), std::move(why)));
        }
    }

    static std::string parse(const Json& json, Row& row) {
        if (!json.is_array() || json.size() != row.size()) {
            return fmt::format("expects {} whole numbers", row.size());
        }
        for (std::size_t i = 0; i < row.size(); ++i) {
            // Beyond 2^63, get() wraps around to negative numbers.
            if (!json[i].is_number_integer() || json[i].get<std::int64_t>() < 0) {
                return fmt::format("{} must be a whole number of at least 0, found {}", kColumns[i],
                                   json[i].dump());
            }
            row[i] = json[i].get<std::int64_t>();
        }
        return {};
    }

    // What of the row names nothing, or is no interval.
    [[nodiscard]] std::string problem(const Row& row) const {
        const auto absent = [&](std::size_t column, std::size_t size) {
            return fmt::format("there is no {} {}: {} of them", kColumns[column], row[column],
                               size);
        };
        const auto outside = [&](std::size_t column, std::size_t size) {
            return static_cast<std::uint64_t>(row[column]) >= size;
        };
        if (outside(0, file_.graphs.size())) {
            return absent(0, file_.graphs.size());
        }
        const RecordedGraph& graph = file_.graphs[static_cast<std::size_t>(row[0])];
        const std::vector<Lane>& lanes = graph.timeline.lanes;
        if (outside(1, lanes.size())) {
            return absent(1, lanes.size());
        }
        const Lane& lane = lanes[static_cast<std::size_t>(row[1])];
        const auto program = static_cast<std::size_t>(lane.program);
        if (program >= graph.programs.size()) {
            return fmt::format("lane {} runs program {}, which graph {} has not", row[1], program,
                               row[0]);
        }
        const RecordedProgram& items = graph.programs[program];
        if (outside(2, items.size())) {
            return absent(2, items.size());
        }
        const RecordedItem& item = items[static_cast<std::size_t>(row[2])];
        if (outside(3, item.ops.size())) {
            return absent(3, item.ops.size());
        }
        if (row[4] > std::numeric_limits<std::int32_t>::max()) {
            return "iteration is too large";
        }
        return row[6] < row[5] ? "ends before it starts" : "";
    }

    void add(const Row& row, std::size_t index) {
        const auto graph = static_cast<std::size_t>(row[0]);
        const OpRef op{static_cast<std::uint32_t>(row[1]), static_cast<std::uint32_t>(row[2]),
                       static_cast<std::uint32_t>(row[3])};
        const auto iteration = static_cast<std::int32_t>(row[4]);
        file_.graphs[graph].timeline.intervals.push_back({op, iteration, row[5], row[6]});
        keys_[graph].push_back({op, iteration, index});
    }

    void find_doubles() {
        for (std::vector<Key>& keys : keys_) {
            std::sort(keys.begin(), keys.end());
            for (std::size_t i = 1; i < keys.size(); ++i) {
                if (keys[i].run() == keys[i - 1].run()) {
                    report(keys[i].row,
                           fmt::format("the op has an interval of iteration {} already",
                                       keys[i].iteration));
                }
            }
        }
    }

    const Document& document_;
    TimelineFile& file_;
    Diagnostics& diagnostics_;
    std::vector<std::vector<Key>> keys_;  // by graph
    std::size_t problems_ = 0;
};

void check_columns(ObjectReader& reader) {
    std::vector<std::string> columns;
    reader.required("columns", columns);
    const bool same = std::equal(columns.begin(), columns.end(), kColumns.begin(), kColumns.end());
    if (!columns.empty() && !same) {
        reader.error("columns", fmt::format("must be {}", Json(kColumns).dump()));
    }
}

}  // namespace

RecordedGraph record(const ExecutionGraph& graph, Timeline timeline) {
    const Dependencies dependencies(graph);
    RecordedGraph recorded{graph.hash().hex(), {}, std::move(timeline)};
    for (std::uint32_t p = 0; p < graph.programs().size(); ++p) {
        RecordedProgram& items = recorded.programs.emplace_back();
        const std::vector<Item>& program = graph.programs()[p].items;
        for (std::uint32_t i = 0; i < program.size(); ++i) {
            RecordedItem& item = items.emplace_back();
            item.kind = program[i].kind;
            for (const Op& op : graph.chunk(program[i].chunk).ops) {
                item.ops.push_back({kind_name(op), op.stream, op.phase, op.layer});
            }
            if (const auto send = dependencies.send_of({p, i, 0})) {
                item.send = {send->program, send->item};
            }
        }
    }
    return recorded;
}

TimelineFile read_timeline(const Document& document) {
    Diagnostics diagnostics;
    TimelineFile file;
    ObjectReader reader(document, "", diagnostics);
    reader.accept_header("timeline");
    reader.required("measured", file.measured);
    std::set<std::string> hashes;
    for (ObjectReader& entry : reader.objects("graphs", true)) {
        file.graphs.push_back(read_graph(entry));
        if (const std::string& hash = file.graphs.back().hash;
            !hash.empty() && !hashes.insert(hash).second) {
            entry.error("hash", "an earlier graph has the same hash");
        }
    }
    const std::vector<Lane> lanes = read_lanes(reader);
    check_columns(reader);
    const Json* rows = reader.raw("intervals");
    if (rows == nullptr || !rows->is_array()) {
        reader.error("intervals", "must be an array of intervals");
    }
    reader.finish();
    if (rows != nullptr && rows->is_array() && diagnostics.ok()) {
        for (RecordedGraph& graph : file.graphs) {
            graph.timeline.lanes = lanes;
        }
        RowReader(document, file, diagnostics).read(*rows);
    }
    diagnostics.throw_if_errors();
    for (RecordedGraph& graph : file.graphs) {
        graph.timeline.sort();
    }
    return file;
}

TimelineFile read_timeline(const std::filesystem::path& file) {
    return read_timeline(Document::from_file(file));
}

}  // namespace r1
