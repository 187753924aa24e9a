#include "sim/hardware/import/infragraph.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/index.hpp"
#include "sim/hardware/import/infragraph_fabric.hpp"
#include "sim/hardware/import/node_nics.hpp"

namespace r1 {
namespace {

constexpr std::size_t kNodeDevicesMax = 1024;  // accelerators or NICs of a node, as in a topology
constexpr std::size_t kNodePartsMax = 20'000;  // distances are measured between all of them
constexpr std::size_t kNodeLinksMax = 200'000;

class InfraImport {
public:
    InfraImport(const Document& document, const InfraFile& file, Diagnostics& diagnostics)
        : document_(document), file_(file), diagnostics_(diagnostics) {
        imported_.file = document.file();
        imported_.comment = "Imported from an InfraGraph file: r1sim topology --import infragraph.";
    }

    ImportedTopology run();

private:
    void error(const std::string& pointer, std::string message) {
        diagnostics_.error(document_.diagnostic(pointer, std::move(message)));
    }
    void put(const std::string& field, Json value, const std::string& pointer,
             const std::string& what) {
        const Location place = document_.location(pointer);
        imported_.put(field, std::move(value), place, source_place(place) + ": " + what);
    }
    void need(const std::string& field, const std::string& hint, const std::string& pointer,
              std::string message) {
        imported_.need(field, hint, document_.diagnostic(pointer, std::move(message)));
    }
    void warn(const std::string& pointer, const std::string& message) {
        Diagnostic warning = document_.diagnostic(pointer, message);
        warning.source_line.clear();
        imported_.warnings.push_back(render(warning));
    }
    [[nodiscard]] const std::string& pointer_of(int node) const {
        return root_.nodes[at(node)].component->pointer;
    }

    void check_devices();
    std::vector<int> find_hosts();
    bool analyse();
    void put_node();
    void put_scale_up();
    void put_nics(const InfraWiring& wiring);
    void put_nic_rate(const std::vector<NicCandidate>& candidates, const InfraWiring& wiring);
    void put_fabric(const InfraWiring& wiring);
    void name_the_unused(const InfraWiring& wiring);

