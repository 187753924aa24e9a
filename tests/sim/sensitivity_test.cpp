// What faster and slower resources make of a step: on steps worked out by hand, and against
// replays.
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sim/lowering.hpp"
#include "sim/path_resources.hpp"
#include "sim/sensitivity.hpp"
#include "tests/model/timeline_fixture.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/sim/toy_cluster.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

// Every kernel takes 1 s, of which `shares` go by the rates of a device at `speeds`; exchanges
// reach whatever the links do.
class RatedCost : public CostModel {
public:
    RatedCost(RateShares shares, const Speeds& speeds) : shares_(shares), speeds_(speeds) {}

    OpTime compute(const ChunkTemplate&, const Op&, const SymbolValues&, int) const override {
        OpTime time;
        time.matrix_units = Seconds(shares_.compute / speeds_.matrix_units);
        time.hbm = Seconds(shares_.memory / speeds_.hbm);
        const Seconds fixed(1 - shares_.compute - shares_.memory);
        time.busy = time.matrix_units + time.hbm + fixed;
        return time;
    }
    ExchangeTime expert_exchange(const ExpertExchangeCall&) const override {
        return {Seconds(0), Seconds(1e-3), {Seconds(0), Seconds(1e-3), Seconds(0)}};
    }
    Seconds node_collective(Collective, std::int64_t, Bytes) const override { return Seconds(0); }
    Seconds notify() const override { return Seconds(0); }

private:
    RateShares shares_;
    Speeds speeds_;
};

// A step on a toy cluster.
struct HandStep {
    ExecutionGraph graph;
    Topology topology;
    ExpertTraffic traffic{};
    RateShares shares{};
    ReplaySpec replay{};
};

struct Replayed {
    ReplayDag dag;
    Timeline timeline;

    [[nodiscard]] TimePs predicted(const Speeds& speeds) const {
        return RecordedStep(dag, timeline).step_time(speeds);
    }
};

// On a device and links that are as fast as `speeds` says.
Replayed replayed_at(const HandStep& step, const Speeds& speeds = {}) {
    const Topology topology = at_speeds({step.topology, {}}, speeds).topology;
    const Fabric fabric = generate_fabric(topology);
    const RatedCost cost(step.shares, speeds);
    Replayed result;
    result.dag = lower({step.graph, topology, fabric, cost, {}, step.traffic, 0, step.replay});
    result.timeline = replay(result.dag, *make_engine(Engine::fluid, result.dag.network));
    return result;
}

double seconds_of(TimePs time) { return from_ps(time).value(); }

// Two pipeline ranks on two nodes: 13 s, of which the path has 9 s of kernels, two messages of
// 0.5 s of latency and 1 s on the NIC, and two hops of an all-reduce of nothing, 0.5 s each
// (tests/sim/replay_test.cpp).
HandStep two_stages(RateShares shares) {
    return {test::HandGraph::build(), test::toy_topology(2, 1), {}, shares};
}

// With a dispatch of 128 B a copy beside a norm of 1 s.
ExecutionGraph graph_with_dispatch(Instances instances) {
    return test::HandGraph::build(instances.data_parallel, instances.expert_parallel, 32);
}

std::map<std::string, double> path_parts(const HandStep& step, const Replayed& replayed) {
    return path_resources(replayed.dag, replayed.timeline,
                          critical_path(step.graph, replayed.timeline));
}

// A lane with two kernels on streams of their own.
Replayed sharing_sms(double product_s, double copying_s) {
    Replayed result;
    ReplayDag& dag = result.dag;
    dag.network.compute = {"sm"};
    dag.lanes = dag.shown_lanes = {{RankId(std::size_t{0}), 0, 1}};
    dag.links.resize(1);
    dag.shown = {0};
    const auto add = [&](Stream stream, double time_s, RateShares rates) {
        ReplayNode node;
        node.item = node.segments = node.work = static_cast<std::uint32_t>(dag.locals.size());
        dag.programs.resize(1);
        dag.programs[0].push_back(node);
        dag.segments.push_back({{stream, {OpIndex(std::size_t{0})}, {0}, {1}, {rates}}});
        dag.locals.push_back({LocalKind::compute, {Seconds(time_s)}});
    };
    add(Stream::compute, product_s, {1, 0});
    add(Stream::wgrad, copying_s, {0, 1});
    result.timeline = replay(dag, *make_engine(Engine::fluid, dag.network));
    return result;
}

