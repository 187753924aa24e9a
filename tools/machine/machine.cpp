#include "tools/machine/machine.hpp"

#include <algorithm>
#include <map>

#include <dlfcn.h>
#include <fmt/format.h>

#include "tools/machine/nvml.hpp"

namespace r1 {

namespace {

std::optional<std::string> find_nccl() {
    void* library = dlopen("libnccl.so.2", RTLD_LAZY | RTLD_LOCAL);
    if (library == nullptr) {
        return std::nullopt;
    }
    const auto get = reinterpret_cast<int (*)(int*)>(dlsym(library, "ncclGetVersion"));
    int version = 0;
    if (get == nullptr || get(&version) != 0) {
        return std::nullopt;
    }
    return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

// GPUs and NICs below bridges, as a tree that is written from its roots.
class XmlWriter {
public:
    explicit XmlWriter(const std::filesystem::path& sysfs) : sysfs_(sysfs) {}

    void add(const PciPlace& pci, const std::string& content) {
        std::string below = pci.bus_id;
        for (const std::string& bridge : pci.upstream) {
            children_[bridge].push_back(below);
            below = bridge;
        }
        roots_[pci.numa_node].push_back(below);
        places_[pci.bus_id] = pci;
        contents_[pci.bus_id] += content;
    }

    [[nodiscard]] std::string text() {
        std::string text = "<system version=\"1\">\n";
        for (auto& [numa, roots] : roots_) {
            text += fmt::format("  <cpu numaid=\"{}\">\n", numa);
            for (const std::string& root : unique(roots)) {
                write(root, 4, text);
            }
            text += "  </cpu>\n";
        }
        return text + "</system>\n";
    }

private:
    static const std::vector<std::string>& unique(std::vector<std::string>& names) {
        std::sort(names.begin(), names.end());
        names.erase(std::unique(names.begin(), names.end()), names.end());
        return names;
    }

    void write(const std::string& bus_id, int indent, std::string& text) {
        const auto found = places_.find(bus_id);
        const PciPlace place = found == places_.end() ? read_pci(sysfs_, bus_id) : found->second;
        text += fmt::format(
            "{:{}}<pci busid=\"{}\" class=\"{}\" vendor=\"{}\" device=\"{}\" link_speed=\"{}\" "
            "link_width=\"{}\">\n",
            "", indent, bus_id, place.device_class, place.vendor, place.device, place.link_speed,
            place.link_width.empty() ? "0" : place.link_width);
        for (const std::string& child : unique(children_[bus_id])) {
            write(child, indent + 2, text);
        }
        text += contents_[bus_id] + fmt::format("{:{}}</pci>\n", "", indent);
    }

    const std::filesystem::path& sysfs_;
    std::map<std::string, std::vector<std::string>> children_;
    std::map<int, std::vector<std::string>> roots_;  // by NUMA node
    std::map<std::string, PciPlace> places_;
    std::map<std::string, std::string> contents_;
};

std::string gpu_xml(const MachineGpu& gpu) {
    std::map<std::string, std::pair<int, std::string>> links;  // bus id: count, class
    for (const MachineGpu::NvLink& link : gpu.nvlinks) {
        ++links[link.bus_id].first;
        links[link.bus_id].second = link.device_class;
    }
    std::string text = fmt::format("<gpu dev=\"{}\" sm=\"{}\" rank=\"{}\" gdr=\"1\">\n", gpu.index,
                                   gpu.compute_capability, gpu.index);
    for (const auto& [bus_id, link] : links) {
        text += fmt::format("<nvlink target=\"{}\" count=\"{}\" tclass=\"{}\"/>\n", bus_id,
                            link.first, link.second);
    }
    return text + "</gpu>\n";
}

}  // namespace

Machine inspect_machine(const std::filesystem::path& sysfs) {
    Machine machine;
    if (const std::optional<NvmlFunctions> nvml = load_nvml(machine.no_gpus)) {
        read_gpus(*nvml, sysfs, machine);
    }
    machine.nccl = find_nccl();
    machine.nics = read_nics(sysfs);
    return machine;
}

std::string nccl_topology_xml(const Machine& machine, const std::filesystem::path& sysfs) {
    XmlWriter writer(sysfs);
    for (const MachineGpu& gpu : machine.gpus) {
        writer.add(gpu.pci, gpu_xml(gpu));
    }
    std::map<std::string, std::string> nets;  // by bus id: the ports of one NIC
    std::map<std::string, PciPlace> places;
    for (std::size_t i = 0; i < machine.nics.size(); ++i) {
        const MachineNic& nic = machine.nics[i];
        if (!nic.is_active) {
            continue;
        }
        nets[nic.pci.bus_id] +=
            fmt::format("<net name=\"{}\" dev=\"{}\" speed=\"{:.0f}\" port=\"{}\" guid=\"{}\"/>\n",
                        nic.name, i, nic.mbit_per_s, nic.port, nic.guid);
        places[nic.pci.bus_id] = nic.pci;
    }
    for (const auto& [bus_id, net] : nets) {
        writer.add(places[bus_id], "<nic>\n" + net + "</nic>\n");
    }
    return writer.text();
}

}  // namespace r1
