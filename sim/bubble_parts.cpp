#include "sim/bubble_parts.hpp"

#include "model/timeline/breakdown.hpp"
#include "sim/simulate.hpp"

namespace r1 {

namespace {

double mean_bubble_s(const Simulation& simulation, const Timeline& timeline) {
    return pipeline_times(simulation.graph, timeline).mean.bubble_s;
}

}  // namespace

BubbleParts bubble_parts(const Setting& setting, const Simulation& simulation) {
    Setting other = setting;
    Without& without = other.scenario.replay.without;
    const double whole = mean_bubble_s(simulation, simulation.timeline);
    without.network = true;
    const double without_network = mean_bubble_s(simulation, replay_step(other, simulation));
    without.sm_split = true;
    const double dependency = mean_bubble_s(simulation, replay_step(other, simulation));
    return {dependency, whole - without_network, without_network - dependency};
}

}  // namespace r1
