// What a drawing of a topology shows: which links are overridden, which nodes and planes are alike,
// and which of many things are shown one by one. Numbers and names only, no places.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/hardware/fabric.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {

enum class LinkState { ordinary, degraded, removed };

struct TopologyView {
    const Topology& topology;
    const Fabric& fabric;               // with the overrides
    Fabric plain;                       // without: it has the removed links too
    std::vector<int> override_of_link;  // [plain.links] index into topology.overrides; -1: none
    std::vector<std::pair<int, int>> nodes_of_leaf;  // [plain.switches] first and last; none: 0, -1

    [[nodiscard]] LinkState state(int link) const;
};

// Of a topology and its generate_fabric().
TopologyView view_topology(const Topology& topology, const Fabric& fabric);

// Nodes or planes with the same overrides.
struct Kind {
    std::vector<int> members;  // ascending
    bool differs = false;      // from what the topology describes
};
// The ordinary ones first (if there are any), then by their first member.
std::vector<Kind> node_kinds(const TopologyView& view);
// Planes of an mpft: overrides of their switches' links and of the NICs in them.
std::vector<Kind> plane_kinds(const TopologyView& view);

// One thing of a row, or a gap that stands for several.
struct Slot {
    int first = 0;
    int count = 1;

    [[nodiscard]] bool gap() const { return count > 1; }
    [[nodiscard]] bool holds(int index) const { return index >= first && index < first + count; }
};
// Of `count` things, at most `limit` (3 or more) slots: as many of the wanted things as fit, then
// the first, the last, and more from the start.
std::vector<Slot> choose_slots(int count, int limit, const std::set<int>& wanted);
// How many of the wanted things are in a slot.
int count_within(const Slot& slot, const std::set<int>& wanted);

// "0–2, 5": numbers must be ascending.
std::string ranges_text(const std::vector<int>& numbers);
std::string number_text(double value);
std::string gb_text(BytesPerSecond rate);  // "50": GB/s without the unit
std::string us_text(Seconds time);         // "2.8 us"

// "25 GB/s" (nominal), "8 × 25 GB/s" or "removed": what an override made of a plain link.
std::string override_short(const TopologyView& view, int link);
// "node3.nic5: 25 of 50 GB/s, 23.5 achievable".
std::string override_long(const TopologyView& view, int link);

}  // namespace r1
