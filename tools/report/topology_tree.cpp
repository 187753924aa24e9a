#include "tools/report/topology_tree.hpp"

#include <algorithm>

#include "model/base/index.hpp"

namespace r1 {
namespace {

constexpr int kSpinesMax = 10;
constexpr int kColumnsMax = 12;  // a box must hold "16256–16383" and "127/128 up"
constexpr int kLeavesMax = 10;   // of a rail or plane
constexpr int kLeavesMin = 3;    // one between two gaps
constexpr int kRailsMax = 5;

int size_of(const std::vector<int>& list) { return static_cast<int>(list.size()); }

}  // namespace

void NicBundle::add(int link, LinkState state) {
    const auto i = static_cast<std::size_t>(state);
    if (count[i]++ == 0) first[i] = link;
}

int NicBundle::any_link() const { return *std::max_element(first.begin(), first.end()); }

TreeChoice::TreeChoice(const TopologyView& view, const Tree& tree) : view_(view), tree_(tree) {
    differs_.assign(view.plain.switches.size(), false);
    for (std::size_t i = 0; i < view.plain.links.size(); ++i) {
        const Link& link = view.plain.links[i];
        if (link.kind == LinkKind::nvlink || view.override_of_link[i] < 0) continue;
        differs_[at(link.to.index)] = true;
        if (link.kind == LinkKind::leaf_spine) differs_[at(link.from.index)] = true;
    }
    spines_ = choose_slots(size_of(tree.spines), kSpinesMax, differing(tree.spines));
    // Gaps are narrower than rails: how many rails fit shows when they are laid out.
    choose_columns(kRailsMax);
    if (columns_.size() > kColumnsMax) choose_columns(kRailsMax - 1);
}

int TreeChoice::leaf_of(const TreeColumn& column) const {
    return tree_.groups[at(column.group)][at(column.leaf.first)];
}

NicBundle TreeChoice::nics(int leaf, const Slot& nodes) const {
    NicBundle nics;
    const int per_node = view_.plain.nics_per_node;
    for (int id = nodes.first * per_node; id < (nodes.first + nodes.count) * per_node; ++id) {
        if (view_.plain.leaf_of_nic[at(id)] != leaf) continue;
        const int link = view_.plain.link_of_nic[at(id)];
        nics.add(link, view_.state(link));
    }
    return nics;
}

int TreeChoice::differing_spines(const Slot& slot) const {
    return count_within(slot, differing(tree_.spines));
}

int TreeChoice::differing_below(const TreeColumn& gap) const {
    int count = 0;
    if (gap.groups > 1) {
        for (int group = gap.group; group < gap.group + gap.groups; ++group) {
            count += differing(tree_.groups[at(group)]).empty() ? 0 : 1;
        }
    } else if (gap.leaf.gap()) {
        count = count_within(gap.leaf, differing(tree_.groups[at(gap.group)]));
    } else {
        for (int node = gap.nodes.first; gap.nodes.holds(node); ++node) {
            count += nics(leaf_of(gap), Slot{node, 1}).differs() ? 1 : 0;
        }
    }
    return count;
}

std::set<int> TreeChoice::differing(const std::vector<int>& switches) const {
    std::set<int> positions;
    for (int i = 0; i < size_of(switches); ++i) {
        if (differs_[at(switches[at(i)])]) positions.insert(i);
    }
    return positions;
}

void TreeChoice::choose_columns(int rails_max) {
    const int groups = static_cast<int>(tree_.groups.size());
    std::set<int> wanted;
    for (int group = 0; group < groups; ++group) {
        if (!differing(tree_.groups[at(group)]).empty()) wanted.insert(group);
    }
    const std::vector<Slot> slots = choose_slots(groups, rails_max, wanted);
    const int leaves_max =
        std::clamp(kColumnsMax / static_cast<int>(slots.size()), kLeavesMin, kLeavesMax);
    columns_.clear();
    for (const Slot& slot : slots) {
        if (slot.gap()) {
            TreeColumn gap;
            gap.group = slot.first;
            gap.groups = slot.count;
            columns_.push_back(gap);
        } else {
            add_leaves(slot.first, leaves_max);
        }
    }
}

void TreeChoice::add_leaves(int group, int limit) {
    const std::vector<int>& leaves = tree_.groups[at(group)];
    if (tree_.spines.empty()) return add_nodes(group, leaves.front());
    for (const Slot& leaf : choose_slots(size_of(leaves), limit, differing(leaves))) {
        TreeColumn column;
        column.group = group;
        column.leaf = leaf;
        if (!leaf.gap()) {
            const auto [first, last] = view_.nodes_of_leaf[at(leaves[at(leaf.first)])];
            column.nodes = Slot{first, last - first + 1};
        }
        columns_.push_back(column);
    }
}

// A leaf without spines is alone: it has the width for its nodes.
void TreeChoice::add_nodes(int group, int leaf) {
    const auto [first, last] = view_.nodes_of_leaf[at(leaf)];
    std::set<int> wanted;
    for (int node = first; node <= last; ++node) {
        if (nics(leaf, Slot{node, 1}).differs()) wanted.insert(node - first);
    }
    for (const Slot& slot : choose_slots(last - first + 1, kLeavesMax, wanted)) {
        TreeColumn column;
        column.group = group;
        column.nodes = Slot{first + slot.first, slot.count};
        column.lone = false;
        columns_.push_back(column);
    }
}

}  // namespace r1
