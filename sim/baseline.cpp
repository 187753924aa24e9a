#include "sim/baseline.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "sim/simulate.hpp"

namespace r1 {

namespace {

TimePs step_on(const Setting& setting, const Hardware& hardware, const GraphHash& hash,
               SharedWork& shared) {
    Setting other = setting;
    other.baseline.reset();
    other.topology = hardware.topology;
    other.fabric = generate_fabric(other.topology);
    other.calibration = hardware.calibration;
    Simulation simulation = prepare(other, shared);
    R1_CHECK(simulation.graph.hash() == hash);  // hardware never enters a graph
    replay(other, simulation);
    return simulation.timeline.makespan();
}

}  // namespace

std::optional<Hardware> read_baseline(const Document& document, Diagnostics& diagnostics) {
    const auto is_object = [&](const char* pointer) {
        const Json* value = document.find(pointer);
        return value != nullptr && value->is_object();
    };
    if (!is_object("/baseline")) {
        return std::nullopt;
    }
    Hardware baseline;
    if (is_object("/baseline/cluster")) {  // else read_scenario() complains
        baseline.topology = read_topology(document, "/baseline/cluster", diagnostics);
    }
    if (is_object("/baseline/calibration")) {
        baseline.calibration = read_calibration(document, "/baseline/calibration", diagnostics);
    }
    return baseline;
}

void check_baseline(const Document& document, const Scenario& scenario, const Hardware& baseline,
                    Diagnostics& diagnostics) {
    const auto error = [&](const char* pointer, std::string message) {
        diagnostics.error(document.diagnostic(pointer, std::move(message)));
    };
    if (baseline.topology.gpus_per_node != scenario.cluster.gpus_per_node) {
        error("/baseline/cluster/gpus_per_node",
              fmt::format("must be as in the scenario's cluster ({}): the size of a node is part "
                          "of the plan",
                          scenario.cluster.gpus_per_node));
    } else if (scenario.ranks() > baseline.topology.gpus()) {
        error("/baseline/cluster/nodes", fmt::format("{} ranks do not fit on {} GPUs",
                                                     scenario.ranks(), baseline.topology.gpus()));
    }
}

BaselineComparison compare_with_baseline(const Setting& setting, const Simulation& simulation) {
    R1_CHECK(setting.baseline.has_value());
    const Hardware target{setting.topology, setting.calibration};
    const GraphHash hash = simulation.graph.hash();
    Hardware mixed = *setting.baseline;
    BaselineComparison comparison;
    comparison.cluster = mixed.topology.name;
    comparison.calibration = mixed.calibration.name;
    comparison.changed = hardware_changes(mixed, target);
    SharedWork shared;
    comparison.step = step_on(setting, mixed, hash, shared);
    TimePs before = comparison.step;
    for (const Resource resource : kResources) {
        TimePs step = before;
        if (resource == Resource::rest) {
            step = simulation.timeline.makespan();
        } else if (std::any_of(comparison.changed.begin(), comparison.changed.end(),
                               [&](const auto& each) { return each.resource == resource; })) {
            mixed = with_resource(mixed, target, resource);
            step = step_on(setting, mixed, hash, shared);
        }
        comparison.by_resource.push_back({resource, step, step - before});
        before = step;
    }
    comparison.difference = before - comparison.step;
    return comparison;
}

}  // namespace r1
