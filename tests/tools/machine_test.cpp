// Discovery of a machine, with a driver and a /sys of our own making.
#include "tools/machine/machine.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "model/base/json.hpp"
#include "sim/hardware/import/nccl_xml.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tools/machine/nvml.hpp"

namespace r1 {

namespace {

namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
}

// Two GPUs and two NICs, a pair behind each of two switches of one socket, and four NVSwitches.
class FakeSysfs {
public:
    explicit FakeSysfs(fs::path root) : root_(std::move(root)) {
        for (const std::string socket : {"0", "1"}) {
            const std::string bridge = "0000:0" + socket + ":01.0";
            bridge_ = "pci0000:0" + socket + "/" + bridge;
            device("", bridge, "0x060400");
            device(bridge_, "0000:" + socket + "b:00.0", "0x030200");
            device(bridge_, "0000:" + socket + "c:00.0", "0x020700");
            nic("mlx5_" + socket, "0000:" + socket + "c:00.0", "400 Gb/sec (4X NDR)");
        }
        for (int i = 0; i < 4; ++i) {
            device("pci0000:06", "0000:06:0" + std::to_string(i) + ".0", "0x068000");
        }
    }

private:
    void device(const std::string& above, const std::string& bus_id, const std::string& type) {
        const fs::path folder =
            root_ / "devices" / (above.empty() ? bridge_ : above + "/" + bus_id);
        write(folder / "class", type);
        write(folder / "vendor", "0x10de");
        write(folder / "device", "0x2330");
        write(folder / "max_link_speed", "32.0 GT/s PCIe");
        write(folder / "max_link_width", "16");
        write(folder / "numa_node", "0");
        fs::create_directories(root_ / "bus/pci/devices");
        fs::create_directory_symlink(folder, root_ / "bus/pci/devices" / bus_id);
    }
    void nic(const std::string& name, const std::string& bus_id, const std::string& rate) {
        const fs::path folder = root_ / "class/infiniband" / name;
        write(folder / "ports/1/rate", rate);
        write(folder / "ports/1/state", "4: ACTIVE");
        write(folder / "ports/1/link_layer", "InfiniBand");
        write(folder / "node_guid", "b83f:d203:00a1:" + bus_id.substr(5, 2) + "00");
        fs::create_directory_symlink(fs::canonical(root_ / "bus/pci/devices" / bus_id),
                                     folder / "device");
    }

    fs::path root_;
    std::string bridge_;
};

NvmlPciInfo pci_at(unsigned bus, unsigned device) {
    NvmlPciInfo pci{};
    pci.bus = bus;
    pci.device = device;
    return pci;
}

unsigned index_of(NvmlDevice device) {
    return static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(device)) - 1;
}

// Two H100: 18 links each, 5 + 5 + 4 + 4 to the switches.
NvmlFunctions fake_nvml() {
    NvmlFunctions nvml;
    nvml.init = [] { return 0; };
    nvml.shutdown = [] { return 0; };
    nvml.error_string = [](NvmlReturn) { return "broken"; };
    nvml.driver_version = [](char* text, unsigned length) {
        return std::snprintf(text, length, "580.65.06") > 0 ? 0 : 1;
    };
    nvml.cuda_version = [](int* version) {
        *version = 13000;
        return 0;
    };
    nvml.count = [](unsigned* count) {
        *count = 2;
        return 0;
    };
    nvml.handle = [](unsigned index, NvmlDevice* device) {
        *device = reinterpret_cast<NvmlDevice>(static_cast<std::uintptr_t>(index + 1));
        return 0;
    };
    nvml.name = [](NvmlDevice, char* text, unsigned length) {
        return std::snprintf(text, length, "NVIDIA H100 80GB HBM3") > 0 ? 0 : 1;
    };
    nvml.memory = [](NvmlDevice, NvmlMemory* memory) {
        memory->total = 80'000'000'000;
        return 0;
    };
    nvml.pci = [](NvmlDevice device, NvmlPciInfo* pci) {
        *pci = pci_at(0x0b + 0x10 * index_of(device), 0);
        return 0;
    };
    nvml.compute_capability = [](NvmlDevice, int* major, int* minor) {
        *major = 9;
        *minor = 0;
        return 0;
    };
    nvml.nvlink_state = [](NvmlDevice, unsigned link, unsigned* is_active) {
        *is_active = link < 18 ? 1 : 0;
        return link < 18 ? 0 : 2;
    };
    nvml.nvlink_remote = [](NvmlDevice, unsigned link, NvmlPciInfo* pci) {
        *pci = pci_at(6, link % 4);
        return 0;
    };
    return nvml;
}

}  // namespace

TEST_CASE("machine: GPUs, NVLinks and NICs of driver and /sys", "[tools][machine]") {
    const test::TemporaryFolder folder("machine");
    const FakeSysfs fake(folder.path());
    Machine machine;
    read_gpus(fake_nvml(), folder.path(), machine);
    machine.nics = read_nics(folder.path());
    CHECK(machine.driver == "580.65.06");
    CHECK(machine.cuda_version == "13.0");
    REQUIRE(machine.gpus.size() == 2);
    CHECK(machine.gpus[1].pci.bus_id == "0000:1b:00.0");
    CHECK(machine.gpus[1].pci.upstream == std::vector<std::string>{"0000:01:01.0"});
    CHECK(machine.gpus[0].nvlinks.size() == 18);
    REQUIRE(machine.nics.size() == 2);
    CHECK(machine.nics[0].name == "mlx5_0");
    CHECK(machine.nics[0].mbit_per_s == 400'000);
    CHECK(machine.nics[0].is_active);
    CHECK(machine.nics[0].guid == "0xb83fd20300a10c00");
}

TEST_CASE("machine: what is discovered is a topology", "[tools][machine]") {
    const test::TemporaryFolder folder("machine");
    const FakeSysfs fake(folder.path());
    Machine machine;
    read_gpus(fake_nvml(), folder.path(), machine);
    machine.nics = read_nics(folder.path());
    const ImportedTopology imported =
        import_nccl_xml(nccl_topology_xml(machine, folder.path()), "this machine");
    const auto value = [&](const std::string& field) {
        const auto found = std::find_if(imported.values.begin(), imported.values.end(),
                                        [&](const auto& each) { return each.field == field; });
        INFO(field);
        REQUIRE(found != imported.values.end());
        return found->value;
    };
    CHECK(value("gpus_per_node") == 2);
    CHECK(value("nvlink.bandwidth_gb_per_s") == 18 * 25);
    CHECK(value("nic.bandwidth_gb_per_s") == 50);
}

TEST_CASE("machine: without a driver or NICs nothing is there", "[tools][machine]") {
    const test::TemporaryFolder folder("machine");
    CHECK(read_nics(folder.path()).empty());
    Machine machine;
    NvmlFunctions nvml = fake_nvml();
    nvml.init = [] { return 9; };
    read_gpus(nvml, folder.path(), machine);
    CHECK(machine.gpus.empty());
    CHECK(machine.no_gpus == "NVML: broken");
}

}  // namespace r1
