#include "sim/hardware/topology.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_set>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/json.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/hardware/presets.hpp"

namespace r1 {
namespace {

constexpr int kGpusMax = 1 << 20;    // a typing error must not ask for terabytes of links
constexpr int kSuggestionsMax = 20;  // did-you-mean compares with every link name
constexpr Range kFraction{1e-6, 1};

const std::vector<std::string>& fabric_kind_names() {
    static const std::vector<std::string> names{"mpft", "mrft", "single_switch", "none"};
    return names;
}

const std::vector<std::string>& path_choice_names() {
    static const std::vector<std::string> names{"adaptive", "static"};
    return names;
}

int ceil_div(int a, int b) { return (a + b - 1) / b; }

void read_nvlink(ObjectReader& reader, Topology& topology) {
    double bandwidth = 0;
    double latency_us = 0;
    NvlinkSpec& nvlink = topology.nvlink;
    nvlink.domain_gpus = topology.gpus_per_node;
    reader.required("bandwidth_gb_per_s", bandwidth, kRate);
    reader.required("achievable_fraction", nvlink.achievable_fraction, kFraction);
    reader.required("latency_us", latency_us, kLatencyUs);
    reader.optional("switches", nvlink.switches, Range{0, 1024});
    reader.optional("domain_gpus", nvlink.domain_gpus, Range{1, kGpusMax});
    if (nvlink.domain_gpus != topology.gpus_per_node && topology.gpus_per_node > 0) {
        reader.error("domain_gpus",
                     fmt::format("an NVLink domain is a node: must equal gpus_per_node ({}); trays "
                                 "that NVLink joins, as 18 of 4 GPUs, are one node (of 72)",
                                 topology.gpus_per_node));
    }
    reader.finish();
    nvlink.bandwidth = gb_per_s(bandwidth);
    nvlink.latency = microseconds(latency_us);
}

void read_nic(ObjectReader& reader, Topology& topology) {
    double bandwidth = 0;
    NicSpec& nic = topology.nic;
    std::vector<std::int64_t> affinity;
    reader.required("per_node", nic.per_node, Range{1, 1024});
    reader.required("bandwidth_gb_per_s", bandwidth, kRate);
    reader.required("achievable_fraction", nic.achievable_fraction, kFraction);
    reader.required("affinity", affinity);
    reader.finish();
    nic.bandwidth = gb_per_s(bandwidth);
    if (affinity.size() != static_cast<std::size_t>(topology.gpus_per_node) &&
        topology.gpus_per_node > 0 && reader.has("affinity")) {
        reader.error("affinity", fmt::format("must name a NIC for each of the {} GPUs of a node, "
                                             "has {} entries",
                                             topology.gpus_per_node, affinity.size()));
    }
    for (const std::int64_t index : affinity) {
        if (nic.per_node > 0 && (index < 0 || index >= nic.per_node)) {
            reader.error("affinity", fmt::format("NIC {} does not exist: a node has NICs 0 to {}",
                                                 index, nic.per_node - 1));
        }
        nic.affinity.push_back(static_cast<int>(std::clamp<std::int64_t>(index, 0, 1024)));
    }
}

void read_fabric(ObjectReader& reader, Topology& topology) {
    FabricSpec& fabric = topology.fabric;
    int kind = static_cast<int>(FabricKind::none);
    double same_leaf_us = 0;
    double cross_leaf_us = 0;
    reader.required_choice("kind", fabric_kind_names(), kind);
    fabric.kind = static_cast<FabricKind>(kind);
    const bool tree = fabric.kind == FabricKind::mpft || fabric.kind == FabricKind::mrft;
    // Keys of the trees may stay when --set turns one into something simpler.
    for (const char* key : {"switch_ports", "oversubscription", "planes", "same_leaf_latency_us",
                            "cross_leaf_latency_us", "path_choice"}) {
        reader.accept(key);
    }
    if (fabric.kind != FabricKind::none) {
        reader.required("switch_ports", fabric.switch_ports, Range{2, 65536});
        reader.required("same_leaf_latency_us", same_leaf_us, kLatencyUs);
    }
    if (tree) {
        fabric.planes = topology.nic.per_node;
        reader.required("cross_leaf_latency_us", cross_leaf_us, kLatencyUs);
        reader.optional("oversubscription", fabric.oversubscription, kAtLeastOne);
        reader.optional("planes", fabric.planes, Range{1, 1024});
        int path_choice = static_cast<int>(fabric.path_choice);
        reader.optional_choice("path_choice", path_choice_names(), path_choice);
        fabric.path_choice = static_cast<PathChoice>(path_choice);
        if (fabric.planes != topology.nic.per_node && topology.nic.per_node > 0) {
            reader.error("planes", fmt::format("each NIC of a node has its own plane or rail: "
                                               "must equal nic.per_node ({})",
                                               topology.nic.per_node));
        }
        if (cross_leaf_us < same_leaf_us) {
            reader.error("cross_leaf_latency_us", "must not be below same_leaf_latency_us");
        }
        const int down = fabric.switch_ports / 2;
        if (down < fabric.oversubscription) {
            reader.error("oversubscription",
                         "leaves no uplink: a leaf has half of its "
                         "switch_ports for NICs");
        }
    }
    reader.finish();
    fabric.same_leaf_latency = microseconds(same_leaf_us);
    fabric.cross_leaf_latency = microseconds(tree ? cross_leaf_us : same_leaf_us);
}

// The numbers are right one by one; do they make a cluster?
void check_size(ObjectReader& reader, const Topology& topology) {
    const FabricSpec& fabric = topology.fabric;
    const std::int64_t nodes = topology.nodes;
    if (nodes * topology.gpus_per_node > kGpusMax || nodes * topology.nic.per_node > kGpusMax) {
        reader.error("nodes", fmt::format("more than {} GPUs or NICs", kGpusMax));
        return;
    }
    if (fabric.kind == FabricKind::none) {
        if (nodes > 1)
            reader.error("fabric",
                         "kind 'none' joins no nodes: nodes must be 1, or kind one "
                         "of mpft, mrft, single_switch");
        return;
    }
    const std::int64_t ports = fabric.switch_ports;
    if (fabric.kind == FabricKind::single_switch) {
        if (nodes * topology.nic.per_node > ports) {
            reader.error("nodes", fmt::format("{} NICs do not fit one switch of {} ports",
                                              nodes * topology.nic.per_node, ports));
        }
        return;
    }
    // Every spine has a port for every leaf, so a tree has at most `ports` leaves.
    const std::int64_t leaves = tree_shape(topology).leaves;
    if (leaves > ports) {
        const bool planes = fabric.kind == FabricKind::mpft;
        reader.error("nodes",
                     fmt::format("a two-layer tree of {}-port switches holds {} NICs{}, this needs "
                                 "{}",
                                 ports, ports * (ports / 2), planes ? " per plane" : "",
                                 planes ? nodes : nodes * topology.nic.per_node));
    }
}

void read_overrides(ObjectReader& reader, Topology& topology) {
    std::set<std::string> seen;
    for (ObjectReader& entry : reader.objects("overrides", false)) {
        LinkOverride item;
        entry.required("link", item.link);
        entry.optional("degrade", item.degrade, kFraction);
        entry.optional("remove", item.remove);
        if (entry.has("degrade") == entry.has("remove")) {
            entry.error({}, "needs either 'degrade' (a factor) or 'remove': true");
        } else if (entry.has("remove") && !item.remove) {
            entry.error("remove", "must be true: leave the override out to keep the link");
        }
        if (!item.link.empty() && !seen.insert(item.link).second) {
            entry.error("link", "'" + item.link + "' is overridden twice");
        }
        entry.finish();
        topology.overrides.push_back(std::move(item));
    }
}

// Needs the generated links, so it runs only when the description itself is sound.
void check_override_names(const Document& document, const std::string& pointer,
                          const Topology& topology, Diagnostics& diagnostics) {
    if (topology.overrides.empty()) return;
    Topology plain = topology;
    plain.overrides.clear();
    std::vector<std::string> names;
    for (const Link& link : generate_fabric(plain).links) names.push_back(link.name);
    const std::unordered_set<std::string> known(names.begin(), names.end());
    int unknown = 0;
    for (std::size_t i = 0; i < topology.overrides.size(); ++i) {
        const std::string& link = topology.overrides[i].link;
        if (known.count(link) > 0) continue;
        std::string message = "unknown link '" + link + "'";
        if (++unknown <= kSuggestionsMax) message += did_you_mean(link, names);
        diagnostics.error(
            document.diagnostic(fmt::format("{}/overrides/{}/link", pointer, i), message));
    }
}

}  // namespace

std::string_view name(FabricKind kind) {
    return fabric_kind_names()[static_cast<std::size_t>(kind)];
}

std::string_view name(PathChoice choice) {
    return path_choice_names()[static_cast<std::size_t>(choice)];
}

TreeShape tree_shape(const Topology& topology) {
    const FabricSpec& fabric = topology.fabric;
    R1_CHECK(fabric.kind == FabricKind::mpft || fabric.kind == FabricKind::mrft);
    TreeShape shape;
    shape.down = fabric.switch_ports / 2;
    shape.up = std::max(1, static_cast<int>(shape.down / fabric.oversubscription));
    shape.leaves = ceil_div(topology.nodes, shape.down);
    if (fabric.kind == FabricKind::mrft) shape.leaves *= topology.nic.per_node;
    if (shape.leaves > 1) {
        shape.spines = ceil_div(shape.leaves * shape.up, fabric.switch_ports);
    }
    return shape;
}

Topology read_topology(const Document& document, const std::string& pointer,
                       Diagnostics& diagnostics) {
    Topology topology;
    const std::size_t errors_before = diagnostics.errors().size();
    ObjectReader reader(document, pointer, diagnostics);
    if (!reader.is_object()) return topology;
    reader.accept_header("topology");
    reader.required("name", topology.name);
    reader.required("nodes", topology.nodes, Range{1, kGpusMax});
    reader.required("gpus_per_node", topology.gpus_per_node, Range{1, 1024});
    if (auto device = reader.object("device", true)) {
        topology.device = read_device(document, device->pointer(), diagnostics);
    }
    const bool needs_nvlink = topology.gpus_per_node > 1;
    if (auto nvlink = reader.object("nvlink", needs_nvlink)) read_nvlink(*nvlink, topology);
    // NICs before the fabric, whose planes follow from them. Only a lone node can do without.
    if (auto nic = reader.object("nic", false)) read_nic(*nic, topology);
    if (auto fabric = reader.object("fabric", true)) read_fabric(*fabric, topology);
    if (topology.fabric.kind != FabricKind::none && !reader.has("nic")) {
        reader.error(
            "nic", "missing: fabric '" + std::string(name(topology.fabric.kind)) + "' joins NICs");
    }
    read_overrides(reader, topology);
    topology.sources = read_sources(reader);
    reader.finish();
    if (diagnostics.errors().size() == errors_before) check_size(reader, topology);
    if (diagnostics.errors().size() == errors_before) {
        check_override_names(document, pointer, topology, diagnostics);
    }
    return topology;
}

void graft_device(Document& document, const std::string& pointer,
                  const std::filesystem::path& base) {
    const std::string at = join_pointer(pointer, "device");
    const Json* device = document.find(at);
    if (device == nullptr || !device->is_string()) return;  // inline, or read_topology complains
    Document file;
    try {
        file = Document::from_file(find_data_file(device->get<std::string>(), kDeviceFolder, base));
    } catch (const InputError& error) {
        // Say who asked for the file, with line and caret.
        std::vector<Diagnostic> problems{document.diagnostic(at, "the device cannot be read")};
        problems.insert(problems.end(), error.diagnostics().begin(), error.diagnostics().end());
        throw InputError(problems);
    }
    document.graft(at, file);
}

void set_topology_field(Document& document, const Override& override_) {
    if (!document.set(override_.pointer, override_.value, {"--set", 0, 0})) {
        throw InputError("--set " + override_.text, "there is no such field to override");
    }
    graft_device(document, "", {});
}

Document load_topology(const std::string& file_or_preset, const std::filesystem::path& base) {
    const std::filesystem::path file = find_data_file(file_or_preset, kTopologyFolder, base);
    Document document = Document::from_file(file);
    graft_device(document, "", file.parent_path());
    return document;
}

}  // namespace r1
