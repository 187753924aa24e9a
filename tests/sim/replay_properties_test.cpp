// What holds for every replay, whatever the schedule: order, completeness, bytes, monotonicity.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/graph/algorithms.hpp"
#include "sim/link_usage.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::simulated;

struct Shape {
    std::string schedule;
    int ranks;
};

std::vector<Shape> shapes() {
    std::vector<Shape> result;
    for (const char* schedule : {"dualpipe", "dualpipev", "1f1b", "zb1p", "interleaved"}) {
        for (const int ranks : {2, 3, 4}) {
            if (ranks % 2 == 0 || schedule != std::string("dualpipe")) {
                result.push_back({schedule, ranks});
            }
        }
    }
    return result;
}

Setting tiny_h800(const Shape& shape, const std::vector<std::string>& overrides = {}) {
    return test::tiny_h800_setting(shape.schedule, shape.ranks, overrides);
}

const std::vector<Op>& ops_of(const Simulation& s, std::uint32_t program, std::uint32_t item) {
    return s.graph.chunk(s.graph.programs()[program].items[item].chunk).ops;
}

template <class Visit>
void for_each_op(const Simulation& s, Visit visit) {
    for (std::uint32_t p = 0; p < s.graph.programs().size(); ++p) {
        for (std::uint32_t i = 0; i < s.graph.programs()[p].items.size(); ++i) {
            for (std::uint32_t o = 0; o < ops_of(s, p, i).size(); ++o) {
                visit(ProgramOp{p, i, o});
            }
        }
    }
}

// Folding `stage`: lane p is program p.
const Interval& at(const Simulation& s, ProgramOp op) {
    const Interval* interval = s.timeline.find({op.program, op.item, op.op});
    REQUIRE(interval != nullptr);
    return *interval;
}

void check_complete(const Simulation& s) {
    REQUIRE(s.timeline.lanes.size() == s.graph.programs().size());
    std::size_t expected = 0;
    std::size_t backwards = 0;
    for_each_op(s, [&](ProgramOp op) {
        ++expected;
        const Interval& interval = at(s, op);
        backwards += interval.start < 0 || interval.end < interval.start;
    });
    CHECK(s.timeline.intervals.size() == expected);  // each was found, so each is there once
    CHECK(backwards == 0);
    for (std::uint32_t p = 0; p < s.timeline.lanes.size(); ++p) {
        CHECK(s.timeline.lanes[p].program == static_cast<std::int32_t>(p));
        CHECK(s.timeline.lanes[p].multiplicity == s.graph.instances().data_parallel);
    }
}

// Streams run in program order, one op at a time.
void check_streams(const Simulation& s) {
    std::map<std::pair<std::uint32_t, Stream>, TimePs> free_from;
    std::size_t overlaps = 0;
    for_each_op(s, [&](ProgramOp op) {
        const Interval& interval = at(s, op);
        TimePs& free = free_from[{op.program, ops_of(s, op.program, op.item)[op.op].stream}];
        overlaps += interval.start < free;
        free = interval.end;
    });
    CHECK(overlaps == 0);
}

void check_order(const Simulation& s) {
    const Dependencies dependencies(s.graph);
    std::size_t edges = 0;
    std::size_t violated = 0;
    for_each_op(s, [&](ProgramOp op) {
        const Interval& interval = at(s, op);
        std::vector<ProgramOp> before;
        dependencies.append_local(op, before);
        if (const auto collective = dependencies.collective_of(op)) {
            for (const ProgramOp member : dependencies.collectives()[*collective]) {
                dependencies.append_local(member, before);
                const Interval& other = at(s, member);
                violated += other.start != interval.start || other.end != interval.end;
            }
        }
        for (const ProgramOp predecessor : before) {
            ++edges;
            violated += at(s, predecessor).end > interval.start;
        }
        if (const auto send = dependencies.send_of(op)) {
            ++edges;
            violated += at(s, *send).start > interval.start || at(s, *send).end > interval.end;
        }
    });
    CHECK(edges > s.timeline.intervals.size() / 2);
    CHECK(violated == 0);
}

void check_critical_path(const Simulation& s) {
    const TimePs shortest = critical_path_length(s.graph, [&](ProgramOp op) {
        const Interval& interval = at(s, op);
        return interval.end - interval.start;
    });
    CHECK(shortest > 0);
    CHECK(s.timeline.makespan() >= shortest);
}

struct LinkBytes {
    double nic = 0;
    double nvlink = 0;
};

