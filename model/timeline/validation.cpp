#include "model/timeline/validation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "model/timeline/typical_factors.hpp"

namespace r1 {

namespace {

// Durations are added as doubles: files may hold times that integers would overflow with.
double duration_ps(const Interval& interval) {
    return static_cast<double>(interval.end - interval.start);
}

void add(TimeError& to, double measured_ps, double simulated_ps, std::int64_t ranks) {
    constexpr double kSecondsPerPs = 1e-12;
    to.ops += ranks;
    to.measured_s += measured_ps * static_cast<double>(ranks) * kSecondsPerPs;
    to.simulated_s += simulated_ps * static_cast<double>(ranks) * kSecondsPerPs;
}

// How far off, whichever way: a third is as far as thrice.
double distance(const TimeError& error) {
    return error.typical_factor ? std::abs(std::log(*error.typical_factor)) : 0;
}

std::vector<TimeError> ranked(const std::map<std::string_view, TimeError>& kinds,
                              const std::map<std::string_view, double>& factors) {
    std::vector<TimeError> errors;
    for (const auto& [kind, sums] : kinds) {
        TimeError& error = errors.emplace_back(sums);
        error.name = kind;
        const auto found = factors.find(kind);
        if (found != factors.end()) {
            error.typical_factor = found->second;
        }
    }
    std::stable_sort(errors.begin(), errors.end(), [](const TimeError& a, const TimeError& b) {
        return std::make_pair(distance(a), std::abs(a.difference_s())) >
               std::make_pair(distance(b), std::abs(b.difference_s()));
    });
    return errors;
}

// From the earliest start to the latest end.
class TimeSpan {
public:
    void add(const Interval& interval) {
        begin_ = std::min(begin_, interval.start);
        end_ = std::max(end_, interval.end);
    }
    [[nodiscard]] double length() const { return static_cast<double>(end_ - begin_); }

private:
    TimePs begin_ = std::numeric_limits<TimePs>::max();
    TimePs end_ = 0;
};

template <class Key>
std::vector<TimeError> values(const std::map<Key, TimeError>& errors) {
    std::vector<TimeError> list;
    for (const auto& [key, error] : errors) {
        list.push_back(error);
    }
    return list;
}

}  // namespace

std::optional<double> TimeError::relative() const {
    if (measured_s > 0) {
        return difference_s() / measured_s;
    }
    return simulated_s > 0 ? std::nullopt : std::optional(0.0);
}

Validation validate(const std::vector<AlignedGraph>& graphs) {
    Validation validation;
    std::map<std::string_view, TimeError> kinds;
    std::map<Phase, TimeError> phases;
    std::map<RankId, TimeError> ranks;
    TimeSpan measured;
    TimeSpan simulated;
    std::int64_t ops = 0;
    for (const AlignedGraph& graph : graphs) {
        validation.graphs.push_back(graph.measured->hash);
        for (const AlignedOp& pair : graph.ops) {
            const RecordedOp& op = graph.measured->op(pair.measured->op);
            const Lane& lane = graph.measured->timeline.lanes[pair.measured->op.lane];
            for (TimeError* error : {&kinds[op.kind], &phases[op.phase], &ranks[lane.rank]}) {
                add(*error, duration_ps(*pair.measured), duration_ps(*pair.simulated),
                    lane.multiplicity);
            }
            phases[op.phase].name = name(op.phase);
            ranks[lane.rank].name = fmt::format("{}", lane.rank.value);
            measured.add(*pair.measured);
            simulated.add(*pair.simulated);
            ops += lane.multiplicity;
        }
    }
    if (ops > 0) {
        add(validation.end_to_end, measured.length(), simulated.length(), 1);
    }
    validation.end_to_end.ops = ops;
    validation.op_kinds = ranked(kinds, typical_factors(graphs));
    validation.phases = values(phases);
    validation.ranks = values(ranks);
    return validation;
}

}  // namespace r1
