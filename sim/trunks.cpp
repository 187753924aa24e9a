#include "sim/trunks.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "model/base/diagnostics.hpp"
#include "model/base/index.hpp"
#include "model/base/rng.hpp"

namespace r1 {

namespace {

constexpr std::uint64_t kPathStream = 0x7061746873;  // "paths": its own random numbers
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

Trunks::Trunks(const Fabric& fabric, std::int64_t ranks, std::uint64_t seed)
    : fabric_(fabric), seed_(seed), of_link_(fabric.links.size()) {
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

// Adaptive traffic spreads evenly over the uplinks of a leaf: they are one trunk. Else each spine's
// are one.
void Trunks::add_leaf(int leaf, BytesPerSecond offered) {
    const std::vector<int>& uplinks = fabric_.links_of_leaf[at(leaf)];
    const bool each = fabric_.path_choice == PathChoice::fixed;
    BytesPerSecond sum;
    for (const int link : uplinks) {
        sum += fabric_.links[at(link)].total();
    }
    const auto add = [&](const std::string& name, BytesPerSecond capacity) {
        if (!(capacity.value() > 0) || offered <= capacity * (1 + kRounding)) return TrunkId();
        all_.push_back({name, capacity, capacity});
        return TrunkId(all_.size() - 1);
    };
    const TrunkId whole = each ? TrunkId() : add(fabric_.switches[at(leaf)].name, sum);
    for (const int link : uplinks) {
        const Link& one = fabric_.links[at(link)];
        of_link_[at(link)] = each ? add(one.name, one.total()) : whole;
    }
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

std::size_t Trunks::choose(NicId from, NicId to, std::size_t ways) const {
    if (fabric_.path_choice == PathChoice::adaptive) return 0;  // all are one trunk
    const auto id = [&](NicId nic) {
        return static_cast<std::uint64_t>(nic.node * fabric_.nics_per_node + nic.nic);
    };
    return Rng(seed_, kPathStream).bits((id(from) << 32) | id(to)) % ways;
}

std::optional<SpinePair> Trunks::way(RankId from, RankId to) const {
    const std::optional<NicId> sender = nic_of_rank(fabric_, from);
    const std::optional<NicId> receiver = nic_of_rank(fabric_, to);
    if (!sender || !receiver || sender->node == receiver->node) return std::nullopt;
    const std::optional<Crossing> leaves = crossing(fabric_, *sender, *receiver);
    if (!leaves) return std::nullopt;
    const std::vector<SpinePair> ways = ways_between(fabric_, leaves->up, leaves->landing);
    if (ways.empty()) {
        throw InputError(
            "cluster",
            fmt::format("no spine joins {} and {} any more, but rank {} must send to "
                        "rank {}",
                        fabric_.switches[at(leaves->up)].name,
                        fabric_.switches[at(leaves->landing)].name, from.value, to.value));
    }
    SpinePair way = ways[choose(*sender, *receiver, ways.size())];
    const std::vector<int>& downs = fabric_.links_of_leaf[at(leaves->down)];
    if (leaves->landing != leaves->down && !downs.empty()) {
        way.down = downs[choose(*sender, *receiver, downs.size())];
    }
    return way;
}

TrunkPath Trunks::path(RankId from, RankId to) const {
    const std::optional<SpinePair> links = way(from, to);
    return links ? TrunkPath{of_link_[at(links->up)], of_link_[at(links->down)]} : TrunkPath{};
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
