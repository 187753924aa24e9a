// Validation: ops are aligned one to one or refused, errors are hand-solved sums, and whatever kind
// is wrong is named first.
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "model/base/diagnostics.hpp"
#include "model/base/rng.hpp"
#include "model/timeline/alignment.hpp"
#include "model/timeline/validation.hpp"
#include "tests/model/timeline_fixture.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/measured_timeline.hpp"

using namespace r1;
using test::contains;
using test::HandGraph;
using test::set_seconds;

namespace {

NamedTimeline named(const char* name, const ExecutionGraph& graph, const Timeline& timeline) {
    return {name, {true, {record(graph, timeline)}}};
}

Validation validate_hand(const Timeline& measured, const Timeline& simulated) {
    const ExecutionGraph graph = HandGraph::build();
    const NamedTimeline m = named("m.json", graph, measured);
    const NamedTimeline s = named("s.json", graph, simulated);
    return validate(align(m, s));
}

const TimeError& find_error(const std::vector<TimeError>& errors, const std::string& name) {
    for (const TimeError& error : errors) {
        if (error.name == name) {
            return error;
        }
    }
    FAIL("there is no " << name);
    return errors.front();
}

// The messages of the refusal, "" if there is none.
std::string refusal(const NamedTimeline& measured, const NamedTimeline& simulated) {
    try {
        align(measured, simulated);
    } catch (const InputError& error) {
        std::string text;
        for (const Diagnostic& diagnostic : error.diagnostics()) {
            text += diagnostic.location.file + " " + diagnostic.message + "\n";
        }
        return text;
    }
    return "";
}

std::string_view kind_of(const ExecutionGraph& graph, const Timeline& timeline, OpRef ref) {
    const auto program = static_cast<std::size_t>(timeline.lanes[ref.lane].program);
    const Item& item = graph.programs()[program].items[ref.item];
    return kind_name(graph.chunk(item.chunk).ops[ref.op]);
}

// Ops of a kind take `factor` times as long. With `shift`, what starts after one of them on its
// lane starts later by as much.
Timeline planted(const ExecutionGraph& graph, Timeline timeline, std::string_view kind,
                 double factor, bool shift) {
    std::vector<std::pair<TimePs, Interval*>> order;
    for (Interval& interval : timeline.intervals) {
        order.emplace_back(interval.start, &interval);
    }
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<TimePs> late(timeline.lanes.size());
    for (auto& [start, interval] : order) {
        const TimePs length = interval->end - interval->start;
        TimePs& delay = late[interval->op.lane];
        interval->start += delay;
        interval->end += delay;
        if (kind_of(graph, timeline, interval->op) == kind) {
            const auto more = static_cast<TimePs>(static_cast<double>(length) * (factor - 1));
            interval->end += more;
            delay += shift ? more : 0;
        }
    }
    return timeline;
}

}  // namespace

TEST_CASE("validation: a timeline has no error against itself", "[model][validation]") {
    const Validation validation = validate_hand(HandGraph::timeline(), HandGraph::timeline());
    CHECK(validation.graphs.front() == HandGraph::build().hash().hex());
    CHECK(validation.end_to_end.ops == 19);
    CHECK(validation.end_to_end.measured_s == Approx(25));
    for (const auto* errors : {&validation.op_kinds, &validation.phases, &validation.ranks}) {
        double sum = 0;
        std::int64_t ops = 0;
        for (const TimeError& error : *errors) {
            CHECK(error.relative() == 0.0);
            sum += error.measured_s;
            ops += error.ops;
        }
        CHECK(ops == 19);
        // Rank 0: 2+4+3+1+2+2+3+1+1+2+1, rank 1: 2+3+2+3+2+1+2+2.
        CHECK(sum == Approx(22 + 17));
    }
}

