// A scenario against its baseline: what each resource contributes, what is listed as changed, and
// which ops may take another time.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sim/baseline.hpp"
#include "sim/cost/cost_model.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using Overrides = std::vector<std::string>;

// The tiny model on 8 nodes of H800, changed by `overrides`; the baseline is the same unchanged.
Setting changed_setting(const Overrides& overrides) {
    Overrides all = {"baseline={\"cluster\": \"h800_8x8\", \"calibration\": \"h800_published\"}"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return test::tiny_h800_setting("dualpipe", 4, all);
}

struct Compared {
    Setting setting;
    Simulation simulation;
    BaselineComparison comparison;
};

Compared compared(Setting setting) {
    Compared result{std::move(setting), {}, {}};
    result.simulation = test::simulated(result.setting);
    result.comparison = compare_with_baseline(result.setting, result.simulation);
    return result;
}

TimePs contribution(const BaselineComparison& comparison, Resource resource) {
    for (const ResourceShare& share : comparison.by_resource) {
        if (share.resource == resource) {
            return share.contribution;
        }
    }
    FAIL("no such resource");
    return 0;
}

Overrides whats(const std::vector<HardwareChange>& changes) {
    Overrides names;
    for (const HardwareChange& change : changes) {
        names.push_back(change.what);
    }
    return names;
}

std::set<Resource> resources_of(const std::vector<HardwareChange>& changes) {
    std::set<Resource> resources;
    for (const HardwareChange& change : changes) {
        resources.insert(change.resource);
    }
    return resources;
}

Hardware hardware(const std::string& cluster, const std::string& calibration) {
    Diagnostics diagnostics;
    Hardware read{read_topology(load_topology(cluster), "", diagnostics),
                  read_calibration(load_calibration(calibration), "", diagnostics)};
    diagnostics.throw_if_errors();
    return read;
}

// Both sides with links that differ; nodes, devices and all else differ too.
std::pair<Hardware, Hardware> unlike_hardware() {
    Hardware from = hardware("h800_8x8", "h800_published");
    Hardware to = hardware("h100_256x8_mrft", "assumed_cpu");
    from.topology.overrides = {{"node3.gpu2.nvlink", 0.5, false}, {"node3.nic5", 1, true}};
    to.topology.overrides = {{"node200.gpu2.nvlink", 0.25, false}, {"node1.gpu7.nvlink", 1, true}};
    to.topology.device.sms = 100;
    to.topology.device.hbm = gb_per_s(1000);
    to.topology.device.power = Watts(1);
    to.topology.nvlink.latency = microseconds(1);
    to.topology.nic.bandwidth = gb_per_s(25);
    return {from, to};
}

// The shipped scenario on 8 nodes of both kinds, with two pipeline ranks.
Compared small_h100() {
    std::vector<Override> overrides;
    for (const char* text :
         {"cluster=h100_8x8", "baseline.cluster=h800_8x8", "plan.pipeline_parallel=2",
          "plan.data_parallel=32", "plan.expert_parallel=32", "workload.global_batch_sequences=128",
          "replay.engine=fluid"}) {
        overrides.push_back(parse_override(text));
    }
    std::vector<std::string> notes;
    return compared(read_setting(
        load_scenario(data_root() / "scenarios" / "train_v3_2048_h100.json", overrides), notes));
}

// The baseline as a scenario of its own.
Simulation on_baseline(const Setting& setting) {
    Setting other = setting;
    other.topology = setting.baseline->topology;
    other.calibration = setting.baseline->calibration;
    other.fabric = generate_fabric(other.topology);
    other.baseline.reset();
    return test::simulated(other);
}

std::vector<Activity> activities_of(const ReplayDag& dag) {
    std::vector<Activity> activities;
    dag.for_each_activity(
        [&](LanePart, const Activity& activity) { activities.push_back(activity); });
    return activities;
}

bool over_nvlink(const ReplayDag& dag, const Flow& flow) {
    return dag.network.endpoints[flow.from.index()].name.ends_with(".nvlink");
}

// Time of an activity's flows alone on the links, of those over NVLink or of the others.
double alone_s(const ReplayDag& dag, const Activity& activity, bool nvlink) {
    double longest = 0;
    for (const Flow& flow : activity.flows) {
        if (over_nvlink(dag, flow) == nvlink) {
            const double rate = dag.network.endpoints[flow.from.index()].up.value();
            const double cap = flow.rate_max.value();
            longest = std::max({longest, flow.bytes.value() * flow.multiplicity / rate,
                                cap > 0 ? flow.bytes.value() / cap : 0});
        }
    }
    return longest;
}

double alone_s(const ReplayDag& dag, const Activity& activity) {
    return std::max(alone_s(dag, activity, true), alone_s(dag, activity, false));
}

// Both have the same peaks, SMs and memory, and both calibrations the same points.
void check_same_kernels(const Setting& h100, const Simulation& simulation) {
    const FittedCostModel after(h100.calibration, h100.topology);
    const FittedCostModel before(h100.baseline->calibration, h100.baseline->topology);
    std::size_t kernels = 0;
    for (const ChunkTemplate& chunk : simulation.graph.templates()) {
        for (const Op& op : chunk.ops) {
            if (op.compute() == nullptr) {
                continue;
            }
            const auto time = [&](const FittedCostModel& cost) {
                return cost.compute(chunk, op, simulation.symbols, 112).total();
            };
            INFO(kind_name(op));
            CHECK(time(after) == time(before));
            ++kernels;
        }
    }
    CHECK(kernels > 0);
}

// None takes another time but those that NVLink bounds.
void check_exchanges(const ReplayDag& h100, const ReplayDag& h800) {
    const std::vector<Activity> after_all = activities_of(h100);
    const std::vector<Activity> before_all = activities_of(h800);
    REQUIRE(after_all.size() == before_all.size());
    std::map<std::string, int> count;
    for (std::size_t i = 0; i < after_all.size(); ++i) {
        const Activity& after = after_all[i];
        const Activity& before = before_all[i];
        INFO("activity " << i);
        CHECK(after.delay == before.delay);
        REQUIRE(after.flows.size() == before.flows.size());
        for (std::size_t f = 0; f < after.flows.size(); ++f) {
            CHECK(after.flows[f].bytes == before.flows[f].bytes);
            CHECK(after.flows[f].rate_max == before.flows[f].rate_max);
        }
        CHECK(alone_s(h100, after, false) == alone_s(h800, before, false));
        if (alone_s(h100, after) != alone_s(h800, before)) {
            CHECK(alone_s(h800, before, true) > alone_s(h800, before, false));
            CHECK(alone_s(h100, after) < alone_s(h800, before));
            ++count["bound by NVLink"];
        } else if (!after.flows.empty()) {
            ++count["not bound by NVLink"];
        }
        CHECK(after.compute_time == before.compute_time);
    }
    CHECK(count["bound by NVLink"] > 0);
    CHECK(count["not bound by NVLink"] > 0);
}

}  // namespace

