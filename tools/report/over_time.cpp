#include "tools/report/over_time.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/timeline/spans.hpp"
#include "model/timeline/timeline_index.hpp"

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

// The first lane of each pipeline rank.
std::vector<std::uint32_t> first_lanes(const std::vector<Lane>& lanes) {
    std::map<std::int32_t, std::uint32_t> first;
    for (std::uint32_t lane = 0; lane < lanes.size(); ++lane) {
        first.try_emplace(lanes[lane].program, lane);
    }
    std::vector<std::uint32_t> result;
    for (const auto& [program, lane] : first) {
        result.push_back(lane);
    }
    return result;
}

// A timeline's first lane of each pipeline rank.
class TimelineView {
public:
    TimelineView(const ExecutionGraph& graph, const Timeline& timeline)
        : timeline_(timeline),
          index_(graph, timeline),
          unit_(unit_of(index_.makespan())),
          gap_(index_.makespan() / kShortestGap),
          shown_(first_lanes(timeline.lanes)) {
        for (std::uint32_t lane = 0; lane < index_.lane_count(); ++lane) {
            chunks_.push_back(index_.chunk_spans(lane));
            for (const ChunkSpan& span : chunks_.back()) {
                last_chunk_end_ = std::max(last_chunk_end_, span.end);
            }
        }
    }

    [[nodiscard]] TimePs unit() const { return unit_; }

    [[nodiscard]] Json lanes() const {
        Json lanes = Json::array();
        for (const std::uint32_t shown : shown_) {
            const Lane& lane = timeline_.lanes[shown];
            Json json = {{"rank", lane.rank.value}, {"pipeline_rank", lane.program}};
            json["chunks"] = chunks(shown);
            add_streams(json, shown);
            lanes.push_back(std::move(json));
        }
        return lanes;
    }

    // {"rank", "start_s", "end_s", "duration_s"}; null if no lane waits.
    [[nodiscard]] Json largest_bubble() const {
        Span largest{0, 0};
        std::uint32_t of = 0;
        for (const std::uint32_t lane : shown_) {
            TimePs free_from = 0;
            const auto consider = [&](TimePs until) {
                if (until - free_from > largest.second - largest.first) {
                    largest = {free_from, until};
                    of = lane;
                }
            };
            for (const ChunkSpan& span : chunks_[lane]) {
                consider(span.start);
                free_from = std::max(free_from, span.end);
            }
            consider(last_chunk_end_);
        }
        const TimePs duration = largest.second - largest.first;
        return duration == 0 ? Json()
                             : Json({{"rank", timeline_.lanes[of].program},
                                     {"start_s", from_ps(largest.first).value()},
                                     {"end_s", from_ps(largest.second).value()},
                                     {"duration_s", from_ps(duration).value()}});
    }

private:
    [[nodiscard]] TimePs units(TimePs time) const { return (time + unit_ / 2) / unit_; }

    static std::string context(const Context& of) {
        return fmt::format("{}/{}/{}", of.stage, of.direction, of.micro_batch);
    }

    // "FB 0/0/12|15/1/3 1234 5678": kind, stage/direction/micro-batch, from, to.
    [[nodiscard]] Json chunks(std::uint32_t lane) const {
        Json rows = Json::array();
        for (const ChunkSpan& span : chunks_[lane]) {
            const Item& item = index_.items(lane)[span.item];
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
    void add_streams(Json& json, std::uint32_t lane) const {
        std::vector<Span> compute;
        std::array<std::vector<Span>, kCollectiveCount> by_kind;
        const auto before = [](const Interval& interval, std::uint32_t of) {
            return interval.op.lane < of;
        };
        const auto& intervals = timeline_.intervals;
        auto it = std::lower_bound(intervals.begin(), intervals.end(), lane, before);
        for (; it != intervals.end() && it->op.lane == lane; ++it) {
            const Op& op = index_.chunk(lane, it->op.item).ops[it->op.op];
            const CommOp* comm = op.comm();
            if (it->iteration != 0 || (comm == nullptr && !computes(op.stream))) {
                continue;
            }
            std::vector<Span>& spans =
                comm == nullptr ? compute : by_kind[static_cast<std::size_t>(comm->collective)];
            // Most ops of a stream follow each other: few spans to sort.
            if (!spans.empty() && it->start >= spans.back().first &&
                it->start - spans.back().second <= gap_) {
                spans.back().second = std::max(spans.back().second, it->end);
            } else {
                spans.emplace_back(it->start, it->end);
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

    const Timeline& timeline_;
    TimelineIndex index_;
    TimePs unit_;
    TimePs gap_;
    std::vector<std::uint32_t> shown_;
    std::vector<std::vector<ChunkSpan>> chunks_;  // by lane
    TimePs last_chunk_end_ = 0;
};

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

void add_over_time(Json& report, const ExecutionGraph& graph, const Timeline& timeline,
                   const std::vector<LinkUsage>& links) {
    const TimelineView view(graph, timeline);
    report["pipeline"]["largest_bubble"] = view.largest_bubble();
    report["over_time"] = {
        {"unit_ps", view.unit()}, {"lanes", view.lanes()}, {"links", links_json(links)}};
}

}  // namespace r1