TEST_CASE("validation: errors are signed and relative to what was measured",
          "[model][validation]") {
    Timeline simulated = HandGraph::timeline();
    set_seconds(simulated, {0, 3, 1}, 19, 22);  // W of rank 0: 1 s, simulated 3 s
    set_seconds(simulated, {1, 2, 1}, 14, 15);  // W of rank 1: 3 s, simulated 1 s
    set_seconds(simulated, {1, 4, 2}, 23, 28);  // the last op: 2 s, simulated 5 s
    const Validation validation = validate_hand(HandGraph::timeline(), simulated);
    const TimeError& weight = find_error(validation.phases, "backward_weight");
    CHECK(weight.ops == 2);
    CHECK(weight.measured_s == Approx(4));
    CHECK(weight.relative() == Approx(0));
    const TimeError& rank = find_error(validation.ranks, "1");
    CHECK(rank.relative() == Approx((17 - 2 + 3) / 17.0 - 1));
    // gradient_norm: 1 + 1 and 1 + 2 s, simulated 3 more; medians of 1, 1, 1, 2.5: the third.
    const TimeError& norm = find_error(validation.op_kinds, "gradient_norm");
    CHECK(norm.difference_s() == Approx(3));
    CHECK(norm.relative() == Approx(3.0 / 5));
    CHECK(norm.typical_factor == Approx(1));
    CHECK(validation.end_to_end.relative() == Approx(28.0 / 25 - 1));
}

TEST_CASE("validation: what communication waits for others is no typical error of it",
          "[model][validation]") {
    Timeline measured = HandGraph::timeline();
    set_seconds(measured, {1, 0, 0}, 0, 9);    // rank 1 comes to its receive at 0; sent at 7
    set_seconds(measured, {1, 4, 1}, 18, 23);  // and to the all-reduce 3 s before rank 0
    const Validation validation = validate_hand(measured, HandGraph::timeline());
    const TimeError& receive = find_error(validation.op_kinds, "recv");
    CHECK(receive.relative() == Approx((2 + 2) / (9.0 + 2) - 1));
    CHECK(receive.typical_factor == Approx(1));
    const TimeError& reduce = find_error(validation.op_kinds, "all_reduce");
    CHECK(reduce.relative() == Approx((2 + 2) / (2.0 + 5) - 1));
    CHECK(reduce.typical_factor == Approx(1));
}

TEST_CASE("validation: where nothing was measured there is no relative error",
          "[model][validation]") {
    Timeline measured = HandGraph::timeline();
    set_seconds(measured, {0, 0, 1}, 2, 2);  // the only dispatch
    const Validation validation = validate_hand(measured, HandGraph::timeline());
    const TimeError& first = validation.op_kinds.front();
    CHECK(first.name == "dispatch");
    CHECK(!first.relative());
    CHECK(first.typical_factor == std::numeric_limits<double>::infinity());
    Timeline simulated = HandGraph::timeline();
    set_seconds(simulated, {0, 0, 1}, 2, 2);
    const TimeError none = find_error(validate_hand(measured, simulated).op_kinds, "dispatch");
    CHECK(none.relative() == 0.0);
    CHECK(!none.typical_factor);
}

TEST_CASE("validation: the kind that a planted error is of is named first", "[model][validation]") {
    const ExecutionGraph graph = HandGraph::build(2, 2, 64);
    const Timeline truth = test::measured_timeline(graph, 7);
    std::set<std::string_view> kinds;
    for (const Interval& interval : truth.intervals) {
        kinds.insert(kind_of(graph, truth, interval.op));
    }
    CHECK(kinds.size() == 8);
    const Rng rng(1);
    std::uint64_t index = 0;
    for (const std::string_view kind : kinds) {
        for (int i = 0; i < 4; ++i) {
            const double factor = 1.2 + 1.8 * rng.uniform(index++);
            const Timeline wrong = planted(graph, truth, kind, factor, i % 2 == 0);
            const NamedTimeline a = named("a", graph, truth);
            const NamedTimeline b = named("b", graph, wrong);
            INFO(kind << " x " << factor);
            const Validation slow = validate(align(a, b));
            CHECK(slow.op_kinds.front().name == kind);
            CHECK(slow.op_kinds.front().relative() == Approx(factor - 1).epsilon(1e-3));
            CHECK(validate(align(b, a)).op_kinds.front().name == kind);
        }
    }
}

