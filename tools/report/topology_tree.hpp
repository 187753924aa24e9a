// Which switches of a tree a drawing shows, and what hangs below each of them. No places.
#pragma once

#include <array>
#include <cstddef>
#include <set>
#include <vector>

#include "tools/report/topology_view.hpp"

namespace r1 {

// Switches that are drawn together, as indices into TopologyView::plain.switches.
struct Tree {
    std::vector<std::vector<int>> groups;  // leaves by rail; one group if it has no rails
    std::vector<int> spines;               // none: a single leaf
};

// What stands below the spines at one place: a leaf with nodes, or a gap of leaves or rails.
struct TreeColumn {
    int group = 0;
    int groups = 1;    // more: a gap of rails
    Slot leaf;         // within its group
    Slot nodes;        // of the leaf, all of them if it has only this column
    bool lone = true;  // the only column of its leaf

    [[nodiscard]] bool gap() const { return groups > 1 || leaf.gap(); }
    [[nodiscard]] bool node_gap() const { return !lone && nodes.gap(); }
};

// NIC links of one leaf to some nodes, by state.
struct NicBundle {
    std::array<int, 3> count{};            // [LinkState]
    std::array<int, 3> first{-1, -1, -1};  // [LinkState] a link

    void add(int link, LinkState state);
    [[nodiscard]] int of(LinkState state) const { return count[static_cast<std::size_t>(state)]; }
    [[nodiscard]] int first_of(LinkState state) const {
        return first[static_cast<std::size_t>(state)];
    }
    [[nodiscard]] int all() const { return count[0] + count[1] + count[2]; }
    [[nodiscard]] bool differs() const { return all() > of(LinkState::ordinary); }
    [[nodiscard]] int any_link() const;
};

class TreeChoice {
public:
    TreeChoice(const TopologyView& view, const Tree& tree);

    [[nodiscard]] const std::vector<Slot>& spines() const { return spines_; }
    [[nodiscard]] const std::vector<TreeColumn>& columns() const { return columns_; }
    [[nodiscard]] int leaf_of(const TreeColumn& column) const;  // index into switches
    [[nodiscard]] NicBundle nics(int leaf, const Slot& nodes) const;
    // How many things of a gap overrides touch.
    [[nodiscard]] int differing_spines(const Slot& slot) const;
    [[nodiscard]] int differing_below(const TreeColumn& gap) const;  // rails, leaves or nodes

private:
    // Positions in `switches` of those that overrides touch.
    [[nodiscard]] std::set<int> differing(const std::vector<int>& switches) const;
    void choose_columns(int rails_max);
    void add_leaves(int group, int limit);
    void add_nodes(int group, int leaf);

    const TopologyView& view_;
    const Tree& tree_;
    std::vector<bool> differs_;  // [switch] an override touches one of its links
    std::vector<Slot> spines_;
    std::vector<TreeColumn> columns_;
};

}  // namespace r1