// What the routed tokens of all lanes amount to, from the graph and the traffic alone.
LinkBytes routed_bytes(const Simulation& s) {
    LinkBytes bytes;
    for_each_op(s, [&](ProgramOp op) {
        const CommOp* comm = ops_of(s, op.program, op.item)[op.op].comm();
        if (comm != nullptr && comm->group == GroupKind::expert_parallel) {
            const double each = (comm->payload_bytes + comm->metadata_bytes).constant *
                                static_cast<double>(comm->tokens);
            bytes.nic += each * s.traffic.ib_copies_per_token;
            bytes.nvlink += each * s.traffic.nvlink_copies_per_token;
        }
    });
    return bytes;
}

LinkBytes flow_bytes(const Simulation& s, const std::set<Stream>& streams) {
    LinkBytes bytes;
    s.dag.for_each_activity([&](LanePart part, const Activity& activity) {
        const ReplayNode& node = s.dag.programs[s.dag.program_of(part.lane)][part.node];
        if (streams.count(s.dag.segment(node).stream) == 0) {
            return;
        }
        for (const Flow& flow : activity.flows) {
            const std::string& name = s.dag.network.endpoints[flow.from.index()].name;
            const bool nic = name.substr(name.rfind('.')) == ".nic";
            (nic ? bytes.nic : bytes.nvlink) += flow.bytes.value() * flow.multiplicity;
        }
    });
    return bytes;
}

TimePs makespan_of(const Setting& setting) { return simulated(setting).timeline.makespan(); }

Setting with_bandwidths(Setting setting, double nic, double nvlink, double hbm) {
    setting.topology.nic.bandwidth = setting.topology.nic.bandwidth * nic;
    setting.topology.nvlink.bandwidth = setting.topology.nvlink.bandwidth * nvlink;
    setting.topology.device.hbm = setting.topology.device.hbm * hbm;
    setting.fabric = generate_fabric(setting.topology);
    return setting;
}

bool same_intervals(const Timeline& a, const Timeline& b) {
    return std::equal(a.intervals.begin(), a.intervals.end(), b.intervals.begin(),
                      b.intervals.end(), [](const Interval& x, const Interval& y) {
                          return x.op == y.op && x.iteration == y.iteration && x.start == y.start &&
                                 x.end == y.end;
                      });
}

}  // namespace

TEST_CASE("replay: every op runs once, in order, after all that it waits for",
          "[sim][replay][property][slow]") {
    for (const Shape& shape : shapes()) {
        INFO(shape.schedule << " on " << shape.ranks << " ranks");
        const Simulation s = simulated(
            tiny_h800(shape, {shape.ranks == 4 ? "replay.engine=simgrid" : "replay.engine=fluid"}));
        check_complete(s);
        check_streams(s);
        check_order(s);
        check_critical_path(s);
        CHECK(s.counts.activities == test::activities(s.dag));
    }
}

TEST_CASE("replay: bytes routed are bytes simulated", "[sim][replay][property]") {
    for (const Shape& shape : shapes()) {
        INFO(shape.schedule << " on " << shape.ranks << " ranks");
        const Simulation s = simulated(tiny_h800(shape));
        const LinkBytes routed = routed_bytes(s);
        const LinkBytes flows = flow_bytes(s, {Stream::comm});
        CHECK(routed.nic > 0);
        CHECK(flows.nic == Approx(routed.nic).epsilon(1e-12));
        CHECK(flows.nvlink == Approx(routed.nvlink).epsilon(1e-12));
        // Links carry these, the messages and the collectives; up as much as down.
        const LinkBytes other = flow_bytes(s, {Stream::send, Stream::recv, Stream::collective});
        std::map<std::string, double> up;
        std::map<std::string, double> down;
        for (const LinkUsage& link : link_usage(s.dag, s.timeline)) {
            const bool is_up = link.id.substr(link.id.rfind('.')) == ".up";
            (is_up ? up : down)[link.kind] += link.bytes.value();
            CHECK(link.peak_utilisation <= 1);
            CHECK(link.mean_utilisation <= link.peak_utilisation + 1e-9);
        }
        CHECK(up["nic"] == Approx(routed.nic + other.nic));
        CHECK(up["nvlink"] == Approx(routed.nvlink + other.nvlink));
        CHECK(down["nic"] == Approx(up["nic"]));
        CHECK(down["nvlink"] == Approx(up["nvlink"]));
    }
}

