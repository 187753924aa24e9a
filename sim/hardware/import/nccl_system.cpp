#include "sim/hardware/import/nccl_system.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "model/base/index.hpp"
#include "sim/hardware/import/nccl_elements.hpp"
#include "sim/hardware/import/pci.hpp"

namespace r1 {
namespace {

constexpr std::size_t kProblemsMax = 100;   // then the rest of the file is not looked at
constexpr std::size_t kDevicesMax = 1024;   // GPUs or NICs of a node, as in a topology
constexpr double kDefaultMbitPerS = 10000;  // what NCCL takes where a net has no speed
constexpr double kMbitPerGbPerS = 8000;     // 1 GB/s = 8000 Mbit/s
constexpr std::string_view kVersion = "1";

template <class Names>
bool holds(const Names& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

class NcclReader {
public:
    NcclReader(const XmlDocument& document, Diagnostics& diagnostics)
        : document_(document), diagnostics_(diagnostics) {}

    NcclSystem read();

private:
    // What is known of each element from those above it.
    struct Context {
        const NcclElement* known = nullptr;  // nullptr: ignored, with all below it
        int node = -1;
        NcclPlace place;  // of what stands inside the element
        int device = -1;  // within a gpu: its index; within the nic of a pci: the NIC's
    };

    void error(int element, std::string message, std::string_view attribute = {}) {
        diagnostics_.error(document_.diagnostic(element, std::move(message), attribute));
    }
    std::optional<int> whole(int element, std::string_view name, int base, int min);
    std::string text(int element, std::string_view name, bool is_required);
    NcclNode& node_of(const Context& context) { return system_.nodes[at(context.node)]; }

    bool check_root();
    void visit(int element);
    const NcclElement* known(int element);
    void visit_cpu(int element, Context& context);
    void visit_pci(int element, Context& context);
    void visit_gpu(int element, Context& context, const Context& parent);
    void visit_nvlink(int element, Context& context);
    void visit_nic(int element, Context& context);
    void visit_net(int element, Context& context, const Context& parent);
    void add_nic(NcclNode& node, NcclNic nic);
    void bare_pci(int element, const Context& context);
    std::optional<double> net_speed(int element);
    bool is_repeated_net(int element, const Context& context);
    void limit_ports();
    void report_text();
    void report_classless();

    const XmlDocument& document_;
    Diagnostics& diagnostics_;
    NcclSystem system_;
    std::vector<Context> contexts_;                        // by element
    std::map<std::string, int> hosts_;                     // host_hash -> node
    std::map<std::pair<int, std::string>, int> bus_ids_;   // (node, bus id) -> element
    std::set<int> gpu_pcis_;                               // pci elements with a gpu
    std::map<std::pair<int, std::string>, int> gpu_devs_;  // (node, dev) -> element
    std::map<std::pair<int, std::string>, int> net_devs_;  // (node, dev) -> element
    std::map<std::pair<int, int>, int> pci_nics_;          // (node, NIC) -> pci element
    std::vector<int> classless_;                           // pci elements that could be anything
};

std::string NcclReader::text(int element, std::string_view name, bool is_required) {
    const std::string* value = document_.element(element).attribute(name);
    if (value == nullptr && is_required) {
        error(element, fmt::format("<{}> has no {}", document_.element(element).name, name));
    }
    return value == nullptr ? "" : *value;
}

// Nothing (and an error, if it is there) unless it is a whole number of at least `min`.
std::optional<int> NcclReader::whole(int element, std::string_view name, int base, int min) {
    const std::string* found = document_.element(element).attribute(name);
    if (found == nullptr) return std::nullopt;
    std::string_view digits = *found;
    if (base == 16 && digits.starts_with("0x")) digits.remove_prefix(2);
    int value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, code] = std::from_chars(digits.data(), end, value, base);
    if (code != std::errc() || stop != end || value < min) {
        error(element,
              fmt::format("expects a {}whole number from {}, found {}",
                          base == 16 ? "hexadecimal " : "", min, quote(*found)),
              name);
        return std::nullopt;
    }
    return value;
}

bool NcclReader::check_root() {
    const XmlElement& root = document_.element(0);
    if (root.name == "topology") {
        error(0, "this is a file of hwloc; NCCL writes its own with NCCL_TOPO_DUMP_FILE");
    } else if (root.name != "system") {
        error(0, "an NCCL topology begins with <system>, this with " +
                     quote("<" + root.name + ">") + did_you_mean(root.name, {"system"}));
    } else if (const std::string version = text(0, "version", true); version == "2") {
        error(0, "version 2 is RCCL's; NCCL's is 1", "version");
    } else if (!version.empty() && version != kVersion) {
        error(0, "version must be 1, found " + quote(version), "version");
    }
    return diagnostics_.ok();
}

const NcclElement* NcclReader::known(int element) {
    const XmlElement& here = document_.element(element);
    std::vector<std::string> names;
    for (const NcclElement& candidate : nccl_elements()) {
        names.emplace_back(candidate.name);
        if (candidate.name != here.name) continue;
        const std::string& parent = document_.element(here.parent).name;
        if (!holds(candidate.parents, parent)) {
            error(element, fmt::format("<{}> does not belong into <{}>", here.name, parent));
            return nullptr;
        }
        for (const XmlAttribute& attribute : here.attributes) {
            if (holds(candidate.attributes, attribute.name)) continue;
            system_.notes.push_back(
                render(document_.diagnostic(element, "ignored", attribute.name)));
        }
        return &candidate;
    }
    Diagnostic note = document_.diagnostic(element, "ignored" + did_you_mean(here.name, names));
    note.source_line.clear();
    system_.notes.push_back(render(note));
    return nullptr;
}

void NcclReader::visit_cpu(int element, Context& context) {
    const std::string host = text(element, "host_hash", false);
    const auto [found, is_new] = hosts_.emplace(host, static_cast<int>(system_.nodes.size()));
    if (is_new) system_.nodes.push_back(NcclNode{host, {}, {}});
    context.node = found->second;
    context.place.cpu = element;
}

void NcclReader::visit_pci(int element, Context& context) {
    context.place.bridges.push_back(element);
    const std::string bus_id = text(element, "busid", true);
    if (bus_id.empty()) return;
    if (!parse_bus_id(bus_id)) {
        error(element, "expects a bus id like 0000:1b:00.0, found " + quote(bus_id), "busid");
    } else if (const auto [other, is_new] =
                   bus_ids_.emplace(std::pair(context.node, bus_id), element);
               !is_new) {
        error(element,
              fmt::format("{} stands at line {} too", bus_id,
                          document_.location(document_.element(other->second).offset).line),
              "busid");
    }
    const auto& children = document_.element(element).children;
    const bool is_leaf = std::none_of(children.begin(), children.end(), [&](int child) {
        return holds(std::vector<std::string_view>{"pci", "gpu", "nic"},
                     document_.element(child).name);
    });
    if (is_leaf) bare_pci(element, context);
}

// NCCL asks the system what a pci element without children is; here only its class can say.
void NcclReader::bare_pci(int element, const Context& context) {
    const std::string pci_class = text(element, "class", false);
    NcclPlace place = context.place;
    place.bridges.pop_back();  // itself
    if (pci_class.empty()) {
        classless_.push_back(element);
    } else if (pci_class.starts_with("0x03")) {
        NcclGpu gpu;
        gpu.element = element;
        gpu.bus_id = text(element, "busid", false);
        gpu.place = std::move(place);
        gpu.device_id = whole(element, "device", 16, 0);
        node_of(context).gpus.push_back(std::move(gpu));
    } else if (pci_class.starts_with("0x02")) {
        NcclNic nic;
        nic.element = element;
        nic.name = text(element, "busid", false);
        nic.place = std::move(place);
        nic.origin = NicOrigin::bare_pci;
        node_of(context).nics.push_back(std::move(nic));
    }
}

void NcclReader::visit_gpu(int element, Context& context, const Context& parent) {
    const int pci = document_.element(element).parent;
    if (!gpu_pcis_.insert(pci).second) {
        error(element, "a second GPU in the same pci element");
        context.known = nullptr;
        return;
    }
    NcclGpu gpu;
    gpu.element = element;
    gpu.bus_id = text(pci, "busid", false);
    gpu.place = parent.place;
    gpu.place.bridges.pop_back();  // its own pci element
    gpu.dev = whole(element, "dev", 10, 0);
    gpu.sm = whole(element, "sm", 10, 1);
    gpu.device_id = whole(pci, "device", 16, 0);
    gpu.has_rank = whole(element, "rank", 10, -1).value_or(-1) >= 0;
    if (gpu.dev) {
        const auto [other, is_new] =
            gpu_devs_.emplace(std::pair(context.node, std::to_string(*gpu.dev)), element);
        if (!is_new) {
            error(element,
                  fmt::format("GPU {} stands at line {} too", *gpu.dev,
                              document_.location(document_.element(other->second).offset).line),
                  "dev");
        }
    }
    context.device = static_cast<int>(node_of(context).gpus.size());
    node_of(context).gpus.push_back(std::move(gpu));
}

void NcclReader::visit_nvlink(int element, Context& context) {
    NcclNvlink link;
    link.element = element;
    link.target = text(element, "target", true);
    link.count = whole(element, "count", 10, 1).value_or(0);
    if (link.count == 0 && document_.element(element).attribute("count") == nullptr) {
        error(element, "<nvlink> has no count");
    } else if (link.count > 1000) {
        error(element, "no GPU has more than 1000 NVLinks", "count");
    }
    const std::string end_class = text(element, "tclass", true);
    if (end_class.starts_with("0x068000")) {
        link.end = NvlinkEnd::nvswitch;
    } else if (end_class.starts_with("0x03")) {
        link.end = NvlinkEnd::gpu;
    } else if (end_class.starts_with("0x068001")) {
        link.end = NvlinkEnd::cpu;
    } else if (!end_class.empty()) {
        error(element,
              "an NVLink leads to 0x068000 (NVSwitch), 0x0302.. (GPU) or 0x068001 (CPU), found " +
                  quote(end_class),
              "tclass");
    }
    node_of(context).gpus[at(context.device)].nvlinks.push_back(std::move(link));
}

void NcclReader::visit_nic(int element, Context& context) {
    const int parent = document_.element(element).parent;
    if (document_.element(parent).name != "pci") return;  // each of its nets counts for itself
    if (document_.element(element).children.empty()) {
        bare_pci(parent, context);
        return;
    }
    NcclNic nic;
    nic.element = element;
    nic.name = text(parent, "busid", false);
    nic.place = context.place;
    nic.place.bridges.pop_back();
    nic.ports = 0;
    context.device = static_cast<int>(node_of(context).nics.size());
    pci_nics_[{context.node, context.device}] = parent;
    node_of(context).nics.push_back(std::move(nic));
}

std::optional<double> NcclReader::net_speed(int element) {
    const std::string* found = document_.element(element).attribute("speed");
    double mbit_per_s = 0;
    if (found != nullptr) {
        const char* end = found->data() + found->size();
        const auto [stop, code] = std::from_chars(found->data(), end, mbit_per_s);
        if (code != std::errc() || stop != end || !(mbit_per_s <= 1e9)) {
            error(element, "expects Mbit/s, at most 1e9, found " + quote(*found), "speed");
            return std::nullopt;
        }
    }
    if (mbit_per_s <= 0) {
        mbit_per_s = kDefaultMbitPerS;
        Diagnostic warning = document_.diagnostic(
            element, "no speed is given: 10000 Mbit/s, as NCCL takes", "speed");
        warning.source_line.clear();
        system_.warnings.push_back(render(warning));
    }
    return mbit_per_s / kMbitPerGbPerS;
}

// An interface without a PCI device can be listed under several cpus: it is close to none of them.
bool NcclReader::is_repeated_net(int element, const Context& context) {
    const std::string dev = text(element, "dev", true);
    const auto [other, is_new] = net_devs_.emplace(std::pair(context.node, dev), element);
    if (is_new || dev.empty()) return false;
    for (NcclNic& nic : node_of(context).nics) {
        if (nic.element == other->second && nic.origin == NicOrigin::socket &&
            nic.name == text(element, "name", false)) {
            nic.place.cpu = -1;
            return true;
        }
    }
    error(element,
          fmt::format("net {} stands at line {} too", quote(dev),
                      document_.location(document_.element(other->second).offset).line),
          "dev");
    return true;
}

void NcclReader::visit_net(int element, Context& context, const Context& parent) {
    if (is_repeated_net(element, context)) return;
    const std::string name = text(element, "name", false);
    const std::optional<double> gb_per_s = net_speed(element);
    if (parent.device < 0) {
        NcclNic nic;
        nic.element = element;
        nic.name = name.empty() ? "net " + text(element, "dev", false) : name;
        nic.place = parent.place;
        nic.origin = NicOrigin::socket;
        nic.gb_per_s = gb_per_s;
        node_of(context).nics.push_back(std::move(nic));
        return;
    }
    NcclNic& nic = node_of(context).nics[at(parent.device)];
    if (nic.ports++ == 0 && !name.empty()) nic.name = name;
    nic.gb_per_s = nic.gb_per_s.value_or(0) + gb_per_s.value_or(0);
}

void NcclReader::visit(int element) {
    const XmlElement& here = document_.element(element);
    const Context& parent = contexts_[at(here.parent)];
    Context& context = contexts_[at(element)];
    if (parent.known == nullptr) return;
    context.known = known(element);
    if (context.known == nullptr) return;
    context.node = parent.node;
    context.place = parent.place;
    context.device = parent.device;
    if (here.name == "cpu") visit_cpu(element, context);
    if (here.name == "pci") visit_pci(element, context);
    if (here.name == "gpu") visit_gpu(element, context, parent);
    if (here.name == "nvlink") visit_nvlink(element, context);
    if (here.name == "nic") visit_nic(element, context);
    if (here.name == "net") visit_net(element, context, parent);
    if (here.name == "c2c") {
        Diagnostic note = document_.diagnostic(element, "ignored: no CPU links in a topology");
        note.source_line.clear();
        system_.notes.push_back(render(note));
    }
}

// The ports of a NIC share its PCIe link.
void NcclReader::limit_ports() {
    for (const auto& [index, pci] : pci_nics_) {
        NcclNic& nic = system_.nodes[at(index.first)].nics[at(index.second)];
        const std::optional<double> link =
            pci_gb_per_s(text(pci, "link_speed", false), text(pci, "link_width", false));
        if (!link || !nic.gb_per_s || *nic.gb_per_s <= *link) continue;
        Diagnostic warning = document_.diagnostic(
            pci,
            fmt::format("{}: its ports have {:g} GB/s, its PCIe link carries {:.4g}: that is "
                        "taken",
                        nic.name, *nic.gb_per_s, *link),
            "link_speed");
        warning.source_line.clear();
        system_.warnings.push_back(render(warning));
        nic.gb_per_s = link;
    }
}

void NcclReader::report_text() {
    std::size_t first = 0;
    int count = 0;
    for (const XmlElement& element : document_.elements()) {
        if (element.text_offset == 0) continue;
        first = count++ == 0 ? element.text_offset : std::min(first, element.text_offset);
    }
    if (count > 0) {
        const Location place = document_.location(first);
        system_.warnings.push_back(
            fmt::format("{}:{}:{}: text between elements, here and in {} more, is ignored; NCCL "
                        "itself refuses such a file",
                        place.file, place.line, place.column, count - 1));
    }
    if (document_.has_declaration()) {
        system_.warnings.push_back(document_.file() +
                                   ": a line '<?...?>' is ignored; NCCL itself refuses it");
    }
}

void NcclReader::report_classless() {
    if (classless_.empty()) return;
    error(classless_.front(),
          fmt::format("{} pci element{} ha{} no class and no gpu or nic inside: what is a GPU and "
                      "what a NIC, only the machine itself can tell. Run any NCCL program there "
                      "with NCCL_TOPO_DUMP_FILE=dump.xml and import that",
                      classless_.size(), classless_.size() == 1 ? "" : "s",
                      classless_.size() == 1 ? "s" : "ve"));
}

NcclSystem NcclReader::read() {
    if (!check_root()) return std::move(system_);
    contexts_.resize(document_.elements().size());
    contexts_[0].known = nccl_elements().data();
    for (int element = 1; element < static_cast<int>(contexts_.size()); ++element) {
        if (diagnostics_.errors().size() >= kProblemsMax) return std::move(system_);
        visit(element);
    }
    report_text();
    report_classless();
    limit_ports();
    for (const NcclNode& node : system_.nodes) {
        if (node.gpus.size() > kDevicesMax || node.nics.size() > kDevicesMax) {
            error(0, fmt::format("more than {} GPUs or NICs in a node", kDevicesMax));
        }
    }
    return std::move(system_);
}

}  // namespace

NcclSystem read_nccl_system(const XmlDocument& document, Diagnostics& diagnostics) {
    return NcclReader(document, diagnostics).read();
}

}  // namespace r1