TEST_CASE("baseline: contributions add up to the difference", "[sim][baseline]") {
    const Compared run = compared(changed_setting({"cluster.device.peaks_tflops.bf16=500",
                                                   "cluster.nvlink.bandwidth_gb_per_s=40",
                                                   "cluster.nic.bandwidth_gb_per_s=25"}));
    const BaselineComparison& comparison = run.comparison;
    REQUIRE(comparison.by_resource.size() == kResources.size());
    TimePs step = comparison.step;
    for (std::size_t i = 0; i < kResources.size(); ++i) {
        const ResourceShare& share = comparison.by_resource[i];
        CHECK(share.resource == kResources[i]);
        step += share.contribution;
        CHECK(share.step == step);
    }
    CHECK(step == run.simulation.timeline.makespan());
    CHECK(comparison.difference == step - comparison.step);
    CHECK(comparison.step ==
          test::simulated(test::tiny_h800_setting("dualpipe", 4)).timeline.makespan());
    for (const Resource slower : {Resource::compute, Resource::nvlink, Resource::network}) {
        INFO(name(slower));
        CHECK(contribution(comparison, slower) > 0);
    }
    CHECK(contribution(comparison, Resource::rest) == 0);
    CHECK(comparison.cluster == "h800_8x8");
    CHECK(comparison.calibration == "h800_published");
}

TEST_CASE("baseline: equal to the scenario it changes nothing", "[sim][baseline]") {
    const Compared run = compared(changed_setting({}));
    CHECK(run.comparison.step == run.simulation.timeline.makespan());
    CHECK(run.comparison.difference == 0);
    for (const ResourceShare& share : run.comparison.by_resource) {
        CHECK(share.contribution == 0);
    }
    CHECK(run.comparison.changed.empty());
}

TEST_CASE("baseline: faster NVLink contributes as NVLink only", "[sim][baseline]") {
    const Compared run = compared(changed_setting({"cluster.nvlink.bandwidth_gb_per_s=400"}));
    CHECK(contribution(run.comparison, Resource::compute) == 0);
    CHECK(contribution(run.comparison, Resource::nvlink) < 0);
    CHECK(contribution(run.comparison, Resource::network) == 0);
    CHECK(contribution(run.comparison, Resource::rest) == 0);
    REQUIRE(run.comparison.changed.size() == 1);
    const HardwareChange& change = run.comparison.changed.front();
    CHECK(change.resource == Resource::nvlink);
    CHECK(change.what == "nvlink.bandwidth_gb_per_s");
    CHECK(change.from == 200.0);
    CHECK(change.to == 400.0);
}

TEST_CASE("baseline: other peaks contribute as compute rates only", "[sim][baseline]") {
    for (const double factor : {0.5, 2.0}) {
        INFO("peaks x " << factor);
        const Compared run = compared(
            changed_setting({"cluster.device.peaks_tflops.bf16=" + std::to_string(989 * factor),
                             "cluster.device.peaks_tflops.fp8=" + std::to_string(1978 * factor)}));
        CHECK((contribution(run.comparison, Resource::compute) > 0) == (factor < 1));
        CHECK(contribution(run.comparison, Resource::compute) != 0);
        CHECK(contribution(run.comparison, Resource::nvlink) == 0);
        CHECK(contribution(run.comparison, Resource::network) == 0);
        CHECK(contribution(run.comparison, Resource::rest) == 0);
        CHECK(whats(run.comparison.changed) ==
              Overrides{"device.peaks_tflops.bf16", "device.peaks_tflops.fp8"});
    }
}

