#include "tools/report/over_time.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/timeline/spans.hpp"

namespace r1 {

namespace {

constexpr TimePs kUnitsMin = 1'000'000;    // of a step: finer than a picture, at any zoom
constexpr TimePs kShortestGap = 20'000;    // of a step: shorter gaps of busy streams are not drawn
constexpr std::size_t kLinkColumns = 200;  // divides the parts of LinkUsage::over_time

// A power of ten picoseconds, such that a step has at least kUnitsMin and less than ten times that.
TimePs unit_of(TimePs step) {
    TimePs unit = 1;
    while (step / (unit * 10) >= kUnitsMin) {
        unit *= 10;
    }
    return unit;
}

class LaneView {
public:
    LaneView(const TimelineIndex& index, std::uint32_t lane)
        : index_(index),
          lane_(lane),
          unit_(unit_of(index.makespan())),
          gap_(index.makespan() / kShortestGap) {}

    [[nodiscard]] Json json() const {
        const Lane& lane = index_.lanes()[lane_];
        Json json = {{"rank", lane.rank.value}, {"pipeline_rank", lane.program}};
        json["chunks"] = chunks();
        add_streams(json);
        return json;
    }

private:
    [[nodiscard]] TimePs units(TimePs time) const { return (time + unit_ / 2) / unit_; }

    static std::string context(const Context& of) {
        return fmt::format("{}/{}/{}", of.stage, of.direction, of.micro_batch);
    }

    // "FB 0/0/12|15/1/3 1234 5678": kind, stage/direction/micro-batch, from, to.
    [[nodiscard]] Json chunks() const {
        Json rows = Json::array();
        for (const ChunkSpan& span : index_.chunk_spans(lane_)) {
            const Item& item = index_.items(lane_)[span.item];
            std::string of = context(item.contexts[0]);
            if (item.kind == ItemKind::overlapped) {
                of += "|" + context(item.contexts[1]);
            }
            rows.push_back(fmt::format("{} {} {} {}", name(item.kind), of, units(span.start),
                                       units(span.end)));
        }
        return rows;
    }

    // "20 300 10 250": idle for 20 units, busy for 300, idle for 10, busy for 250.
    [[nodiscard]] std::string packed(std::vector<Span>& spans) const {
        unite(spans);
        std::string text;
        TimePs written = 0;
        for (std::size_t i = 0; i < spans.size();) {
            std::size_t last = i;
            while (last + 1 < spans.size() && spans[last + 1].first - spans[last].second <= gap_) {
                ++last;
            }
            const TimePs start = units(spans[i].first);
            const TimePs end = units(spans[last].second);
            fmt::format_to(std::back_inserter(text), "{}{} {}", text.empty() ? "" : " ",
                           start - written, end - start);
            written = end;
            i = last + 1;
        }
        return text;
    }

    // When compute streams were busy, and each kind of communication (without notify, which waits
    // and moves nothing).
    void add_streams(Json& json) const {
        std::vector<Span> compute;
        std::array<std::vector<Span>, kCollectiveCount> by_kind;
        const auto items = static_cast<std::uint32_t>(index_.items(lane_).size());
        for (std::uint32_t item = 0; item < items; ++item) {
            const std::vector<Op>& ops = index_.chunk(lane_, item).ops;
            for (std::uint32_t op = 0; op < ops.size(); ++op) {
                const Interval* interval = index_.find({lane_, item, op});
                if (interval == nullptr) {
                    continue;
                }
                if (const CommOp* comm = ops[op].comm()) {
                    by_kind[static_cast<std::size_t>(comm->collective)].emplace_back(
                        interval->start, interval->end);
                } else if (computes(ops[op].stream)) {
                    compute.emplace_back(interval->start, interval->end);
                }
            }
        }
        json["compute"] = packed(compute);
        json["communication"] = Json::object();
        for (std::size_t kind = 0; kind < kCollectiveCount; ++kind) {
            const auto collective = static_cast<Collective>(kind);
            if (!by_kind[kind].empty() && collective != Collective::notify) {
                json["communication"][std::string(name(collective))] = packed(by_kind[kind]);
            }
        }
    }

    const TimelineIndex& index_;
    std::uint32_t lane_;
    TimePs unit_;
    TimePs gap_;
};

// The first lane of each pipeline rank.
std::vector<std::uint32_t> shown_lanes(const TimelineIndex& index) {
    std::map<std::int32_t, std::uint32_t> first;
    for (std::uint32_t lane = 0; lane < index.lane_count(); ++lane) {
        first.try_emplace(index.lanes()[lane].program, lane);
    }
    std::vector<std::uint32_t> lanes;
    for (const auto& [program, lane] : first) {
        lanes.push_back(lane);
    }
    return lanes;
}

Json links_json(const std::vector<LinkUsage>& links) {
    Json json = Json::array();
    for (const LinkUsage& link : links) {
        const std::size_t parts = link.over_time.size() / kLinkColumns;
        std::string text;
        for (std::size_t column = 0; column < kLinkColumns; ++column) {
            double sum = 0;
            for (std::size_t part = 0; part < parts; ++part) {
                sum += link.over_time[column * parts + part];
            }
            fmt::format_to(std::back_inserter(text), "{}{:.0f}", column == 0 ? "" : " ",
                           sum / static_cast<double>(parts) * 100);
        }
        json.push_back({{"id", link.id}, {"utilisation_percent", text}});
    }
    return json;
}

}  // namespace

Json over_time_json(const TimelineIndex& index, const std::vector<LinkUsage>& links) {
    Json lanes = Json::array();
    for (const std::uint32_t lane : shown_lanes(index)) {
        lanes.push_back(LaneView(index, lane).json());
    }
    return {{"unit_ps", unit_of(index.makespan())}, {"lanes", lanes}, {"links", links_json(links)}};
}

Json largest_bubble_json(const TimelineIndex& index) {
    TimePs last_end = 0;
    for (std::uint32_t lane = 0; lane < index.lane_count(); ++lane) {
        for (const ChunkSpan& span : index.chunk_spans(lane)) {
            last_end = std::max(last_end, span.end);
        }
    }
    Span largest{0, 0};
    std::uint32_t of = 0;
    for (const std::uint32_t lane : shown_lanes(index)) {
        TimePs free_from = 0;
        const auto consider = [&](TimePs until) {
            if (until - free_from > length({largest})) {
                largest = {free_from, until};
                of = lane;
            }
        };
        for (const ChunkSpan& span : index.chunk_spans(lane)) {
            consider(span.start);
            free_from = std::max(free_from, span.end);
        }
        consider(last_end);
    }
    if (length({largest}) == 0) {
        return nullptr;
    }
    return {{"rank", index.lanes()[of].program},
            {"start_s", from_ps(largest.first).value()},
            {"end_s", from_ps(largest.second).value()},
            {"duration_s", from_ps(length({largest})).value()}};
}

}  // namespace r1
