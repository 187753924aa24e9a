#include "sim/hardware/import/nccl_xml.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "model/base/index.hpp"
#include "sim/hardware/import/nccl_system.hpp"
#include "sim/hardware/import/node_nics.hpp"
#include "sim/hardware/import/nvidia_gpus.hpp"
#include "sim/hardware/import/pci.hpp"

namespace r1 {
namespace {

constexpr std::string_view kInvisibleSwitch = "fffffff:ff:ff.0";  // of virtual machines

// The importer sees the file's own values; the document beside them is for places and messages.
class NcclImport {
public:
    NcclImport(const XmlDocument& document, NcclSystem system)
        : document_(document), system_(std::move(system)) {
        imported_.file = document.file();
        imported_.warnings = std::move(system_.warnings);
        imported_.notes = std::move(system_.notes);
    }

    ImportedTopology run(Diagnostics& diagnostics);

private:
    void put(const std::string& field, Json value, int element, const std::string& what) {
        const Location place = document_.location(document_.element(element).offset);
        imported_.put(field, std::move(value), place, source_place(place) + ": " + what);
    }
    void need(const std::string& field, const std::string& hint, int element, std::string message) {
        imported_.need(field, hint, document_.diagnostic(element, std::move(message)));
    }
    void warn(int element, const std::string& message) {
        Diagnostic warning = document_.diagnostic(element, message);
        warning.source_line.clear();
        imported_.warnings.push_back(render(warning));
    }

    void select_gpus(NcclNode& node);
    void select_nics(NcclNode& node);
    [[nodiscard]] NicPlan plan(const NcclNode& node) const;
    [[nodiscard]] std::string shape(const NcclNode& node) const;
    void compare_nodes(Diagnostics& diagnostics);
    void put_device(const std::vector<NcclGpu>& gpus);
    void put_nvlink(const std::vector<NcclGpu>& gpus);
    bool needs_nvlink_rate(const std::vector<NcclGpu>& gpus);
    bool is_mesh(const std::vector<NcclGpu>& gpus);
    void put_nics(const NcclNode& node);
    void put_nic_rate(const NcclNode& node, const NicPlan& plan);
    void put_fabric(bool has_nics);

