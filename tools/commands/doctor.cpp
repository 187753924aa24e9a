#include <exception>
#include <filesystem>
#include <string>
#include <thread>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "model/base/diagnostics.hpp"
#include "model/base/json.hpp"
#include "runtime/device_library.hpp"
#include "sim/hardware/presets.hpp"
#include "tools/cli.hpp"
#include "tools/machine/machine.hpp"

namespace r1 {

namespace {

Json gpus_json(const Machine& machine) {
    Json gpus = Json::array();
    for (const MachineGpu& gpu : machine.gpus) {
        gpus.push_back({{"index", gpu.index},
                        {"name", gpu.name},
                        {"bus_id", gpu.pci.bus_id},
                        {"compute_capability", gpu.compute_capability / 10.0},
                        {"memory_bytes", gpu.memory_bytes},
                        {"nvlinks", gpu.nvlinks.size()}});
    }
    return gpus;
}

Json nics_json(const Machine& machine) {
    Json nics = Json::array();
    for (const MachineNic& nic : machine.nics) {
        nics.push_back({{"name", nic.name},
                        {"bus_id", nic.pci.bus_id},
                        {"port", nic.port},
                        {"gb_per_s", nic.mbit_per_s / 8000},
                        {"link_layer", nic.link_layer},
                        {"active", nic.is_active}});
    }
    return nics;
}

// Whether --device cuda works, or why not.
std::string cuda_problem() {
    try {
        load_cuda_devices(0);
        return {};
    } catch (const std::exception& error) {  // also what CUDA says of a device that fails
        return error.what();
    }
}

Json doctor_json(const Machine& machine) {
#ifdef R1_HAVE_SIMGRID
    const bool simgrid = true;
#else
    const bool simgrid = false;
#endif
#ifdef R1_HAVE_MPI
    const bool mpi = true;
#else
    const bool mpi = false;
#endif
    const std::string problem = cuda_problem();
    const auto or_null = [](const std::optional<std::string>& text) {
        return text ? Json(*text) : Json();
    };
    Json json;
    json["schema"] = "r1sim.doctor/1";
    json["version"] = R1_VERSION;
    json["data_root"] = data_root().string();
    json["data_found"] = std::filesystem::is_directory(data_root() / kTopologyFolder);
    json["engines"] = {{"simgrid", simgrid}, {"fluid", true}};
    json["mpi"] = mpi;
    json["cuda"] = problem.empty();
    json["cuda_problem"] = problem.empty() ? Json() : Json(problem);
    json["driver"] = {
        {"version", or_null(machine.driver)},
        {"cuda_version", machine.cuda_version.empty() ? Json() : Json(machine.cuda_version)}};
    json["nccl"] = or_null(machine.nccl);
    json["gpus"] = gpus_json(machine);
    json["nics"] = nics_json(machine);
    json["cores"] = std::thread::hardware_concurrency();
    return json;
}

std::string doctor_text(const Json& json, const Machine& machine) {
    const auto yes_no = [](const Json& value) { return value.get<bool>() ? "yes" : "no"; };
    std::string text = fmt::format(
        "version        {}\ndata           {} ({})\nSimGrid        {}\nfluid engine   yes\n"
        "MPI            {}\nCUDA           {}\nNVIDIA driver  {}\nNCCL           {}\n",
        R1_VERSION, data_root().string(),
        json["data_found"].get<bool>() ? "found" : "NOT FOUND: set R1SIM_HOME",
        yes_no(json["engines"]["simgrid"]), yes_no(json["mpi"]),
        json["cuda"].get<bool>() ? "yes" : "no: " + json["cuda_problem"].get<std::string>(),
        machine.driver ? fmt::format("{} (CUDA {})", *machine.driver, machine.cuda_version) : "no",
        machine.nccl.value_or("no"));
    for (const MachineGpu& gpu : machine.gpus) {
        text += fmt::format("GPU {:<10} {}, {:.0f} GB, {} NVLinks, {}\n", gpu.index, gpu.name,
                            static_cast<double>(gpu.memory_bytes) * 1e-9, gpu.nvlinks.size(),
                            gpu.pci.bus_id);
    }
    if (machine.gpus.empty()) {
        text += fmt::format("GPUs           none: {}\n", machine.no_gpus);
    }
    for (const MachineNic& nic : machine.nics) {
        text += fmt::format("NIC {:<10} {:g} GB/s, {}, {}, {}\n", nic.name, nic.mbit_per_s / 8000,
                            nic.link_layer, nic.is_active ? "active" : "down", nic.pci.bus_id);
    }
    return text + fmt::format("cores          {}\n", std::thread::hardware_concurrency());
}

int run_doctor(const Invocation& invocation) {
    const Machine machine = inspect_machine();
    const Json json = doctor_json(machine);
    invocation.answer(json, doctor_text(json, machine));
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
