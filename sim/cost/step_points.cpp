#include "sim/cost/step_points.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "model/base/check.hpp"
#include "model/base/collective_bus.hpp"
#include "sim/cost/curve_form.hpp"
#include "sim/cost/expert_exchange.hpp"
#include "sim/cost/op_columns.hpp"

namespace r1 {

namespace {

constexpr double kPsPerUs = 1e6;

double microseconds_between(TimePs from, TimePs to) {
    return static_cast<double>(to - from) / kPsPerUs;
}

std::vector<std::string> curve_columns(const ComputeOp& op) {
    const bool wgrad = name(op.kernel).find("wgrad") != std::string_view::npos;
    switch (kernel_signature(op.kernel)->cost_class) {
        case KernelClass::gemm: return {"m", "n", "k", "sms"};
        case KernelClass::grouped_gemm:
            return wgrad ? std::vector<std::string>{"groups", "m", "n", "k_per_group", "sms"}
                         : std::vector<std::string>{"groups", "m_per_group", "n", "k", "sms"};
        case KernelClass::attention: return {"tokens", "heads", "qk", "v", "sms"};
        case KernelClass::memory: break;
    }
    return {"bytes", "sms"};
}

// Points by curve and columns, in that order.
class Points {
public:
    void add(const StepPoint& size, double us) {
        if (us > 0) {
            auto& point = points_.try_emplace({size.curve, size.at}, size).first->second;
            point.times_us.push_back(us);
        }
    }
    std::vector<StepPoint> take() {
        std::vector<StepPoint> all;
        for (auto& [key, point] : points_) {
            all.push_back(std::move(point));
        }
        return all;
    }

private:
    std::map<std::pair<std::string, std::vector<double>>, StepPoint> points_;
};

// The op that ran, and where.
struct Ran {
    const Interval& interval;
    const Lane& lane;
    const Item& item;
    const ChunkTemplate& chunk;
    const Op& op;
};

template <class Visit>
void for_each_op(const MeasuredRanks& ranks, const Visit& visit) {
    for (const Interval& interval : ranks.timeline.intervals) {
        if (interval.iteration == 0) {
            const Lane& lane = ranks.timeline.lanes[interval.op.lane];
            const auto program = static_cast<std::size_t>(lane.program);
            const Item& item = ranks.graph.programs()[program].items[interval.op.item];
            const ChunkTemplate& chunk = ranks.graph.chunk(item.chunk);
            visit(Ran{interval, lane, item, chunk, chunk.ops[interval.op.op]});
        }
    }
}

// What ops would have taken alone on their rank.
class TimesAlone {
public:
    explicit TimesAlone(const MeasuredRanks& ranks) {
        std::map<std::uint32_t, std::vector<const Interval*>> lanes;
        for_each_op(ranks, [&](const Ran& ran) {
            if (computes(ran.op.stream)) {
                lanes[ran.interval.op.lane].push_back(&ran.interval);
            }
        });
        for (const auto& [lane, intervals] : lanes) {
            share(intervals);
        }
    }
    [[nodiscard]] double us(const Interval& interval) const {
        const auto found = us_.find(&interval);
        return found == us_.end() ? microseconds_between(interval.start, interval.end)
                                  : found->second;
    }

private:
    // Between any two neighbouring times, those that run have the device in equal parts.
    void share(const std::vector<const Interval*>& intervals) {
        std::multimap<TimePs, const Interval*> changes;
        for (const Interval* interval : intervals) {
            changes.emplace(interval->start, interval);
            changes.emplace(interval->end, interval);
            us_[interval] = 0;
        }
        std::set<const Interval*> running;
        TimePs before = 0;
        for (const auto& [now, interval] : changes) {
            for (const Interval* each : running) {
                us_[each] +=
                    microseconds_between(before, now) / static_cast<double>(running.size());
            }
            if (!running.erase(interval)) {
                running.insert(interval);
            }
            before = now;
        }
    }

