#include <filesystem>
#include <thread>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "model/base/json.hpp"
#include "sim/hardware/presets.hpp"
#include "tools/cli.hpp"

namespace r1 {

namespace {

int run_doctor(const Invocation& invocation) {
#ifdef R1_HAVE_SIMGRID
    const bool simgrid = true;
#else
    const bool simgrid = false;
#endif
    Json json;
    json["schema"] = "r1sim.doctor/1";
    json["version"] = R1_VERSION;
    json["data_root"] = data_root().string();
    json["data_found"] = std::filesystem::is_directory(data_root() / kTopologyFolder);
    json["engines"] = {{"simgrid", simgrid}, {"fluid", true}};
    json["cuda"] = false;
    json["cores"] = std::thread::hardware_concurrency();
    const auto yes_no = [](bool value) { return value ? "yes" : "no"; };
    invocation.answer(
        json,
        fmt::format(
            "version        {}\ndata           {} ({})\nSimGrid        {}\n"
            "fluid engine   yes\nCUDA           no (not in this version)\ncores          {}\n",
            R1_VERSION, data_root().string(),
            json["data_found"].get<bool>() ? "found" : "NOT FOUND: set R1SIM_HOME", yes_no(simgrid),
            std::thread::hardware_concurrency()));
    return kOk;
}

}  // namespace

Command doctor_command() {
    Command command;
    command.name = "doctor";
    command.summary = "Says what this build and this machine can do.";
    command.examples = {"doctor", "doctor --json", "doctor -o doctor.json"};
    command.add_options = [](po::options_description&) {};
    command.run = run_doctor;
    return command;
}

}  // namespace r1
