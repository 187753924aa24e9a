// What a measured step says of its kernels, held to steps whose times are known: one that was
// simulated with given rates, and one with given times.
#include "sim/cost/step_points.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "sim/lowering.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

// Of so many ranks, one pipeline; ops of a rank one after the other.
Setting data_parallel_setting(const std::string& ranks) {
    return test::tiny_setting({"plan.pipeline_parallel=1", "plan.data_parallel=" + ranks,
                               "plan.expert_parallel=" + ranks, "plan.schedule=1f1b",
                               "workload.global_batch_sequences=4", "replay.engine=fluid",
                               "replay.fold=none", R"(replay.without=["overlap"])"});
}

MeasuredRanks taken(const Setting& setting, const Simulation& simulation,
                    const Timeline& timeline) {
    return {simulation.graph,
            timeline,
            simulation.symbols,
            simulation.traffic,
            expert_group_shape(simulation.graph, setting.topology),
            1};
}

std::set<std::string> kernels_of(const ExecutionGraph& graph) {
    std::set<std::string> kernels;
    for (const ChunkTemplate& chunk : graph.templates()) {
        for (const Op& op : chunk.ops) {
            if (op.compute() != nullptr) {
                kernels.insert(std::string(kind_name(op)));
            }
        }
    }
    return kernels;
}

const StepPoint& point_of(const std::vector<StepPoint>& points, const std::string& curve) {
    const auto found = std::find_if(points.begin(), points.end(),
                                    [&](const StepPoint& point) { return point.curve == curve; });
    REQUIRE(found != points.end());
    return *found;
}

}  // namespace

TEST_CASE("step points: a step simulated with given rates has these rates", "[sim][calibration]") {
    const Setting setting = data_parallel_setting("1");
    const Simulation simulation = test::simulated(setting);
    const MeasuredRanks ranks = taken(setting, simulation, simulation.timeline);
    std::set<std::string> seen;
    std::size_t ops = 0;
    for (const StepPoint& point : kernel_points(ranks)) {
        seen.insert(point.curve);
        ops += point.times_us.size();
        REQUIRE(point.columns.size() == point.at.size());
        if (setting.calibration.curve(point.curve) == nullptr) {
            continue;  // its time is not that of a curve of its own
        }
        INFO(point.curve);
        const double rate = point.quantity == "tflops" ? 0.025 : 5.0;  // of assumed_cpu
        for (const double us : point.times_us) {
            CHECK(point.value(us) == Approx(rate).epsilon(1e-4));
        }
    }
    std::set<std::string> expected = kernels_of(simulation.graph);
    if (seen.count("dequantize_e5m6") > 0) {
        expected.insert({"dequantize_e5m6", "quantize_e5m6"});
    }
    CHECK(seen == expected);
    const auto compute_ops = std::count_if(
        simulation.timeline.intervals.begin(), simulation.timeline.intervals.end(),
        [&](const Interval& interval) {
            const Item& item = simulation.graph.programs()[0].items[interval.op.item];
            return simulation.graph.chunk(item.chunk).ops[interval.op.op].compute() != nullptr;
        });
    CHECK(ops == static_cast<std::size_t>(compute_ops));
}