constexpr double kPicoseconds = 1e-11;

// `tolerance`: of the step.
void check_predictions(const Setting& setting, double tolerance) {
    const Simulation simulation = test::simulated(setting);
    const TimePs step = simulation.timeline.makespan();
    for (const Sensitivity& each : step_sensitivity(setting, simulation, true)) {
        for (const SensitivityTimes* times : {&each.faster, &each.slower}) {
            INFO(each.resource);
            REQUIRE(times->resimulated.has_value());
            const auto difference = static_cast<double>(times->predicted - *times->resimulated);
            CHECK(std::abs(difference) <= tolerance * static_cast<double>(step));
        }
        CHECK(each.faster.predicted <= step);
        CHECK(each.slower.predicted >= step);
    }
}

}  // namespace

TEST_CASE("sensitivity: a chain of kernels answers to the rates they go by alone",
          "[sim][sensitivity]") {
    HandStep step = two_stages({1, 0});
    step.topology.fabric.same_leaf_latency = Seconds(0);
    step.topology.fabric.cross_leaf_latency = Seconds(0);
    step.replay.without.pipeline_messages = true;
    const Replayed chain = replayed_at(step);
    CHECK(seconds_of(chain.timeline.makespan()) == Approx(9));
    CHECK(seconds_of(chain.predicted({.matrix_units = 1.1})) ==
          Approx(9 / 1.1).margin(kPicoseconds));
    CHECK(seconds_of(chain.predicted({.matrix_units = 0.9})) ==
          Approx(9 / 0.9).margin(kPicoseconds));
    for (const Speeds& others :
         {Speeds{.hbm = 1.1}, Speeds{.nvlink = 1.1}, Speeds{.network = 1.1}, Speeds{.rest = 1.1}}) {
        CHECK(chain.predicted(others) == chain.timeline.makespan());
    }
    CHECK(path_parts(step, chain) == std::map<std::string, double>{{"matrix_units", 9}});
}

TEST_CASE("sensitivity: each part of a step answers to its own resource", "[sim][sensitivity]") {
    const HandStep step = two_stages({0.5, 0.25});
    const Replayed replayed = replayed_at(step);
    CHECK(seconds_of(replayed.timeline.makespan()) == Approx(13));
    const std::map<std::string, double> parts = path_parts(step, replayed);
    const std::map<std::string, double> expected = {
        {"matrix_units", 4.5}, {"hbm", 2.25}, {"overhead", 2.25}, {"network", 2}, {"latency", 2}};
    REQUIRE(parts.size() == expected.size());
    for (const auto& [resource, time_s] : expected) {
        INFO(resource);
        CHECK(parts.at(resource) == Approx(time_s));
    }
    // At 1.25 times its rate a resource takes 0.2 less of its time.
    const auto saved = [&](const Speeds& speeds) {
        return 13 - seconds_of(replayed.predicted(speeds));
    };
    CHECK(saved({.matrix_units = 1.25}) == Approx(0.2 * 4.5));
    CHECK(saved({.hbm = 1.25}) == Approx(0.2 * 2.25));
    CHECK(saved({.network = 1.25}) == Approx(0.2 * 2));
    CHECK(saved({.rest = 1.25}) == Approx(0.2 * (2.25 + 2)));
    CHECK(saved({.nvlink = 1.25}) == 0);
    CHECK(saved({.matrix_units = 1.25, .hbm = 1.25}) == Approx(0.2 * 6.75));
}

