#include "model/timeline/timeline_json.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "model/graph/dependencies.hpp"

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
    const Dependencies dependencies(graph);
    text += fmt::format("{{\"hash\":\"{}\",\"programs\":[", graph.hash().hex());
    for (std::uint32_t p = 0; p < graph.programs().size(); ++p) {
        text += p == 0 ? "\n{\"items\":[" : ",\n{\"items\":[";
        const std::vector<Item>& items = graph.programs()[p].items;
        for (std::uint32_t i = 0; i < items.size(); ++i) {
            text += fmt::format("{}{{\"kind\":\"{}\",\"ops\":[{}]", i == 0 ? "\n" : ",\n",
                                name(items[i].kind), ops[items[i].chunk.index()]);
            if (const auto send = dependencies.send_of({p, i, 0})) {
                text += fmt::format(",\"send\":{{\"program\":{},\"item\":{}}}", send->program,
                                    send->item);
            }
            text += "}";
        }
        text += "]}";
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
