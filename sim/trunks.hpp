// The uplinks of leaf switches as far as they can limit what crosses leaves. All NICs of a leaf
// share them; uplinks that carry whatever the job's NICs below the leaf can send never limit and
// are left out, since shared links tie flows together that have nothing else to do with each other.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sim/engine.hpp"
#include "sim/hardware/fabric.hpp"

namespace r1 {

class Trunks {
public:
    // `ranks`: of the job, on the first GPUs of the cluster. `seed`: of static paths.
    Trunks(const Fabric& fabric, std::int64_t ranks, std::uint64_t seed);

    [[nodiscard]] bool any() const { return !all_.empty(); }
    // Whether path() can find a trunk, or that there is no way.
    [[nodiscard]] bool matter() const { return any() || torn_; }
    [[nodiscard]] const std::vector<EngineNetwork::Trunk>& all() const { return all_; }
    // That flows of the rank's NIC may pass.
    [[nodiscard]] std::vector<TrunkId> of(RankId rank) const;
    // Those between the NICs of two ranks; none on one node or below one leaf. Between planes: the
    // way up in the sender's, the way down in the receiver's. Throws InputError if no spine joins
    // their leaves any more.
    [[nodiscard]] TrunkPath path(RankId from, RankId to) const;
    // Links of that path. Adaptive: of one of the ways that it spreads over.
    [[nodiscard]] std::optional<SpinePair> way(RankId from, RankId to) const;

private:
    [[nodiscard]] std::size_t choose(NicId from, NicId to, std::size_t ways) const;
    void add_leaf(int leaf, BytesPerSecond offered);

    const Fabric& fabric_;
    std::uint64_t seed_;
    std::vector<EngineNetwork::Trunk> all_;
    bool torn_ = false;             // some leaves are not joined
    std::vector<TrunkId> of_link_;  // by link of the fabric; invalid: it cannot limit
};

// What is on each trunk where transfers are under way at once, to find out what it makes of them
// without the engine: for lanes that stand for many ranks.
class TrunkLoad {
public:
    explicit TrunkLoad(const Trunks& trunks);

    void add(const TrunkPath& path, Bytes bytes);
    // In which the trunks of the path move all that was added.
    [[nodiscard]] Seconds time(const TrunkPath& path) const;

private:
    std::vector<EngineNetwork::Trunk> trunks_;
    std::vector<Bytes> up_;
    std::vector<Bytes> down_;
};

}  // namespace r1
