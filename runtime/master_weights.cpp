#include "runtime/master_weights.hpp"

#include <algorithm>
#include <tuple>

#include "model/base/check.hpp"
#include "runtime/collectives.hpp"

namespace r1 {

std::vector<StateShard*> ordered_shards(RankState& state) {
    std::vector<StateShard*> shards;
    for (const std::unique_ptr<StateShard>& shard : state.shards()) {
        shards.push_back(shard.get());
    }
    std::sort(shards.begin(), shards.end(), [](const StateShard* a, const StateShard* b) {
        return std::tie(a->stage, a->experts) < std::tie(b->stage, b->experts);
    });
    return shards;
}

std::vector<float> gather_master(const StateShard& shard, const Everyone& ranks) {
    if (!shard.sharded) {
        return shard.master.on_host();
    }
    std::vector<int> holders;
    for (const RankId holder : shard.holders) {
        holders.push_back(static_cast<int>(holder.value));
    }
    std::vector<float> whole(shard.gradient.size());
    std::vector<std::size_t> counts;
    for (const Part& part : parts(whole.size(), holders.size())) {
        counts.push_back(part.count * sizeof(float));
    }
    all_gather_v({ranks.communicator, holders, ranks.channel, MessageKind::report},
                 std::as_bytes(HostView(shard.master).values()),
                 std::as_writable_bytes(std::span(whole)), counts);
    return whole;
}

void round_to_compute(const ExecutionPolicy& policy, std::span<float> values) {
    R1_CHECK(policy.compute == DType::f32 || policy.compute == DType::bf16);
    if (policy.compute == DType::bf16) {
        for (float& value : values) {
            value = float_from_bf16(bf16_from_float(value));
        }
    }
}

}  // namespace r1
