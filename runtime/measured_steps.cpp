#include "runtime/measured_steps.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "model/base/json.hpp"
#include "model/timeline/measured.hpp"
#include "runtime/binding.hpp"
#include "runtime/clock_alignment.hpp"

namespace r1 {

namespace {

template <class T>
std::string as_text(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}
template <class T>
std::vector<T> from_text(const std::string& text) {
    std::vector<T> values(text.size() / sizeof(T));
    std::copy(text.begin(), text.end(), reinterpret_cast<char*>(values.data()));
    return values;
}

// Rank 0's choice, the same on all ranks.
std::size_t median_record(const std::vector<StepRecord>& records, const Everyone& ranks) {
    std::vector<std::size_t> order(records.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return records[a].time_s < records[b].time_s; });
    return std::stoul(gather_texts(ranks, std::to_string(order[order.size() / 2])).front());
}

Timeline gather_timeline(const ExecutionGraph& graph, std::vector<Interval> own,
                         const Everyone& ranks) {
    const TimePs offset = clock_offset(ranks);
    for (Interval& interval : own) {
        interval.op.lane = static_cast<std::uint32_t>(ranks.communicator.rank());
        interval.start += offset;
        interval.end += offset;
    }
    Timeline timeline;
    for (const std::string& text : gather_texts(ranks, as_text(own))) {
        const RankId rank(timeline.lanes.size());
        timeline.lanes.push_back(
            {rank, static_cast<std::int32_t>(graph.instances().program_of(rank)), 1});
        const auto theirs = from_text<Interval>(text);
        timeline.intervals.insert(timeline.intervals.end(), theirs.begin(), theirs.end());
    }
    return one_iteration(timeline, 0);
}

std::vector<ExchangeRecord> gather_exchanges(const std::vector<ExchangeRecord>& own,
                                             const Everyone& ranks) {
    Json list = Json::array();
    for (const ExchangeRecord& record : own) {
        list.push_back(exchange_json(record));
    }
    std::vector<ExchangeRecord> all;
    for (const std::string& text : gather_texts(ranks, list.dump())) {
        for (const Json& record : Json::parse(text)) {
            all.push_back(exchange_of(record));
        }
    }
    return all;
}

}  // namespace

MeasuredStep median_step(const ExecutionGraph& graph, const std::vector<StepRecord>& records,
                         const Everyone& ranks) {
    const StepRecord& own = records.at(median_record(records, ranks));
    MeasuredStep step;
    step.timeline = gather_timeline(graph, own.intervals, ranks);
    step.exchanges = gather_exchanges(own.exchanges, ranks);
    for (const std::string& text :
         gather_texts(ranks, as_text(std::vector<Traffic>{own.traffic}))) {
        step.traffic += from_text<Traffic>(text).front();
    }
    return step;
}

}  // namespace r1