    std::map<const Interval*, double> us_;
};

// Without times. No amount: nothing to do.
StepPoint kernel_size(const MeasuredRanks& ranks, const Ran& ran) {
    const ComputeOp& op = *ran.op.compute();
    const bool is_memory = kernel_signature(op.kernel)->cost_class == KernelClass::memory;
    StepPoint point;
    point.curve = own_curve(ran.chunk, ran.op);
    point.quantity = is_memory ? "gb_per_s" : "tflops";
    point.columns = curve_columns(op);
    const std::map<std::string, double> sizes = columns_of(op, ranks.symbols, ranks.sms);
    std::map<std::string, double> columns;
    for (const std::string& column : point.columns) {
        point.at.push_back(sizes.at(column));
        columns[column] = point.at.back();
    }
    const KernelShape shape = shape_of(point.curve, columns);
    point.amount = is_memory ? shape.bytes : shape.flops;
    return point;
}

// Of a collective among `members` ranks.
StepPoint exchange_size(const MeasuredRanks& ranks, const Ran& ran, double members) {
    const CommOp& comm = *ran.op.comm();
    StepPoint point;
    point.curve = std::string(name(comm.collective));
    const double payload = comm.payload_bytes.value(ranks.symbols);
    switch (comm.collective) {
        case Collective::dispatch:
        case Collective::combine: {
            point.quantity = "logical_gb_per_s";
            point.columns = {"ep", "tokens", "sms", "overlapped", "backward"};
            const auto tokens = static_cast<double>(comm.tokens);
            point.at = {members, tokens, static_cast<double>(ranks.sms),
                        ran.item.kind == ItemKind::overlapped ? 1.0 : 0.0,
                        ran.op.phase == Phase::forward ? 0.0 : 1.0};
            point.amount =
                tokens * payload * logical_copies(comm.collective, ranks.traffic, ranks.group);
            break;
        }
        case Collective::notify:
            point.quantity = "us";
            point.columns = {"ep"};
            point.at = {members};
            break;
        default:
            point.quantity = "bus_gb_per_s";
            point.columns = {"bytes", "ranks"};
            point.at = {payload, members};
            point.amount = payload * bus_factor(point.curve, members);
    }
    return point;
}

bool is_exchange(const CommOp& comm) {
    return comm.collective != Collective::send && comm.collective != Collective::recv;
}

}  // namespace

double StepPoint::value(double us) const {
    if (quantity == "us") {
        return us;
    }
    return amount / us / (quantity == "tflops" ? 1e6 : 1e3);
}

std::vector<StepPoint> kernel_points(const MeasuredRanks& ranks) {
    const TimesAlone alone(ranks);
    Points points;
    for_each_op(ranks, [&](const Ran& ran) {
        if (ran.op.compute() != nullptr) {
            const StepPoint size = kernel_size(ranks, ran);
            if (size.amount > 0) {
                points.add(size, alone.us(ran.interval));
            }
        }
    });
    return points.take();
}

std::vector<StepPoint> exchange_points(const MeasuredRanks& ranks) {
    struct Meeting {
        TimePs last_start = 0;
        TimePs last_end = 0;
        StepPoint size;
    };
    R1_CHECK(ranks.graph.programs().size() == 1);  // members' items have one number
    // By the group's first rank: who meets there.
    std::map<std::tuple<RankId, std::uint32_t, std::uint32_t>, Meeting> meetings;
    for_each_op(ranks, [&](const Ran& ran) {
        const CommOp* comm = ran.op.comm();
        if (comm == nullptr || !is_exchange(*comm)) {
            return;
        }
        const std::int32_t stage = ran.item.contexts[ran.op.context].stage;
        const std::vector<RankId> members = ranks.graph.group(comm->group, ran.lane.rank, stage);
        if (members.size() < 2) {
            return;
        }
        const auto [found, is_new] =
            meetings.try_emplace({members.front(), ran.interval.op.item, ran.interval.op.op});
        Meeting& meeting = found->second;
        if (is_new) {
            meeting.size = exchange_size(ranks, ran, static_cast<double>(members.size()));
        }
        meeting.last_start = std::max(meeting.last_start, ran.interval.start);
        meeting.last_end = std::max(meeting.last_end, ran.interval.end);
    });
    Points points;
    for (const auto& [where, meeting] : meetings) {
        points.add(meeting.size, microseconds_between(meeting.last_start, meeting.last_end));
    }
    return points.take();
}

std::vector<double> launch_gaps_us(const MeasuredRanks& ranks) {
    std::vector<double> gaps;
    std::map<std::pair<std::uint32_t, std::uint32_t>, const Interval*> last;  // by lane and item
    for_each_op(ranks, [&](const Ran& ran) {
        if (ran.op.stream == Stream::compute) {
            const OpRef& op = ran.interval.op;
            const auto [before, is_first] = last.try_emplace({op.lane, op.item}, &ran.interval);
            if (!is_first) {
                const Interval& other = *before->second;
                gaps.push_back(microseconds_between(other.end, ran.interval.start));
                before->second = &ran.interval;
            }
        }
    });
    return gaps;
}

}  // namespace r1