TEST_CASE("replay: more bandwidth never slows, less never speeds up",
          "[sim][replay][property][slow]") {
    for (const Shape& shape : shapes()) {
        if (shape.ranks != 4) {
            continue;
        }
        INFO(shape.schedule);
        const Setting setting = tiny_h800(shape);
        const TimePs base = makespan_of(setting);
        CHECK(makespan_of(with_bandwidths(setting, 2, 2, 2)) <= base);
        CHECK(makespan_of(with_bandwidths(setting, 0.5, 1, 1)) > base);
        CHECK(makespan_of(with_bandwidths(setting, 1, 0.5, 1)) >= base);
        // Where one link is all that limits, a tenth of it takes ten times as long.
        const auto slow = static_cast<double>(makespan_of(with_bandwidths(setting, 1e-5, 1, 1)));
        CHECK(slow > 10 * static_cast<double>(base));
        CHECK(static_cast<double>(makespan_of(with_bandwidths(setting, 1e-6, 1, 1))) ==
              Approx(10 * slow).epsilon(0.02));
    }
}

TEST_CASE("replay: slower kernels slow the step", "[sim][replay][property]") {
    Setting setting = tiny_h800({"dualpipe", 4});
    const TimePs base = makespan_of(setting);
    for (CalibrationCurve& curve : setting.calibration.curves) {
        for (CalibrationPoint& point : curve.points) {
            point.value *= curve.quantity == "tflops" ? 0.5 : 1;
        }
    }
    CHECK(makespan_of(setting) > base);
}

TEST_CASE("replay: the same seed gives the same timeline", "[sim][replay][property]") {
    const Setting one = tiny_h800({"dualpipe", 4});
    const Simulation first = simulated(one);
    const Simulation again = simulated(one);
    CHECK(first.graph.hash() == again.graph.hash());
    CHECK(same_intervals(first.timeline, again.timeline));
    const Simulation other = simulated(tiny_h800({"dualpipe", 4}, {"seed=1"}));
    CHECK(other.graph.hash() == first.graph.hash());  // the seed is no part of the graph
    CHECK_FALSE(same_intervals(first.timeline, other.timeline));
}

TEST_CASE("replay: nothing of the optimizer starts before the last gradient",
          "[sim][replay][property]") {
    const Simulation s = simulated(tiny_h800({"1f1b", 4}));
    for (std::uint32_t p = 0; p < s.graph.programs().size(); ++p) {
        const std::vector<Item>& items = s.graph.programs()[p].items;
        TimePs last_chunk = 0;
        TimePs optimizer = s.timeline.makespan();
        for_each_op(s, [&](ProgramOp op) {
            if (op.program != p) {
                return;
            }
            if (is_chunk(items[op.item].kind)) {
                last_chunk = std::max(last_chunk, at(s, op).end);
            } else if (items[op.item].kind == ItemKind::optimizer) {
                optimizer = std::min(optimizer, at(s, op).start);
            }
        });
        CHECK(optimizer >= last_chunk);
    }
}

TEST_CASE("replay: a prefill without optimizer runs every micro-batch", "[sim][replay][property]") {
    const Simulation s = simulated(tiny_h800({"1f1b", 2}, {"workload.kind=prefill"}));
    check_complete(s);
    check_streams(s);
    check_order(s);
    check_critical_path(s);
}

TEST_CASE("replay: the V3 step is near the published one", "[sim][replay][slow]") {
    std::vector<std::string> notes;
    const Setting setting = read_setting(
        load_scenario(data_root() / "scenarios" / "train_v3_2048_h800.json", {}), notes);
    Simulation s = prepare(setting);
    CHECK(build_graph(setting.scenario).hash() == s.graph.hash());
    replay(setting, s);
    CHECK(s.counts.activities == test::activities(s.dag));
    CHECK(from_ps(s.timeline.makespan()).value() == Approx(19.926).epsilon(0.2));
    check_streams(s);
    check_critical_path(s);
}

TEST_CASE("replay: half the GEMM rates slow the V3 step", "[sim][replay][slow]") {
    std::vector<std::string> notes;
    const auto file = data_root() / "scenarios" / "train_v3_2048_h800.json";
    // 32 micro-batches are enough to see it.
    Setting setting = read_setting(
        load_scenario(file, {parse_override("workload.global_batch_sequences=4096")}), notes);
    const TimePs base = makespan_of(setting);
    for (CalibrationCurve& curve : setting.calibration.curves) {
        for (CalibrationPoint& point : curve.points) {
            point.value *= curve.kernel.find("gemm") != std::string::npos ? 0.5 : 1;
        }
    }
    CHECK(static_cast<double>(makespan_of(setting)) > 1.2 * static_cast<double>(base));
}

}  // namespace r1
