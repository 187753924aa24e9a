#include "tools/report/topology_view.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <unordered_map>

#include <fmt/format.h>

#include "model/base/index.hpp"

namespace r1 {
namespace {

// What overrides change, as text that two alike owners share: "gpu2.nvlink 0.5", "nic3 removed".
using Differences = std::map<int, std::vector<std::string>>;

std::string change_text(const LinkOverride& item) {
    return item.remove ? "removed" : fmt::format("{}", item.degrade);
}

std::vector<Kind> kinds_of(int count, const Differences& differences) {
    Kind ordinary;
    std::map<std::vector<std::string>, Kind> by_change;
    for (int owner = 0; owner < count; ++owner) {
        const auto found = differences.find(owner);
        if (found == differences.end()) {
            ordinary.members.push_back(owner);
        } else {
            Kind& kind = by_change[found->second];
            kind.members.push_back(owner);
            kind.differs = true;
        }
    }
    std::vector<Kind> kinds;
    for (auto& [change, kind] : by_change) kinds.push_back(std::move(kind));
    std::sort(kinds.begin(), kinds.end(),
              [](const Kind& a, const Kind& b) { return a.members.front() < b.members.front(); });
    if (!ordinary.members.empty()) kinds.insert(kinds.begin(), std::move(ordinary));
    return kinds;
}

// A link's name without the name of what owns it: "node3.gpu2.nvlink" is "gpu2.nvlink" of node 3.
std::string name_within(const std::string& name) { return name.substr(name.find('.') + 1); }

// Slots that show these things (ascending) and gaps between them; a gap of one is that thing.
std::vector<Slot> slots_showing(int count, const std::set<int>& shown) {
    std::vector<Slot> slots;
    int next = 0;
    for (const int index : shown) {
        if (index > next) slots.push_back(Slot{next, index - next});
        slots.push_back(Slot{index, 1});
        next = index + 1;
    }
    if (next < count) slots.push_back(Slot{next, count - next});
    return slots;
}

}  // namespace

LinkState TopologyView::state(int link) const {
    const int item = override_of_link[at(link)];
    if (item < 0) return LinkState::ordinary;
    return topology.overrides[at(item)].remove ? LinkState::removed : LinkState::degraded;
}

TopologyView view_topology(const Topology& topology, const Fabric& fabric) {
    TopologyView view{topology, fabric, {}, {}, {}};
    if (topology.overrides.empty()) {
        view.plain = fabric;
    } else {
        Topology plain = topology;
        plain.overrides.clear();
        view.plain = generate_fabric(plain);
    }
    std::unordered_map<std::string, int> item_of_name;
    for (std::size_t i = 0; i < topology.overrides.size(); ++i) {
        item_of_name.emplace(topology.overrides[i].link, static_cast<int>(i));
    }
    view.override_of_link.assign(view.plain.links.size(), -1);
    view.nodes_of_leaf.assign(view.plain.switches.size(), {0, -1});
    for (std::size_t i = 0; i < view.plain.links.size(); ++i) {
        const Link& link = view.plain.links[i];
        const auto found = item_of_name.find(link.name);
        if (found != item_of_name.end()) view.override_of_link[i] = found->second;
        if (link.kind != LinkKind::nic) continue;
        const int node = link.from.index / view.plain.nics_per_node;
        auto& [first, last] = view.nodes_of_leaf[at(link.to.index)];
        first = last < 0 ? node : std::min(first, node);
        last = std::max(last, node);
    }
    return view;
}

std::vector<Kind> node_kinds(const TopologyView& view) {
    Differences differences;
    for (std::size_t i = 0; i < view.plain.links.size(); ++i) {
        const Link& link = view.plain.links[i];
        const int item = view.override_of_link[i];
        if (item < 0 || link.kind == LinkKind::leaf_spine) continue;
        const int per_node =
            link.kind == LinkKind::nic ? view.plain.nics_per_node : view.plain.gpus_per_node;
        differences[link.from.index / per_node].push_back(
            name_within(link.name) + " " + change_text(view.topology.overrides[at(item)]));
    }
    return kinds_of(view.plain.nodes, differences);
}

std::vector<Kind> plane_kinds(const TopologyView& view) {
    Differences differences;
    for (std::size_t i = 0; i < view.plain.links.size(); ++i) {
        const Link& link = view.plain.links[i];
        const int item = view.override_of_link[i];
        if (item < 0 || link.kind == LinkKind::nvlink) continue;
        // The NIC is the plane, so its node is all that tells two of one plane apart.
        const std::string what =
            link.kind == LinkKind::nic
                ? fmt::format("node{}", link.from.index / view.plain.nics_per_node)
                : name_within(link.name);
        const int plane = view.plain.switches[at(link.to.index)].plane;
        differences[plane].push_back(what + " " + change_text(view.topology.overrides[at(item)]));
    }
    return kinds_of(view.plain.nics_per_node, differences);
}

std::vector<Slot> choose_slots(int count, int limit, const std::set<int>& wanted) {
    std::set<int> shown;
    const auto show_if_it_fits = [&](int index) {
        if (!shown.insert(index).second) return true;
        if (static_cast<int>(slots_showing(count, shown).size()) <= limit) return true;
        shown.erase(index);
        return false;
    };
    for (const int index : wanted) {
        if (static_cast<int>(shown.size()) >= limit) break;
        show_if_it_fits(index);
    }
    if (count > 0) show_if_it_fits(0);
    if (count > 0) show_if_it_fits(count - 1);
    for (int index = 0; index < count && show_if_it_fits(index);) ++index;
    return slots_showing(count, shown);
}

int count_within(const Slot& slot, const std::set<int>& wanted) {
    return static_cast<int>(
        std::distance(wanted.lower_bound(slot.first), wanted.lower_bound(slot.first + slot.count)));
}

std::string ranges_text(const std::vector<int>& numbers) {
    std::string text;
    for (std::size_t i = 0; i < numbers.size();) {
        std::size_t last = i;
        while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
        if (!text.empty()) text += ", ";
        text += last == i ? fmt::format("{}", numbers[i])
                          : fmt::format("{}–{}", numbers[i], numbers[last]);
        i = last + 1;
    }
    return text;
}

// Large rates keep all their digits before the point, small ones six in all.
std::string number_text(double value) {
    const double size = std::fabs(value);
    return size >= 1e6 && size < 1e15 ? fmt::format("{:.0f}", value) : fmt::format("{:g}", value);
}

std::string gb_text(BytesPerSecond rate) { return number_text(rate.value() / 1e9); }
std::string us_text(Seconds time) { return number_text(time.value() * 1e6) + " us"; }

std::string override_short(const TopologyView& view, int link) {
    const Link& plain = view.plain.links[at(link)];
    const LinkOverride& item = view.topology.overrides[at(view.override_of_link[at(link)])];
    if (item.remove) return "removed";
    const std::string rate = gb_text(plain.bandwidth_nominal * item.degrade) + " GB/s";
    return plain.count > 1 ? fmt::format("{} × {}", plain.count, rate) : rate;
}

std::string override_long(const TopologyView& view, int link) {
    const Link& plain = view.plain.links[at(link)];
    const LinkOverride& item = view.topology.overrides[at(view.override_of_link[at(link)])];
    const std::string parallel = plain.count > 1 ? fmt::format("{} × ", plain.count) : "";
    if (item.remove) {
        return fmt::format("{}: {}{} GB/s removed", plain.name, parallel,
                           gb_text(plain.bandwidth_nominal));
    }
    return fmt::format("{}: {}{} of {} GB/s, {} achievable", plain.name, parallel,
                       gb_text(plain.bandwidth_nominal * item.degrade),
                       gb_text(plain.bandwidth_nominal), gb_text(plain.bandwidth * item.degrade));
}

}  // namespace r1