TEST_CASE("baseline: what belongs to no link and no kernel is the rest", "[sim][baseline]") {
    Setting setting = changed_setting({});
    for (CalibrationCurve& curve : setting.calibration.curves) {
        for (CalibrationPoint& point : curve.points) {
            point.value *= curve.kernel == "notify" ? 3 : 1;
        }
    }
    const Compared run = compared(std::move(setting));
    CHECK(contribution(run.comparison, Resource::rest) == run.comparison.difference);
    CHECK(run.comparison.difference > 0);
    CHECK(whats(run.comparison.changed) == Overrides{"calibration.curves.notify"});
}

TEST_CASE("baseline: what it does not name is the scenario's own before --set", "[sim][baseline]") {
    const Setting setting =
        test::tiny_setting({"baseline={}", "cluster=cpu_8x2", "cluster.device.memory_gb=3",
                            "calibration=h800_published"});
    REQUIRE(setting.baseline.has_value());
    CHECK(setting.calibration.name == "h800_published");
    CHECK(setting.baseline->calibration.name == "assumed_cpu");
    CHECK(setting.topology.device.memory == Bytes(3e9));
    CHECK(setting.baseline->topology.device.memory != setting.topology.device.memory);
    CHECK_FALSE(test::tiny_setting({"baseline=null"}).baseline.has_value());
    CHECK_FALSE(test::tiny_setting().baseline.has_value());
}

TEST_CASE("resources: one is exchanged, the others stay", "[sim][baseline]") {
    const auto [from, to] = unlike_hardware();
    const std::vector<HardwareChange> all = hardware_changes(from, to);
    CHECK(resources_of(all) == std::set<Resource>(kResources.begin(), kResources.end()));
    for (const Resource resource : {Resource::compute, Resource::nvlink, Resource::network}) {
        INFO(name(resource));
        const Hardware mixed = with_resource(from, to, resource);
        const std::vector<HardwareChange> now = hardware_changes(from, mixed);
        CHECK(resources_of(now) == std::set<Resource>{resource});
        const std::vector<HardwareChange> left = hardware_changes(mixed, to);
        // An NVLink override of a node that the baseline lacks waits for the node.
        CHECK(now.size() + left.size() == all.size() + (resource == Resource::nvlink ? 1 : 0));
    }
    Hardware mixed = from;
    for (const Resource resource : {Resource::compute, Resource::network, Resource::nvlink}) {
        mixed = with_resource(mixed, to, resource);
        CHECK_NOTHROW(generate_fabric(mixed.topology));
    }
    CHECK(resources_of(hardware_changes(mixed, to)) == std::set<Resource>{Resource::rest});
}

TEST_CASE("resources: exchanges belong to the links that they were measured on",
          "[sim][baseline]") {
    const Hardware h800 = hardware("h800_8x8", "h800_published");
    Hardware faster = h800;
    for (CalibrationCurve& curve : faster.calibration.curves) {
        const bool links = curve.kernel == "expert_all_to_all";
        const int column = curve.column(links ? "rdma_us" : "ep");
        for (CalibrationPoint& point : curve.points) {
            const bool rdma =
                column >= 0 && point.columns[static_cast<std::size_t>(column)] > (links ? 0 : 8);
            point.value *= rdma && (links || curve.kernel == "combine") ? 1.5 : 1;
        }
    }
    const std::vector<HardwareChange> changes = hardware_changes(h800, faster);
    CHECK(whats(changes) ==
          Overrides{"calibration.curves.combine", "calibration.curves.expert_all_to_all"});
    CHECK(resources_of(changes) == std::set<Resource>{Resource::network});
}

TEST_CASE("baseline: H100 for H800 changes NVLink and compute rates only",
          "[sim][baseline][slow]") {
    const Compared h100 = small_h100();
    const BaselineComparison& comparison = h100.comparison;
    for (const HardwareChange& change : comparison.changed) {
        INFO(change.what);
        CHECK((change.resource == Resource::compute || change.resource == Resource::nvlink));
    }
    const Overrides names = whats(comparison.changed);
    for (const char* expected : {"nvlink.bandwidth_gb_per_s", "nvlink.achievable_fraction"}) {
        INFO(expected);
        CHECK(std::count(names.begin(), names.end(), expected) == 1);
    }
    CHECK(contribution(comparison, Resource::nvlink) < 0);
    CHECK(contribution(comparison, Resource::compute) == 0);
    CHECK(contribution(comparison, Resource::network) == 0);
    CHECK(contribution(comparison, Resource::rest) == 0);
    check_same_kernels(h100.setting, h100.simulation);
    check_exchanges(h100.simulation.dag, on_baseline(h100.setting).dag);
}

}  // namespace r1
