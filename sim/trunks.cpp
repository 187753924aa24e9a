#include "sim/trunks.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "model/base/diagnostics.hpp"
#include "model/base/index.hpp"

namespace r1 {

namespace {

constexpr double kRounding = 1e-9;  // uplinks of as many NICs carry what these send

std::optional<NicId> nic_of_rank(const Fabric& fabric, RankId rank) {
    const std::optional<int> nic = nic_of(fabric, rank);
    return nic ? std::optional(NicId{node_of(fabric, rank), *nic}) : std::nullopt;
}

// What the NICs of the ranks below each leaf can send, by leaf.
std::map<int, BytesPerSecond> offered_by_leaf(const Fabric& fabric, std::int64_t ranks) {
    std::map<int, BytesPerSecond> offered;
    std::set<int> seen;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
        const std::optional<NicId> nic = nic_of_rank(fabric, RankId(at(rank)));
        if (!nic) continue;
        const int link = fabric.link_of_nic[at(nic->node * fabric.nics_per_node + nic->nic)];
        if (seen.insert(link).second) {
            BytesPerSecond& sum = offered[fabric.links[at(link)].to.index];
            sum += fabric.links[at(link)].total();
        }
    }
    return offered;
}

}  // namespace

Trunks::Trunks(const Fabric& fabric, std::int64_t ranks)
    : fabric_(fabric), of_link_(fabric.links.size()) {
    const std::map<int, BytesPerSecond> by_leaf = offered_by_leaf(fabric, ranks);
    for (const auto& [leaf, offered] : by_leaf) {
        add_leaf(leaf, offered);
        for (const auto& [other, unused] : by_leaf) {
            const bool planes = fabric.kind == FabricKind::mpft &&
                                fabric.switches[at(leaf)].plane != fabric.switches[at(other)].plane;
            torn_ =
                torn_ || (other != leaf && !planes && ways_between(fabric, leaf, other).empty());
        }
    }
}

// Traffic spreads evenly over the uplinks of a leaf: they are one trunk.
void Trunks::add_leaf(int leaf, BytesPerSecond offered) {
    BytesPerSecond uplinks;
    for (const int link : fabric_.links_of_leaf[at(leaf)]) {
        uplinks += fabric_.links[at(link)].total();
    }
    if (!(uplinks.value() > 0) || offered <= uplinks * (1 + kRounding)) return;
    for (const int link : fabric_.links_of_leaf[at(leaf)]) {
        of_link_[at(link)] = TrunkId(all_.size());
    }
    all_.push_back({fabric_.switches[at(leaf)].name, uplinks, uplinks});
}

std::vector<TrunkId> Trunks::of(RankId rank) const {
    std::set<TrunkId> found;
    const std::optional<NicId> nic = nic_of_rank(fabric_, rank);
    const std::optional<int> leaf = nic ? leaf_of(fabric_, *nic) : std::nullopt;
    if (!leaf) return {};
    for (const int link : fabric_.links_of_leaf[at(*leaf)]) {
        if (of_link_[at(link)].valid()) found.insert(of_link_[at(link)]);
    }
    return {found.begin(), found.end()};
}

TrunkPath Trunks::path(RankId from, RankId to) const {
    const std::optional<NicId> sender = nic_of_rank(fabric_, from);
    const std::optional<NicId> receiver = nic_of_rank(fabric_, to);
    if (!sender || !receiver || sender->node == receiver->node) return {};
    const std::optional<Crossing> leaves = crossing(fabric_, *sender, *receiver);
    if (!leaves) return {};
    const std::vector<SpinePair> ways = ways_between(fabric_, leaves->up, leaves->landing);
    if (ways.empty()) {
        throw InputError(
            "cluster",
            fmt::format("no spine joins {} and {} any more, but rank {} must send to "
                        "rank {}",
                        fabric_.switches[at(leaves->up)].name,
                        fabric_.switches[at(leaves->landing)].name, from.value, to.value));
    }
    TrunkPath path{of_link_[at(ways.front().up)], of_link_[at(ways.front().down)]};
    if (leaves->landing != leaves->down) {
        const std::vector<int>& down = fabric_.links_of_leaf[at(leaves->down)];
        path.down = down.empty() ? TrunkId() : of_link_[at(down.front())];
    }
    return path;
}

TrunkLoad::TrunkLoad(const Trunks& trunks)
    : trunks_(trunks.all()), up_(trunks_.size()), down_(trunks_.size()) {}

void TrunkLoad::add(const TrunkPath& path, Bytes bytes) {
    if (path.up.valid()) up_[path.up.index()] += bytes;
    if (path.down.valid()) down_[path.down.index()] += bytes;
}

Seconds TrunkLoad::time(const TrunkPath& path) const {
    Seconds time;
    if (path.up.valid()) {
        time = up_[path.up.index()] / trunks_[path.up.index()].up;
    }
    if (path.down.valid()) {
        time = std::max(time, down_[path.down.index()] / trunks_[path.down.index()].down);
    }
    return time;
}

}  // namespace r1