TEST_CASE("sensitivity: a path that changes is followed", "[sim][sensitivity]") {
    // 64 B over InfiniBand: latency until 1.75 s and 1 s of transfer, to 2.75; the norm beside it
    // ends at 2 s. A network of four times the rate or more saves what the norm leaves: 0.75 s, and
    // its part of the two messages, 1 s each.
    HandStep step{graph_with_dispatch({2, 2, 2}), test::toy_topology(4, 1)};
    step.traffic.ib_copies_per_token = 0.5;
    const Replayed replayed = replayed_at(step);
    const double before = seconds_of(replayed.timeline.makespan());
    for (const double speed : {0.5, 0.9, 1.1, 2.0, 4.0, 10.0}) {
        INFO(speed);
        const Speeds speeds{.network = speed};
        const double saved = 1 - 1 / speed;
        const TimePs predicted = replayed.predicted(speeds);
        CHECK(before - seconds_of(predicted) ==
              Approx(std::min(0.75, saved) + 2 * saved).margin(kPicoseconds));
        CHECK(
            seconds_of(predicted) ==
            Approx(seconds_of(replayed_at(step, speeds).timeline.makespan())).margin(kPicoseconds));
    }
}

TEST_CASE("sensitivity: what bounds an exchange may change", "[sim][sensitivity]") {
    // 0.5 copies over InfiniBand take 1 s, 1.5 over NVLink 1.5 s: half of NVLink's time can be
    // saved until InfiniBand bounds it.
    HandStep step{graph_with_dispatch({2, 4, 4}), test::toy_topology(4, 2)};
    step.traffic.ib_copies_per_token = 0.5;
    step.traffic.nvlink_copies_per_token = 1.5;
    const Replayed replayed = replayed_at(step);
    const auto exchange_s = [&](const Speeds& speeds) {
        return 1.5 -
               (seconds_of(replayed.timeline.makespan()) - seconds_of(replayed.predicted(speeds)));
    };
    CHECK(exchange_s({.nvlink = 1.25}) == Approx(1.2));
    CHECK(exchange_s({.nvlink = 3}) == Approx(1));
    CHECK(exchange_s({.nvlink = 0.5}) == Approx(3));
    const std::map<std::string, double> parts = path_parts(step, replayed);
    CHECK(parts.at("nvlink") >= 1.5 * (1 - 1e-9));
}

TEST_CASE("sensitivity: kernels that share SMs answer to each other's rates",
          "[sim][sensitivity]") {
    // 2 s of matrix products beside 1 s of copying, each at half its rate until the copy ends at
    // 2 s; the product has 1 s left then.
    const double copying_s = 1;
    const double product_s = 2;
    const Replayed shared = sharing_sms(product_s, copying_s);
    CHECK(seconds_of(shared.timeline.makespan()) == Approx(3));
    for (const double speed : {0.9, 1.1, 1.25}) {
        CHECK(shared.predicted({.matrix_units = speed}) ==
              sharing_sms(product_s / speed, copying_s).timeline.makespan());
        CHECK(shared.predicted({.hbm = speed}) ==
              sharing_sms(product_s, copying_s / speed).timeline.makespan());
    }
}

TEST_CASE("sensitivity: nothing changed is the same picosecond", "[sim][sensitivity]") {
    for (const auto& [schedule, fold] :
         {std::pair{"dualpipe", "none"}, {"1f1b", "ep_group"}, {"interleaved", "stage"}}) {
        INFO(schedule << ", folding " << fold);
        const Setting setting = test::tiny_h800_setting(
            schedule, 4,
            {std::string("replay.fold=") + fold, R"(routing={"source": "zipf", "skew": 0.5})",
             "replay.stragglers.per_rank=0.05"});
        const Simulation simulation = test::simulated(setting);
        const TimePs step = simulation.timeline.makespan();
        CHECK(RecordedStep(simulation.dag, simulation.timeline).step_time({}) == step);
        CHECK(resimulated_step(setting, simulation, {}) == step);
    }
}

