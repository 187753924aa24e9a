#include "model/timeline/typical_factors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

namespace r1 {

namespace {

double picoseconds(TimePs start, TimePs end) { return static_cast<double>(end - start); }

// When the messages of a timeline were sent. From the rank that stands where the receiver stands
// in its own program.
class Sends {
public:
    explicit Sends(const RecordedGraph& graph) : graph_(graph) {
        for (std::uint32_t lane = 0; lane < lanes().size(); ++lane) {
            std::vector<std::uint32_t>& known = lanes_of_[lanes()[lane].program];
            place_.push_back(known.size());
            known.push_back(lane);
        }
    }

    // From the send's start, for a receive that began before it; else the op's own time.
    [[nodiscard]] double time_since_send(const Interval& interval) const {
        const auto program = static_cast<std::size_t>(lanes()[interval.op.lane].program);
        const auto& send = graph_.programs[program][interval.op.item].send;
        const Interval* sent = send ? find(*send, interval) : nullptr;
        return picoseconds(sent == nullptr ? interval.start
                                           : std::clamp(sent->start, interval.start, interval.end),
                           interval.end);
    }

private:
    [[nodiscard]] const std::vector<Lane>& lanes() const { return graph_.timeline.lanes; }

    [[nodiscard]] const Interval* find(const std::pair<std::uint32_t, std::uint32_t>& send,
                                       const Interval& received) const {
        const auto senders = lanes_of_.find(static_cast<std::int32_t>(send.first));
        const std::size_t place = place_[received.op.lane];
        if (senders == lanes_of_.end() || place >= senders->second.size()) {
            return nullptr;
        }
        const OpRef op{senders->second[place], send.second, 0};
        const std::vector<Interval>& all = graph_.timeline.intervals;
        auto found = std::lower_bound(all.begin(), all.end(), op,
                                      [](const Interval& a, OpRef key) { return a.op < key; });
        while (found != all.end() && found->op == op && found->iteration != received.iteration) {
            ++found;
        }
        return found != all.end() && found->op == op ? &*found : nullptr;
    }

    const RecordedGraph& graph_;
    std::vector<std::size_t> place_;  // by lane: which of its program's
    std::map<std::int32_t, std::vector<std::uint32_t>> lanes_of_;  // by program
};

// nullopt: neither takes time.
std::optional<double> factor_of(double measured, double simulated) {
    if (measured > 0) {
        return simulated / measured;
    }
    return simulated > 0 ? std::optional(std::numeric_limits<double>::infinity()) : std::nullopt;
}

// One op of a kind on one rank, or of communication on all that run it.
struct Times {
    double measured = 0;
    double simulated = 0;

    void shorten(const Times& other) {
        measured = std::min(measured, other.measured);
        simulated = std::min(simulated, other.simulated);
    }
    [[nodiscard]] std::optional<double> factor() const { return factor_of(measured, simulated); }
};

struct CommunicationTimes {
    std::tuple<std::int32_t, std::uint32_t, std::uint32_t, std::int32_t> key;
    Times recorded;
    Times since_send;

    [[nodiscard]] std::optional<double> factor() const {
        const std::optional<double> whole = recorded.factor();
        const std::optional<double> part = since_send.factor();
        const bool explained = part && std::abs(std::log(*part)) < std::abs(std::log(*whole));
        return explained ? part : whole;
    }
};

class FactorsByKind {
public:
    void add(const AlignedGraph& graph) {
        const Sends measured(*graph.measured);
        const Sends simulated(*graph.simulated);
        std::vector<CommunicationTimes> communication;
        for (const AlignedOp& pair : graph.ops) {
            const Interval& m = *pair.measured;
            const Interval& s = *pair.simulated;
            const Times recorded{picoseconds(m.start, m.end), picoseconds(s.start, s.end)};
            const RecordedOp& op = graph.measured->op(m.op);
            if (computes(op.stream)) {
                add(op.kind, recorded.factor());
            } else {
                const Lane& lane = graph.measured->timeline.lanes[m.op.lane];
                communication.push_back(
                    {{lane.program, m.op.item, m.op.op, m.iteration},
                     recorded,
                     {measured.time_since_send(m), simulated.time_since_send(s)}});
            }
        }
        add(graph, std::move(communication));
    }

    [[nodiscard]] std::map<std::string_view, double> medians() && {
        std::map<std::string_view, double> result;
        for (auto& [kind, values] : values_) {
            const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
            std::nth_element(values.begin(), middle, values.end());
            result[kind] = *middle;
        }
        return result;
    }

private:
    void add(std::string_view kind, const std::optional<double>& factor) {
        if (factor) {
            values_[kind].push_back(*factor);
        }
    }

    void add(const AlignedGraph& graph, std::vector<CommunicationTimes> ops) {
        std::sort(ops.begin(), ops.end(),
                  [](const auto& a, const auto& b) { return a.key < b.key; });
        for (std::size_t i = 0; i < ops.size();) {
            CommunicationTimes joint = ops[i];
            for (; i < ops.size() && ops[i].key == joint.key; ++i) {
                joint.recorded.shorten(ops[i].recorded);
                joint.since_send.shorten(ops[i].since_send);
            }
            const auto& [program, item, op, iteration] = joint.key;
            const auto& items = graph.measured->programs[static_cast<std::size_t>(program)];
            add(items[item].ops[op].kind, joint.factor());
        }
    }

    std::map<std::string_view, std::vector<double>> values_;
};

}  // namespace

std::map<std::string_view, double> typical_factors(const std::vector<AlignedGraph>& graphs) {
    FactorsByKind factors;
    for (const AlignedGraph& graph : graphs) {
        factors.add(graph);
    }
    return std::move(factors).medians();
}

}  // namespace r1
