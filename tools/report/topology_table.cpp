#include "tools/report/topology_table.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "tools/report/text_line.hpp"
#include "tools/report/topology_view.hpp"

namespace r1 {
namespace {

// Twelve significant digits: 200 x 0.8 prints as 160 and not as 160.00000000000003.
double clean(double value) {
    if (value == 0) return 0;
    const double scale = std::pow(10.0, 11 - std::floor(std::log10(std::fabs(value))));
    return std::round(value * scale) / scale;
}

double gb(BytesPerSecond rate) { return clean(rate.value() / 1e9); }
double us(Seconds time) { return clean(time.value() * 1e6); }

struct LinkRow {
    LinkKind kind;
    double bandwidth;
    double nominal;
    double latency_us;
    long long count;
};

// Fastest first within a kind; an overridden link gets a row of its own.
std::vector<LinkRow> link_rows(const Fabric& fabric) {
    using Key = std::tuple<LinkKind, double, double, double>;
    std::map<Key, long long> counts;
    for (const Link& link : fabric.links) {
        counts[Key{link.kind, -gb(link.bandwidth), -gb(link.bandwidth_nominal),
                   us(link.latency)}] += link.count;
    }
    std::vector<LinkRow> rows;
    for (const auto& [key, count] : counts) {
        rows.push_back(LinkRow{std::get<0>(key), -std::get<1>(key), -std::get<2>(key),
                               std::get<3>(key), count});
    }
    return rows;
}

std::string hops_text(std::optional<int> hops) {
    return hops ? fmt::format("{} links", *hops) : "some GPUs cannot reach each other";
}

std::string draw_node(const Topology& topology) {
    const int gpus = std::min(topology.gpus_per_node, 8);
    const bool nics = topology.fabric.kind != FabricKind::none;
    std::string top = "  ";
    std::string stem = "  ";
    std::string nic_row = "  ";
    for (int gpu = 0; gpu < gpus; ++gpu) {
        top += fmt::format("{:<7}", fmt::format("gpu{}", gpu));
        stem += fmt::format("{:<7}", "  |");
        if (nics) {
            nic_row += fmt::format(
                "{:<7}",
                fmt::format("nic{}", topology.nic.affinity[static_cast<std::size_t>(gpu)]));
        }
    }
    const std::string more = gpus < topology.gpus_per_node ? " ..." : "";
    std::string text = fmt::format("one node of {}:\n", topology.nodes);
    if (topology.gpus_per_node > 1) {
        const std::string label =
            topology.nvlink.switches > 0
                ? fmt::format(" NVLink, {} switch{} ", topology.nvlink.switches,
                              topology.nvlink.switches == 1 ? "" : "es")
                : " NVLink ";
        text += fmt::format("  [{:=^{}}]\n", label,
                            std::max<std::size_t>(label.size(), stem.size() - 8));
        text += without_trailing_spaces(stem + more);
    }
    text += without_trailing_spaces(top + more);
    if (nics) text += without_trailing_spaces(stem) + without_trailing_spaces(nic_row + more);
    return text;
}

std::string draw_tree(const Topology& topology) {
    const TreeShape shape = tree_shape(topology);
    const int nics = topology.nic.per_node;
    const bool planes = topology.fabric.kind == FabricKind::mpft;
    const std::string bars = "        |      |      |      |\n";
    std::string text = planes ? fmt::format("network: {} planes, each:\n", nics)
                              : fmt::format("network: {} rails under common spines:\n", nics);
    if (shape.spines > 0) {
        text += fmt::format("      [spine] x {}  ({} ports)\n", shape.spines,
                            topology.fabric.switch_ports);
        text += bars;
        text += fmt::format("        {} uplinks of each leaf, oversubscription {:g}, {} paths\n",
                            shape.up, topology.fabric.oversubscription,
                            name(topology.fabric.path_choice));
        text += bars;
    }
    text += fmt::format("      [leaf]  x {}{}  ({} NICs each)\n",
                        planes ? shape.leaves : shape.leaves / nics, planes ? "" : " per rail",
                        std::min(shape.down, topology.nodes));
    text += bars;
    text += planes ? "      NIC p of every node hangs in plane p; between planes: NVLink\n"
                   : "      NIC r of every node hangs on rail r; between rails: a spine\n";
    return text;
}

std::string draw_network(const Topology& topology) {
    switch (topology.fabric.kind) {
        case FabricKind::mpft:
        case FabricKind::mrft: return draw_tree(topology);
        case FabricKind::single_switch: return "network: every NIC on one ideal switch\n";
        case FabricKind::none: break;
    }
    return "network: none\n";
}

}  // namespace

Json topology_json(const Topology& topology, const Fabric& fabric) {
    Json json;
    json["name"] = topology.name;
    json["device"] = topology.device.name;
    json["nodes"] = topology.nodes;
    json["gpus"] = topology.gpus();
    json["gpus_per_node"] = topology.gpus_per_node;
    json["nics_per_node"] = fabric.nics_per_node;
    json["fabric"] = std::string(name(fabric.kind));
    json["links"] = Json::array();
    for (const LinkRow& row : link_rows(fabric)) {
        Json link;
        link["kind"] = std::string(name(row.kind));
        link["count"] = row.count;
        link["bandwidth_gb_per_s"] = row.bandwidth;
        link["bandwidth_nominal_gb_per_s"] = row.nominal;
        link["latency_us"] = row.latency_us;
        json["links"].push_back(std::move(link));
    }
    json["path_latency_us"]["nvlink"] = us(topology.nvlink.latency);
    if (fabric.kind != FabricKind::none) {
        json["path_latency_us"]["same_leaf"] = us(fabric.same_leaf_latency);
        json["path_latency_us"]["cross_leaf"] = us(fabric.cross_leaf_latency);
    }
    json["bisection_gb_per_s"] = gb(bisection(fabric));
    json["bisection_nominal_gb_per_s"] = gb(bisection(fabric, Rates::nominal));
    json["rails"] = rails(fabric);
    if (count_switches(fabric, SwitchTier::spine) > 0) {
        json["path_choice"] = name(fabric.path_choice);
    }
    const std::optional<int> hops = diameter_hops(topology, fabric);
    json["diameter_hops"] = hops ? Json(*hops) : Json();
    json["switches"]["leaf"] = count_switches(fabric, SwitchTier::leaf);
    json["switches"]["spine"] = count_switches(fabric, SwitchTier::spine);
    json["overrides"] = topology.overrides.size();
    return json;
}

std::string topology_text(const Topology& topology, const Fabric& fabric) {
    const DeviceSpec& device = topology.device;
    std::string text = fmt::format("topology {}\n", topology.name);
    auto line = [&](const char* label, const std::string& value) {
        text += fmt::format("  {:<12}{}\n", label, value);
    };
    line("nodes", fmt::format("{} x {} {}, {} GPUs", topology.nodes, topology.gpus_per_node,
                              device.name, topology.gpus()));
    line("device", fmt::format("{} SMs, {:.1f} GB at {:g} GB/s, {:g} TFLOPS BF16, {:g} FP8",
                               device.sms, device.memory.value() / 1e9, gb(device.hbm),
                               device.peak(DType::bf16).value() / 1e12,
                               device.peak(DType::e4m3).value() / 1e12));
    line("network", fmt::format("{}, {} rails", name(fabric.kind), rails(fabric)));
    line("switches", fmt::format("{} leaf, {} spine", count_switches(fabric, SwitchTier::leaf),
                                 count_switches(fabric, SwitchTier::spine)));
    line("bisection", fmt::format("{} GB/s achievable, {} GB/s nominal", gb_text(bisection(fabric)),
                                  gb_text(bisection(fabric, Rates::nominal))));
    line("diameter", hops_text(diameter_hops(topology, fabric)));
    std::string latency = fmt::format("{:g} us NVLink", us(topology.nvlink.latency));
    if (fabric.kind != FabricKind::none) {
        latency += fmt::format(", {:g} us same leaf, {:g} us cross leaf",
                               us(fabric.same_leaf_latency), us(fabric.cross_leaf_latency));
    }
    line("latency", latency);
    if (!topology.overrides.empty()) {
        line("overrides", fmt::format("{} links differ", topology.overrides.size()));
    }
    text += fmt::format("\n  {:<12}{:>10}{:>14}{:>14}{:>14}\n", "link", "count", "GB/s",
                        "nominal GB/s", "latency us");
    for (const LinkRow& row : link_rows(fabric)) {
        text += fmt::format("  {:<12}{:>10}{:>14g}{:>14g}{:>14g}\n", name(row.kind), row.count,
                            row.bandwidth, row.nominal, row.latency_us);
    }
    return text + "\n" + draw_node(topology) + "\n" + draw_network(topology);
}

}  // namespace r1