    const Document& document_;
    const InfraFile& file_;
    Diagnostics& diagnostics_;
    InfraBudget budget_;
    InfraTree root_;
    InfraTree node_;  // of the device that all hosts are
    const InfraContainer* device_ = nullptr;
    InfraHost host_;
    std::vector<NicCandidate> candidates_;
    NicPlan plan_;
    ImportedTopology imported_;
};

// Every device, used or not: its edges name components that it has.
void InfraImport::check_devices() {
    for (const InfraContainer& device : file_.devices) {
        expand(document_, file_, device, InfraDepth::own_edges, budget_, diagnostics_);
        if (budget_.nodes < 0 || budget_.joins < 0) return;
    }
}

std::vector<int> InfraImport::find_hosts() {
    std::vector<int> hosts;
    for (int node = 1; node < static_cast<int>(root_.nodes.size());
         node = root_.nodes[at(node)].end) {
        bool has_xpu = false;
        for (int i = node; i < root_.nodes[at(node)].end && !has_xpu; ++i) {
            has_xpu = root_.kind(i) == InfraKind::xpu;
        }
        if (!has_xpu) continue;
        if (!hosts.empty() && root_.nodes[at(node)].inside != device_) {
            error(pointer_of(node),
                  fmt::format("{} is of another device than {}, and both have accelerators: a "
                              "topology has one kind of node",
                              root_.name(node), root_.name(hosts.front())));
            return {};
        }
        device_ = root_.nodes[at(node)].inside;
        hosts.push_back(node);
    }
    if (hosts.empty()) error("", "no instance has a component of choice 'xpu'");
    return hosts;
}

bool InfraImport::analyse() {
    node_ = expand(document_, file_, *device_, InfraDepth::all_edges, budget_, diagnostics_);
    if (!diagnostics_.ok()) return false;
    if (node_.nodes.size() > kNodePartsMax || node_.joins.size() > kNodeLinksMax) {
        error(device_->pointer,
              fmt::format("a node of {} parts and {} links; {} and {} at most", node_.nodes.size(),
                          node_.joins.size(), kNodePartsMax, kNodeLinksMax));
        return false;
    }
    host_ = analyse_host(node_);
    if (host_.xpus.size() > kNodeDevicesMax || host_.nics.size() > kNodeDevicesMax) {
        error(device_->pointer, fmt::format("more than {} accelerators or NICs", kNodeDevicesMax));
    }
    return diagnostics_.ok();
}

void InfraImport::put_node() {
    const InfraComponent& xpu = *node_.nodes[at(host_.xpus.front())].component;
    const std::string about = xpu.description.empty() ? "" : " (" + quote(xpu.description) + ")";
    need(
        "device", "h100", xpu.pointer,
        fmt::format("which accelerator {}{} is, no field says; h100, h200, h800 or a file of yours",
                    quote(xpu.name), about));
    put("gpus_per_node", host_.xpus.size(), xpu.pointer,
        "components of choice 'xpu' of a " + quote(device_->name));
    if (host_.xpus.size() > 1) put_scale_up();
}

void InfraImport::put_scale_up() {
    const InfraScaleUp& found = host_.scale_up;
    const std::string field = "nvlink.bandwidth_gb_per_s";
    if (found.link == nullptr) {
        need(field, "N", device_->pointer,
             found.why + ", but a topology needs the rate between accelerators of a node");
        return;
    }
    const std::string way = found.switches > 0 ? fmt::format("through {} switch{}", found.switches,
                                                             found.switches > 1 ? "es" : "")
                                               : "without switches";
    put("nvlink.switches", found.switches, found.link->pointer,
        "switches on link " + quote(found.link->name));
    if (found.link->gb_per_s) {
        put(field, found.links * *found.link->gb_per_s, found.link->pointer,
            fmt::format("{} links of {:g} GB/s {}", found.links, *found.link->gb_per_s, way));
    } else {
        need(field, "N", found.link->pointer,
             fmt::format("link {} ({} for each accelerator, {}) has no bandwidth in bits or bytes; "
                         "H100 has 450 GB/s in all, H800 200",
                         quote(found.link->name), found.links, way));
    }
    if (found.link->latency_us) {
        put("nvlink.latency_us", (found.switches > 0 ? 2 : 1) * *found.link->latency_us,
            found.link->pointer, "latency of the links between two accelerators");
    }
}

// With a network, only NICs that it joins count.
void InfraImport::put_nics(const InfraWiring& wiring) {
    std::vector<int> used;
    std::string left_out;
    for (int nic = 0; nic < static_cast<int>(host_.nics.size()); ++nic) {
        const InfraWire& wire = wiring.wires.front()[at(nic)];
        if (!root_.joins.empty() && wire.leaf < 0) {
            left_out += (left_out.empty() ? "" : ", ") + host_.nics[at(nic)].name;
            continue;
        }
        used.push_back(nic);
        const bool is_known = wire.leaf >= 0 && wire.trunk.gb_per_s;
        candidates_.push_back(
            {host_.nics[at(nic)].name, is_known ? wire.trunk.gb_per_s : std::nullopt});
    }
    std::vector<std::vector<int>> close;
    for (const std::vector<int>& of_xpu : host_.closeness) {
        close.emplace_back();
        for (const int nic : used) close.back().push_back(of_xpu[at(nic)]);
    }
    plan_ = plan_nics(close, candidates_);
    for (const int nic : plan_.left_out) {
        left_out += (left_out.empty() ? "" : ", ") + candidates_[at(nic)].name;
    }
    if (!left_out.empty()) {
        warn(device_->pointer,
             "NICs left out, as no accelerator is closest to them or nothing is "
             "joined to them: " +
                 left_out);
    }
    if (plan_.nics.empty()) return;
    const auto pointer = [&](int nic) -> const std::string& {
        return node_.nodes[at(host_.nics[at(used[at(nic)])].node)].component->pointer;
    };
    const std::string& first = pointer(plan_.nics.front().front());
    put("nic.per_node", plan_.nics.size(), first, "NICs beside accelerators");
    put("nic.affinity", plan_.affinity, first, "fewest links between accelerator and NIC");
    put_nic_rate(candidates_, wiring);
    for (std::vector<int>& nic : plan_.nics) {  // from here on, as the wiring counts them
        for (int& part : nic) part = used[at(part)];
    }
}

void InfraImport::put_nic_rate(const std::vector<NicCandidate>& candidates,
                               const InfraWiring& wiring) {
    const std::string field = "nic.bandwidth_gb_per_s";
    const std::vector<int>& first = plan_.nics.front();
    const std::optional<double> rate = merged_gb_per_s(first, candidates);
    const InfraLink* link = nullptr;
    for (const InfraWire& wire : wiring.wires.front()) {
        if (link == nullptr) link = wire.trunk.link;
    }
    const std::string& pointer = link == nullptr ? device_->pointer : link->pointer;
    if (!rate) {
        need(field, "50", pointer,
             "how fast NICs are, no link says in bits or bytes; 400 Gb/s are 50 GB/s");
        return;
    }
    for (const std::vector<int>& other : plan_.nics) {
        if (const auto differs = merged_gb_per_s(other, candidates); differs != rate) {
            need(field, fmt::format("{:g}", std::min(*rate, differs.value_or(*rate))), pointer,
                 fmt::format("NICs of a node differ ({} and {}): a topology has one rate for all",
                             candidates[at(first.front())].name,
                             candidates[at(other.front())].name));
            return;
        }
    }
    R1_CHECK(link != nullptr);  // the rate is its own
    std::string what = "link " + quote(link->name);
    if (first.size() > 1) {
        what += fmt::format(" of {} NICs for each accelerator, merged into one", first.size());
        warn(device_->pointer,
             fmt::format("{0} NICs lie beside each accelerator; a topology names one, so each "
                         "stands for {0} ({1:g} GB/s together)",
                         first.size(), *rate));
    }
    put(field, *rate, pointer, what);
}

void InfraImport::put_fabric(const InfraWiring& wiring) {
    const bool is_alone = wiring.hosts.size() == 1;
    if (root_.joins.empty() || plan_.nics.empty()) {
        if (is_alone) {
            put("fabric.kind", "none", "", "one node; what joins nodes is for --set to say");
        } else {
            need("fabric.kind", "mpft", "",
                 fmt::format("{} nodes that nothing joins; mpft, mrft or single_switch",
                             wiring.hosts.size()));
        }
        return;
    }
    const InfraFabric fabric = find_fabric(document_, root_, wiring, plan_.nics, diagnostics_);
    if (!diagnostics_.ok()) return;
    const std::string& pointer = fabric.pointer;
    put("fabric.kind", name(fabric.kind), pointer, fabric.what);
    if (!fabric.warning.empty()) warn(pointer, fabric.warning);
    if (fabric.is_leaves_as_switch) {
        imported_.defaults["fabric.same_leaf_latency_us"] = "fabric.cross_leaf_latency_us";
    }
    if (fabric.switch_ports) {
        put("fabric.switch_ports", *fabric.switch_ports, pointer,
            "as many as give the leaves of the file");
    }
    if (fabric.oversubscription) {
        put("fabric.oversubscription", *fabric.oversubscription, pointer,
            "bandwidth of a leaf's links to NICs over that to spines, 1 if less");
    } else if (!fabric.open_oversubscription.empty()) {
        need("fabric.oversubscription", "1", pointer, fabric.open_oversubscription);
    }
    if (fabric.same_leaf_us) {
        put("fabric.same_leaf_latency_us", *fabric.same_leaf_us, pointer,
            "latencies of the links between two NICs");
    }
    if (fabric.cross_leaf_us) {
        put("fabric.cross_leaf_latency_us", *fabric.cross_leaf_us, pointer,
            "latencies of the links between two NICs of different leaves");
    }
}

void InfraImport::name_the_unused(const InfraWiring& wiring) {
    for (int node = 1; node < static_cast<int>(root_.nodes.size());
         node = root_.nodes[at(node)].end) {
        if (root_.nodes[at(node)].inside == device_ || wiring.ports.count(node) > 0) continue;
        warn(pointer_of(node), "left out, as nothing is joined to it: " + root_.name(node));
        if (imported_.warnings.size() > 20) return;
    }
}

ImportedTopology InfraImport::run() {
    check_devices();
    if (!diagnostics_.ok()) return std::move(imported_);
    root_ = expand(document_, file_, file_.root, InfraDepth::own_edges, budget_, diagnostics_);
    if (!diagnostics_.ok()) return std::move(imported_);
    const std::vector<int> hosts = find_hosts();
    if (!diagnostics_.ok() || !analyse()) return std::move(imported_);
    const InfraWiring wiring = read_wiring(document_, root_, hosts, host_, diagnostics_);
    if (!diagnostics_.ok()) return std::move(imported_);
    put_node();
    put("nodes", wiring.hosts.size(), pointer_of(hosts.front()),
        "copies of " + quote(device_->name));
    put_nics(wiring);
    put_fabric(wiring);
    name_the_unused(wiring);
    return std::move(imported_);
}

}  // namespace

ImportedTopology import_infragraph(std::string_view text, const std::string& file) {
    refuse_old_infragraph(text, file);
    const Document document = Document::from_text(text, file);
    Diagnostics diagnostics;
    const InfraFile content = read_infragraph(document, diagnostics);
    diagnostics.throw_if_errors();
    ImportedTopology imported = InfraImport(document, content, diagnostics).run();
    diagnostics.throw_if_errors();
    imported.notes = diagnostics.notes();
    return imported;
}

}  // namespace r1
