#include "model/timeline/timeline_json.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>

#include <fmt/format.h>

namespace r1 {

namespace {

// Names are plain words: none needs escapes. Made as text, since the ops of a large job as JSON
// values would take a gigabyte.
std::string ops_text(const ChunkTemplate& chunk) {
    std::string text;
    for (const Op& op : chunk.ops) {
        text += fmt::format(R"({}{{"kind":"{}","stream":"{}","phase":"{}","layer":{}}})",
                            text.empty() ? "" : ",", kind_name(op), name(op.stream), name(op.phase),
                            op.layer);
    }
    return text;
}

void append_graph(std::string& text, const ExecutionGraph& graph) {
    std::vector<std::string> ops;
    ops.reserve(graph.templates().size());
    for (const ChunkTemplate& chunk : graph.templates()) {
        ops.push_back(ops_text(chunk));
    }
    text += fmt::format("{{\"hash\":\"{}\",\"programs\":[", graph.hash().hex());
    const char* program_comma = "\n";
    for (const RankProgram& program : graph.programs()) {
        text += program_comma;
        text += "{\"items\":[";
        const char* item_comma = "\n";
        for (const Item& item : program.items) {
            text += fmt::format("{}{{\"kind\":\"{}\",\"ops\":[", item_comma, name(item.kind));
            text += ops[item.chunk.index()];
            text += "]}";
            item_comma = ",\n";
        }
        text += "]}";
        program_comma = ",\n";
    }
    text += "]}";
}

std::string lanes_text(const std::vector<Lane>& lanes) {
    std::string text;
    for (const Lane& lane : lanes) {
        text +=
            fmt::format("{}\n{{\"rank\":{},\"program\":{},\"multiplicity\":{}}}",
                        text.empty() ? "" : ",", lane.rank.value, lane.program, lane.multiplicity);
    }
    return text;
}

TimePs earliest_start(const std::vector<TimelinePart>& parts) {
    TimePs begin = std::numeric_limits<TimePs>::max();
    for (const TimelinePart& part : parts) {
        for (const Interval& interval : part.intervals) {
            begin = std::min(begin, interval.start);
        }
    }
    return begin;
}

}  // namespace

std::string timeline_text(const std::vector<TimelinePart>& parts, const std::vector<Lane>& lanes,
                          bool measured) {
    std::map<std::string, std::size_t> indices;
    std::string text =
        fmt::format("{{\"schema\":\"r1sim.timeline/1\",\"measured\":{},\n\"graphs\":[", measured);
    for (const TimelinePart& part : parts) {
        if (indices.try_emplace(part.graph.hash().hex(), indices.size()).second) {
            text += indices.size() > 1 ? ",\n" : "";
            append_graph(text, part.graph);
        }
    }
    text += "],\n\"lanes\":[" + lanes_text(lanes) + "],\n";
    text += R"("columns":["graph","lane","item","op","iteration","start_ps","end_ps"],)";
    text += "\n\"intervals\":[";
    const TimePs begin = measured ? earliest_start(parts) : 0;
    const char* comma = "\n";
    for (const TimelinePart& part : parts) {
        const std::size_t graph = indices.at(part.graph.hash().hex());
        for (const Interval& i : part.intervals) {
            fmt::format_to(std::back_inserter(text), "{}[{},{},{},{},{},{},{}]", comma, graph,
                           i.op.lane, i.op.item, i.op.op, i.iteration, i.start - begin,
                           i.end - begin);
            comma = ",\n";
        }
    }
    text += "]}\n";
    return text;
}

}  // namespace r1
