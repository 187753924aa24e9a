// NICs and the places of PCI devices, as the kernel shows them under /sys (declared in
// machine.hpp).
#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "tools/machine/machine.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

// The first line; empty if there is no such file.
std::string line_of(const fs::path& file) {
    std::ifstream stream(file);
    std::string line;
    std::getline(stream, line);
    return line;
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
    std::error_code none;
    std::vector<fs::path> entries;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, none)) {
        entries.push_back(entry.path());
    }
    std::sort(entries.begin(), entries.end());
    return entries;
}

// "0000:1b:00.0"; not "pci0000:00", the root of a tree.
bool is_bus_id(const std::string& name) {
    return name.find('.') != std::string::npos && name.find(':') != std::string::npos;
}

// "400 Gb/sec (4X NDR)"
double mbit_per_s_of(const std::string& rate) { return std::strtod(rate.c_str(), nullptr) * 1000; }

MachineNic read_nic(const fs::path& sysfs, const fs::path& device, const fs::path& port) {
    MachineNic nic;
    nic.name = device.filename().string();
    std::error_code none;
    nic.pci = read_pci(sysfs, fs::weakly_canonical(device / "device", none).filename().string());
    nic.port = std::atoi(port.filename().c_str());
    nic.mbit_per_s = mbit_per_s_of(line_of(port / "rate"));
    nic.is_active = line_of(port / "state").find("ACTIVE") != std::string::npos;
    nic.link_layer = line_of(port / "link_layer");
    nic.guid = "0x";
    for (const char c : line_of(device / "node_guid")) {
        if (c != ':') {
            nic.guid += c;
        }
    }
    return nic;
}

}  // namespace

PciPlace read_pci(const fs::path& sysfs, const std::string& bus_id) {
    PciPlace place;
    place.bus_id = bus_id;
    const fs::path link = sysfs / "bus/pci/devices" / bus_id;
    place.device_class = line_of(link / "class");
    place.vendor = line_of(link / "vendor");
    place.device = line_of(link / "device");
    place.link_speed = line_of(link / "max_link_speed");
    place.link_width = line_of(link / "max_link_width");
    const std::string numa = line_of(link / "numa_node");
    place.numa_node = numa.empty() ? -1 : std::atoi(numa.c_str());
    std::error_code none;
    for (fs::path above = fs::weakly_canonical(link, none).parent_path();
         is_bus_id(above.filename().string()); above = above.parent_path()) {
        place.upstream.push_back(above.filename().string());
    }
    return place;
}

std::vector<MachineNic> read_nics(const fs::path& sysfs) {
    std::vector<MachineNic> nics;
    for (const fs::path& device : sorted_entries(sysfs / "class/infiniband")) {
        for (const fs::path& port : sorted_entries(device / "ports")) {
            nics.push_back(read_nic(sysfs, device, port));
        }
    }
    return nics;
}

}  // namespace r1