    const XmlDocument& document_;
    NcclSystem system_;
    ImportedTopology imported_;
};

std::string names_of(const std::vector<NcclNic>& nics) {
    std::string names;
    for (std::size_t i = 0; i < nics.size() && i < 4; ++i) {
        names += (i == 0 ? "" : ", ") + nics[i].name;
    }
    return names + (nics.size() > 4 ? fmt::format(" and {} more", nics.size() - 4) : "");
}

void NcclImport::select_gpus(NcclNode& node) {
    std::vector<NcclGpu>& gpus = node.gpus;
    const auto ranked = [](const NcclGpu& gpu) { return gpu.has_rank; };
    if (std::any_of(gpus.begin(), gpus.end(), ranked) &&
        !std::all_of(gpus.begin(), gpus.end(), ranked)) {
        for (const NcclGpu& gpu : gpus) {
            if (!gpu.has_rank) {
                warn(gpu.element, "this GPU has no rank: left out, as NCCL does");
            }
        }
        std::erase_if(gpus, [&](const NcclGpu& gpu) { return !gpu.has_rank; });
    }
    // CUDA's order; for GPUs without an index its default of the same name, PCI_BUS_ID.
    const bool have_dev = std::all_of(gpus.begin(), gpus.end(),
                                      [](const NcclGpu& gpu) { return gpu.dev.has_value(); });
    std::stable_sort(gpus.begin(), gpus.end(), [&](const NcclGpu& a, const NcclGpu& b) {
        return have_dev ? a.dev < b.dev : parse_bus_id(a.bus_id) < parse_bus_id(b.bus_id);
    });
}

// Those of the first kind that there is: with a speed, without, without a PCI device.
void NcclImport::select_nics(NcclNode& node) {
    for (const NicOrigin origin : {NicOrigin::pci, NicOrigin::bare_pci, NicOrigin::socket}) {
        std::vector<NcclNic> others;
        for (const NcclNic& nic : node.nics) {
            if (nic.origin != origin) others.push_back(nic);
        }
        if (others.size() == node.nics.size()) continue;
        std::erase_if(node.nics, [&](const NcclNic& nic) { return nic.origin != origin; });
        if (!others.empty()) {
            warn(others.front().element,
                 "left out, since others are NICs with a PCI device and a "
                 "speed: " +
                     names_of(others));
        }
        return;
    }
}

// As NCCL measures: a bridge in common (the deeper, the closer), the same CPU, anything.
int closeness(const NcclPlace& a, const NcclPlace& b) {
    int common = 0;
    while (common < static_cast<int>(std::min(a.bridges.size(), b.bridges.size())) &&
           a.bridges[at(common)] == b.bridges[at(common)]) {
        ++common;
    }
    return common > 0 ? common + 1 : a.cpu == b.cpu ? 1 : 0;
}

std::vector<NicCandidate> candidates_of(const NcclNode& node) {
    std::vector<NicCandidate> candidates;
    for (const NcclNic& nic : node.nics) candidates.push_back({nic.name, nic.gb_per_s});
    return candidates;
}

NicPlan NcclImport::plan(const NcclNode& node) const {
    std::vector<std::vector<int>> close;
    for (const NcclGpu& gpu : node.gpus) {
        close.emplace_back();
        for (const NcclNic& nic : node.nics) {
            close.back().push_back(closeness(gpu.place, nic.place));
        }
    }
    return plan_nics(close, candidates_of(node));
}

// What must be equal for two hosts to be nodes of one topology.
std::string NcclImport::shape(const NcclNode& node) const {
    std::string text = fmt::format("{} GPUs (NVLinks", node.gpus.size());
    for (const NcclGpu& gpu : node.gpus) {
        int links = 0;
        for (const NcclNvlink& link : gpu.nvlinks) links += link.count;
        text += fmt::format(" {}", links);
    }
    text += ") and NICs of";
    const NicPlan nics = plan(node);
    for (const std::vector<int>& merged : nics.nics) {
        const std::optional<double> rate = node.nics[at(merged.front())].gb_per_s;
        text += rate ? fmt::format(" {}x{:g}", merged.size(), *rate) : " ?";
    }
    text += " GB/s for GPU";
    for (const int nic : nics.affinity) text += fmt::format(" {}", nic);
    return text;
}

void NcclImport::compare_nodes(Diagnostics& diagnostics) {
    const std::string first = shape(system_.nodes.front());
    for (const NcclNode& node : system_.nodes) {
        if (const std::string other = shape(node); other != first) {
            diagnostics.error(document_.diagnostic(
                0, fmt::format("host {} has {}; host {} has {}: a topology has one kind of node",
                               system_.nodes.front().host, first, node.host, other)));
            return;
        }
    }
}

void NcclImport::put_device(const std::vector<NcclGpu>& gpus) {
    const NcclGpu& first = gpus.front();
    for (const NcclGpu& gpu : gpus) {
        if (gpu.device_id != first.device_id || gpu.sm != first.sm) {
            need("device", "h100", gpu.element,
                 fmt::format("GPU {} is of another kind than GPU {}: a topology has one kind, say "
                             "which",
                             gpu.bus_id, first.bus_id));
            return;
        }
    }
    const std::string sm = first.sm ? fmt::format(", sm {}", *first.sm) : "";
    const char* preset = first.device_id ? device_preset(*first.device_id) : nullptr;
    if (preset != nullptr) {
        put("device", preset, first.element,
            fmt::format("PCI device {:#06x}{}", *first.device_id, sm));
    } else if (first.device_id) {
        need("device", "FILE", first.element,
             fmt::format("no device file for GPUs of PCI device {:#06x}{}; write one like "
                         "topologies/devices/h100.json",
                         *first.device_id, sm));
    } else {
        need("device", "h100", first.element,
             fmt::format("which GPU this is, is not in the file (no PCI device{}); h100, h200, "
                         "h800 or a file of yours",
                         sm));
    }
}

int links_to(const NcclGpu& gpu, NvlinkEnd end) {
    int count = 0;
    for (const NcclNvlink& link : gpu.nvlinks) count += link.end == end ? link.count : 0;
    return count;
}

// NVLinks to other GPUs are one rate for all pairs only if there are as many to each of them.
bool NcclImport::is_mesh(const std::vector<NcclGpu>& gpus) {
    std::set<std::string> all;
    for (const NcclGpu& gpu : gpus) all.insert(gpu.bus_id);
    for (const NcclGpu& gpu : gpus) {
        std::map<std::string, int> to_peer;
        for (const NcclNvlink& link : gpu.nvlinks) {
            if (link.end == NvlinkEnd::gpu) to_peer[link.target] += link.count;
        }
        const int each = links_to(gpu, NvlinkEnd::gpu) / static_cast<int>(all.size() - 1);
        for (const std::string& peer : all) {
            if (peer != gpu.bus_id && to_peer[peer] != each) return false;
        }
    }
    return true;
}

// True (and a missing value) if the file does not give every pair of GPUs the same NVLink rate.
bool NcclImport::needs_nvlink_rate(const std::vector<NcclGpu>& gpus) {
    const NcclGpu& first = gpus.front();
    const int switched = links_to(first, NvlinkEnd::nvswitch);
    const int direct = links_to(first, NvlinkEnd::gpu);
    std::string why;
    int where = first.element;
    for (const NcclGpu& gpu : gpus) {
        const int links = links_to(gpu, NvlinkEnd::nvswitch) + links_to(gpu, NvlinkEnd::gpu);
        if (links != switched + direct) {
            why = fmt::format("GPU {} has {} NVLinks, GPU {} {}: a topology has one rate for all",
                              gpu.bus_id, links, first.bus_id, switched + direct);
            where = gpu.element;
        }
    }
    if (why.empty() && switched + direct == 0) {
        why = "no NVLink is in the file, but a topology needs the rate between the GPUs of a node";
    } else if (why.empty() && direct > 0 && (switched > 0 || !is_mesh(gpus))) {
        why =
            "NVLinks join some pairs of GPUs and others less or not at all: a topology has one "
            "rate for all pairs";
    } else if (why.empty() && (!first.sm || nvlink_rate(*first.sm) == nullptr)) {
        why = "how fast an NVLink is, depends on sm, which is not known here";
    }
    if (why.empty()) return false;
    need("nvlink.bandwidth_gb_per_s", "N", where, why + " (H100 450, H800 200)");
    return true;
}

void NcclImport::put_nvlink(const std::vector<NcclGpu>& gpus) {
    std::set<std::string> switches;
    bool is_hidden = false;
    for (const NcclGpu& gpu : gpus) {
        for (const NcclNvlink& link : gpu.nvlinks) {
            if (link.end != NvlinkEnd::nvswitch) continue;
            if (link.target == kInvisibleSwitch) {
                is_hidden = true;
            } else {
                switches.insert(link.target);
            }
        }
    }
    const NcclGpu& first = gpus.front();
    const int element = first.nvlinks.empty() ? first.element : first.nvlinks.front().element;
    if (is_hidden || !switches.empty()) {
        put("nvlink.switches", switches.size(), element,
            is_hidden ? "NVSwitches are not visible in this virtual machine" : "targets of nvlink");
    }
    if (needs_nvlink_rate(gpus)) return;
    const NvlinkRate& rate = *nvlink_rate(*first.sm);
    const int links = links_to(first, NvlinkEnd::nvswitch) + links_to(first, NvlinkEnd::gpu);
    put("nvlink.bandwidth_gb_per_s", links * rate.nominal_gb_per_s, element,
        fmt::format("{} NVLinks a GPU, {:g} GB/s nominal for sm {}", links, rate.nominal_gb_per_s,
                    *first.sm));
    if (rate.sm_min != 90) {  // of sm 90 the presets have measurements
        put("nvlink.achievable_fraction", rate.nccl_gb_per_s / rate.nominal_gb_per_s, element,
            fmt::format("NCCL takes {:g} of {:g} GB/s for sm {}", rate.nccl_gb_per_s,
                        rate.nominal_gb_per_s, *first.sm));
    }
}

void NcclImport::put_nic_rate(const NcclNode& node, const NicPlan& plan) {
    const std::vector<NicCandidate> candidates = candidates_of(node);
    const auto rate_of = [&](const std::vector<int>& merged) {
        return merged_gb_per_s(merged, candidates).value_or(0);
    };
    const std::vector<int>& first = plan.nics.front();
    const NcclNic& nic = node.nics[at(first.front())];
    if (!nic.gb_per_s) {
        need("nic.bandwidth_gb_per_s", "50", nic.element,
             fmt::format("the speed of the {} NICs is not in the file; 400 Gb/s are 50 GB/s",
                         plan.nics.size()));
        return;
    }
    for (const std::vector<int>& other : plan.nics) {
        if (rate_of(other) == rate_of(first)) continue;
        const NcclNic& differs = node.nics[at(other.front())];
        need("nic.bandwidth_gb_per_s",
             fmt::format("{:g}", std::min(rate_of(first), rate_of(other))), differs.element,
             fmt::format("{} has {:g} GB/s where {} has {:g}: a topology has one rate for all NICs",
                         differs.name, rate_of(other), nic.name, rate_of(first)));
        return;
    }
    std::string what = fmt::format("{} has {:g} GB/s", nic.name, *nic.gb_per_s);
    if (nic.ports > 1) what += fmt::format(" in {} ports", nic.ports);
    if (first.size() > 1) {
        what = fmt::format("{} NICs for each GPU, merged into one of their bandwidth: {}",
                           first.size(), what);
        warn(nic.element, fmt::format("{} NICs lie beside each GPU; a topology names one, so each "
                                      "stands for {} ({:g} GB/s together)",
                                      first.size(), first.size(), rate_of(first)));
    }
    put("nic.bandwidth_gb_per_s", rate_of(first), nic.element, what);
}

void NcclImport::put_nics(const NcclNode& node) {
    const NicPlan nics = plan(node);
    if (nics.nics.empty()) return;
    std::vector<NcclNic> left_out;
    for (const int nic : nics.left_out) left_out.push_back(node.nics[at(nic)]);
    if (!left_out.empty()) {
        warn(left_out.front().element,
             "no GPU is closest to this NIC, left out: " + names_of(left_out));
    }
    const int element = node.nics[at(nics.nics.front().front())].element;
    put("nic.per_node", nics.nics.size(), element, "nic elements beside GPUs");
    put("nic.affinity", nics.affinity, element, "closest common pci element, else cpu");
    put_nic_rate(node, nics);
}

void NcclImport::put_fabric(bool has_nics) {
    const std::size_t nodes = system_.nodes.size();
    if (nodes > 1) {
        need("fabric.kind", "mpft", 0,
             fmt::format("{} hosts, but what joins them is not in the file; mpft, mrft or "
                         "single_switch",
                         nodes));
        warn(0, "NVLinks between hosts, if there are any, are not in the topology");
    } else {
        put("fabric.kind", "none", 0,
            has_nics ? "the file is of one node; what joins nodes is for --set to say"
                     : "the file is of one node without NICs");
    }
}

ImportedTopology NcclImport::run(Diagnostics& diagnostics) {
    for (NcclNode& node : system_.nodes) {
        select_gpus(node);
        select_nics(node);
    }
    // CPUs of their own, of hosts whose GPUs are not in the communicator.
    std::erase_if(system_.nodes, [](const NcclNode& node) { return node.gpus.empty(); });
    if (system_.nodes.empty()) {
        diagnostics.error(document_.diagnostic(0, "holds no GPU"));
        return std::move(imported_);
    }
    compare_nodes(diagnostics);
    const NcclNode& node = system_.nodes.front();
    imported_.comment = "Imported from an NCCL topology file: r1sim topology --import nccl-xml.";
    put_device(node.gpus);
    put("nodes", system_.nodes.size(), 0, "hosts of the file");
    put("gpus_per_node", node.gpus.size(), node.gpus.front().element, "GPUs");
    if (node.gpus.size() > 1) put_nvlink(node.gpus);
    put_nics(node);
    put_fabric(!node.nics.empty());
    return std::move(imported_);
}

}  // namespace

ImportedTopology import_nccl_xml(std::string text, const std::string& file) {
    const XmlDocument document = XmlDocument::from_text(std::move(text), file);
    Diagnostics diagnostics;
    NcclSystem system = read_nccl_system(document, diagnostics);
    diagnostics.throw_if_errors();
    ImportedTopology imported = NcclImport(document, std::move(system)).run(diagnostics);
    diagnostics.throw_if_errors();
    return imported;
}

}  // namespace r1
