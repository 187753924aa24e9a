#include "sim/sensitivity.hpp"

#include <cmath>

#include "sim/simulate.hpp"

namespace r1 {

namespace {

constexpr double kFaster = 1.1;
constexpr double kSlower = 0.9;

struct SpeedOf {
    std::string_view resource;
    std::vector<double Speeds::*> members;
};

}  // namespace

TimePs resimulated_step(const Setting& setting, const Simulation& simulation,
                        const Speeds& speeds) {
    const Hardware hardware = at_speeds({setting.topology, setting.calibration}, speeds);
    Setting other = setting;
    other.topology = hardware.topology;
    other.fabric = generate_fabric(other.topology);
    other.calibration = hardware.calibration;
    const TimePs step = replay_step(other, simulation).makespan();
    return std::llround(static_cast<double>(step) / speeds.rest);
}

std::vector<Sensitivity> step_sensitivity(const Setting& setting, const Simulation& simulation,
                                          bool check) {
    const std::vector<SpeedOf> resources = {{"compute", {&Speeds::matrix_units, &Speeds::hbm}},
                                            {"matrix_units", {&Speeds::matrix_units}},
                                            {"hbm", {&Speeds::hbm}},
                                            {"nvlink", {&Speeds::nvlink}},
                                            {"network", {&Speeds::network}},
                                            {"rest", {&Speeds::rest}}};
    const RecordedStep recorded(simulation.dag, simulation.timeline);
    std::vector<Sensitivity> result;
    for (const SpeedOf& each : resources) {
        const auto times_at = [&](double factor) {
            Speeds speeds;
            for (double Speeds::*member : each.members) {
                speeds.*member = factor;
            }
            SensitivityTimes times;
            times.predicted = recorded.step_time(speeds);
            if (check) {
                times.resimulated = resimulated_step(setting, simulation, speeds);
            }
            return times;
        };
        result.push_back({each.resource, times_at(kFaster), times_at(kSlower)});
    }
    return result;
}

}  // namespace r1