TEST_CASE("sensitivity: lanes that a timeline does not show keep their times",
          "[sim][sensitivity]") {
    const Setting setting =
        test::tiny_h800_setting("dualpipe", 4,
                                {"replay.fold=none", R"(routing={"source": "zipf", "skew": 0.5})",
                                 "replay.stragglers.per_rank=0.05"});
    Simulation simulation = test::simulated(setting);
    const TimePs step = simulation.timeline.makespan();
    ReplayDag& dag = simulation.dag;
    std::vector<std::uint32_t> few;
    std::vector<Lane> lanes;
    for (std::uint32_t i = 0; i < dag.shown.size(); i += 8) {
        few.push_back(dag.shown[i]);
        lanes.push_back(dag.shown_lanes[i]);
    }
    dag.shown = few;
    dag.shown_lanes = lanes;
    simulation.timeline = replay(dag, *make_engine(Engine::fluid, dag.network));
    const RecordedStep recorded(dag, simulation.timeline);
    CHECK(recorded.step_time({}) == simulation.timeline.makespan());
    CHECK(recorded.step_time({}) <= step);
    CHECK(recorded.step_time({.matrix_units = 1.1}) < recorded.step_time({}));
}

TEST_CASE("sensitivity: all resources at once scale the step", "[sim][sensitivity]") {
    const Setting setting = test::tiny_h800_setting("dualpipe", 4);
    const Simulation simulation = test::simulated(setting);
    const double step = seconds_of(simulation.timeline.makespan());
    const Speeds all{1.25, 1.25, 1.25, 1.25, 1.25};
    CHECK(seconds_of(RecordedStep(simulation.dag, simulation.timeline).step_time(all)) ==
          Approx(step / 1.25).epsilon(1e-8));
    CHECK(seconds_of(resimulated_step(setting, simulation, all)) ==
          Approx(step / 1.25).epsilon(1e-8));
}

TEST_CASE("sensitivity: predictions are near what replays give", "[sim][sensitivity][slow]") {
    for (const char* schedule : {"dualpipe", "zb1p", "interleaved"}) {
        INFO(schedule);
        check_predictions(test::tiny_h800_setting(schedule, 4), 5e-6);
    }
    // Kernels large enough for matrix units and HBM to matter at once.
    std::vector<std::string> notes;
    check_predictions(
        read_setting(load_scenario(data_root() / "scenarios" / "trace_pair_h800_ep64.json",
                                   {parse_override("replay.engine=fluid")}),
                     notes),
        2e-4);
}

TEST_CASE("sensitivity: no replay without being asked", "[sim][sensitivity]") {
    const Setting setting = test::tiny_setting({"replay.engine=fluid"});
    const std::vector<Sensitivity> all = step_sensitivity(setting, test::simulated(setting), false);
    REQUIRE(all.size() == 6);
    for (const Sensitivity& each : all) {
        CHECK_FALSE(each.faster.resimulated.has_value());
        CHECK_FALSE(each.slower.resimulated.has_value());
    }
}

TEST_CASE("speeds: measured rates stay with the hardware that they were measured on",
          "[sim][sensitivity]") {
    // A calibration that does not say which: doubling the peaks halves what kernels take.
    const Setting setting = test::tiny_setting({"replay.engine=fluid"});
    Hardware hardware{setting.topology, setting.calibration};
    hardware.calibration.constants.erase("reference_bf16_tflops");
    const Hardware faster = at_speeds(hardware, {.matrix_units = 2});
    CHECK(faster.topology.device.peak_bf16 == setting.topology.device.peak_bf16 * 2);
    CHECK(faster.calibration.constants.at("reference_bf16_tflops") ==
          Approx(setting.topology.device.peak_bf16.value() / 1e12));
    CHECK(faster.topology.device.hbm == setting.topology.device.hbm);
}

}  // namespace r1