TEST_CASE("validation: an op of one timeline only is named and refused", "[model][validation]") {
    const ExecutionGraph graph = HandGraph::build();
    const NamedTimeline whole = named("m.json", graph, HandGraph::timeline());
    Timeline part = HandGraph::timeline();
    part.intervals.erase(part.intervals.begin() + 1);  // dispatch of rank 0
    const NamedTimeline less = named("s.json", graph, part);
    CHECK(refusal(whole, less) ==
          "s.json has no dispatch of rank 0, iteration 0 (op 1 of item 0, F), which m.json has\n");
    CHECK(refusal(less, whole) ==
          "s.json has no dispatch of rank 0, iteration 0 (op 1 of item 0, F), which m.json has\n");
    Timeline later = HandGraph::timeline();
    later.intervals.back().iteration = 3;
    const std::string both = refusal(whole, named("s.json", graph, later));
    CHECK(contains(both, "m.json has no gradient_norm of rank 1, iteration 3"));
    CHECK(contains(both, "s.json has no gradient_norm of rank 1, iteration 0"));
    CHECK(contains(refusal(whole, named("s.json", graph, {HandGraph::timeline().lanes, {}})),
                   "9 more are not aligned"));
}

TEST_CASE("validation: other graphs, other ops and missing programs are refused",
          "[model][validation]") {
    const ExecutionGraph graph = HandGraph::build();
    const NamedTimeline whole = named("m.json", graph, HandGraph::timeline());
    const ExecutionGraph wider = HandGraph::build(2);
    const std::string graphs =
        refusal(whole, named("s.json", wider, test::measured_timeline(wider, 1)));
    CHECK(contains(graphs, "s.json has no graph " + graph.hash().hex()));
    CHECK(contains(graphs, "m.json has no graph " + wider.hash().hex()));
    NamedTimeline changed = whole;
    changed.file.graphs[0].programs[0][0].ops[0].kind = "rope";
    CHECK(contains(refusal(whole, changed), "says other ops of graph"));
    Timeline one = HandGraph::timeline();
    one.lanes.pop_back();
    one.intervals.resize(11);
    CHECK(contains(refusal(whole, named("s.json", graph, one)),
                   "has no lane for rank 1, which runs program 1"));
    CHECK(refusal(named("m.json", graph, one), whole).empty());
    CHECK(contains(refusal({"m.json", {}}, {"s.json", {}}), "holds no graph"));
}

TEST_CASE("validation: a rank is compared with the lane that stands for it",
          "[model][validation]") {
    const ExecutionGraph graph = HandGraph::build(4, 2);
    const Timeline measured = test::measured_timeline(graph, 1);
    // Keeps some lanes of a timeline of eight ranks, ranks 0 to 3 on program 0.
    const auto folded = [&](const std::vector<std::uint32_t>& kept, std::int64_t multiplicity) {
        Timeline timeline;
        for (const std::uint32_t lane : kept) {
            const auto to = static_cast<std::uint32_t>(timeline.lanes.size());
            timeline.lanes.push_back(measured.lanes[lane]);
            timeline.lanes.back().multiplicity = multiplicity;
            for (Interval interval : measured.intervals) {
                if (interval.op.lane == lane) {
                    interval.op.lane = to;
                    timeline.intervals.push_back(interval);
                }
            }
        }
        return timeline;
    };
    const auto lanes = [&](const std::vector<std::uint32_t>& kept, std::int64_t multiplicity) {
        const NamedTimeline m = named("m", graph, measured);
        const NamedTimeline s = named("s", graph, folded(kept, multiplicity));
        return align(m, s).front().simulated_lane;
    };
    using Lanes = std::vector<std::uint32_t>;
    CHECK(lanes({0, 4}, 4) == Lanes{0, 0, 0, 0, 1, 1, 1, 1});        // folding stage
    CHECK(lanes({0, 1, 4, 5}, 2) == Lanes{0, 1, 0, 1, 2, 3, 2, 3});  // folding ep_group
    CHECK(lanes({0, 2, 4, 6}, 2) == Lanes{0, 0, 1, 1, 2, 2, 3, 3});  // some lanes shown
    CHECK(lanes({0, 1, 2, 3, 4, 5, 6, 7}, 1) == Lanes{0, 1, 2, 3, 4, 5, 6, 7});
    // A folded timeline counts each lane for all of its ranks.
    const NamedTimeline a = named("a", graph, folded({0, 4}, 4));
    CHECK(validate(align(a, a)).end_to_end.ops == graph.ops());
}