// Two ops of the compute stream, one of 10 us and one of 30; beside the second, from its start, one
// of 20 us on the stream of weight gradients: each has half of the device for 20 us.
TEST_CASE("step points: ops of two compute streams share the device", "[sim][calibration]") {
    const Setting setting = data_parallel_setting("1");
    const Simulation simulation = prepare(setting);
    const std::vector<Item>& items = simulation.graph.programs()[0].items;
    const auto ops_of = [&](Stream stream) {
        for (std::uint32_t item = 0; item < items.size(); ++item) {
            const std::vector<Op>& ops = simulation.graph.chunk(items[item].chunk).ops;
            std::vector<OpRef> found;
            for (std::uint32_t op = 0; op < ops.size(); ++op) {
                if (ops[op].compute() != nullptr && ops[op].stream == stream) {
                    found.push_back({0, item, op});
                }
            }
            if (found.size() > 1) {
                return found;
            }
        }
        return std::vector<OpRef>();
    };
    const std::vector<OpRef> compute = ops_of(Stream::compute);
    const std::vector<OpRef> wgrad = ops_of(Stream::wgrad);
    REQUIRE((compute.size() > 1 && !wgrad.empty()));
    constexpr TimePs kUs = 1000000;
    Timeline timeline;
    timeline.lanes = {{RankId(0), 0, 1}};
    timeline.intervals = {{compute[0], 0, 0, 10 * kUs},
                          {compute[1], 0, 10 * kUs, 40 * kUs},
                          {wgrad[0], 0, 10 * kUs, 30 * kUs}};
    std::vector<double> times;
    for (const StepPoint& point : kernel_points(taken(setting, simulation, timeline))) {
        times.insert(times.end(), point.times_us.begin(), point.times_us.end());
    }
    std::sort(times.begin(), times.end());
    REQUIRE(times.size() == 3);
    CHECK(times[0] + times[1] == Approx(20));  // 10 each
    CHECK(times[1] == Approx(10));
    CHECK(times[2] == Approx(20));
}

TEST_CASE("step points: the time between ops of a simulated step is its launch gap",
          "[sim][calibration]") {
    const Setting setting = data_parallel_setting("1");
    const Simulation simulation = test::simulated(setting);
    std::vector<double> gaps = launch_gaps_us(taken(setting, simulation, simulation.timeline));
    REQUIRE(!gaps.empty());
    std::nth_element(gaps.begin(), gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2),
                     gaps.end());
    CHECK(gaps[gaps.size() / 2] == Approx(1.0));  // of assumed_cpu
}

// Rank 0 comes to each exchange at 100 us and has all at 300, rank 1 at 150 and 280: what moves
// bytes takes from 150 to 300.
TEST_CASE("step points: an exchange takes from the last rank's start to the last rank's end",
          "[sim][calibration]") {
    const Setting setting = data_parallel_setting("2");
    Simulation simulation = prepare(setting);
    Timeline timeline;
    timeline.lanes = {{RankId(0), 0, 1}, {RankId(1), 0, 1}};
    const std::vector<Item>& items = simulation.graph.programs()[0].items;
    constexpr TimePs kUs = 1000000;
    for (std::uint32_t lane = 0; lane < 2; ++lane) {
        for (std::uint32_t item = 0; item < items.size(); ++item) {
            const std::size_t count = simulation.graph.chunk(items[item].chunk).ops.size();
            for (std::uint32_t op = 0; op < count; ++op) {
                timeline.intervals.push_back({{lane, item, op},
                                              0,
                                              (lane == 0 ? 100 : 150) * kUs,
                                              (lane == 0 ? 300 : 280) * kUs});
            }
        }
    }
    const std::vector<StepPoint> points = exchange_points(taken(setting, simulation, timeline));
    for (const StepPoint& point : points) {
        INFO(point.curve);
        for (const double us : point.times_us) {
            CHECK(us == Approx(150));
        }
    }
    const StepPoint& dispatch = point_of(points, "dispatch");
    CHECK(dispatch.quantity == "logical_gb_per_s");
    // 256 tokens of 128 codes and their scale, a copy for each rank that one goes to.
    const double bytes = 256 * 132 * simulation.traffic.ranks_per_token;
    CHECK(dispatch.value(150) == Approx(bytes / 150e3));
    CHECK(dispatch.at[static_cast<std::size_t>(
              std::find(dispatch.columns.begin(), dispatch.columns.end(), "ep") -
              dispatch.columns.begin())] == 2);
    const StepPoint& gather = point_of(points, "all_gather");
    CHECK(gather.quantity == "bus_gb_per_s");
    CHECK(gather.value(150) == Approx(gather.at[0] / 2 / 150e3));
    CHECK(point_of(points, "notify").value(150) == 150);
}

}  // namespace r1
