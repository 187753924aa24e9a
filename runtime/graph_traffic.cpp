#include "runtime/graph_traffic.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "model/base/check.hpp"
#include "runtime/collectives.hpp"
#include "runtime/expert_exchange.hpp"

namespace r1 {

namespace {

std::uint64_t whole(double bytes) {
    R1_CHECK(bytes >= 0 && bytes == std::floor(bytes));
    return static_cast<std::uint64_t>(bytes);
}

class Count {
public:
    Count(const ExecutionGraph& graph, const std::vector<ExchangeRecord>& exchanges,
          int ranks_per_node)
        : graph_(graph), ranks_per_node_(ranks_per_node) {
        for (const ExchangeRecord& record : exchanges) {
            records_[{record.rank, record.stage, record.direction, record.micro_batch,
                      record.layer}] = &record;
        }
    }

    Traffic of_all_ranks() {
        for (std::int64_t rank = 0; rank < graph_.instances().ranks(); ++rank) {
            rank_ = rank;
            const auto program = static_cast<std::size_t>(
                graph_.instances().program_of(RankId(static_cast<std::size_t>(rank))));
            for (const Item& item : graph_.programs()[program].items) {
                const ChunkTemplate& chunk = graph_.chunk(item.chunk);
                for (const Op& op : chunk.ops) {
                    if (op.comm() != nullptr) {
                        add(item, chunk, op);
                    }
                }
            }
        }
        return traffic_;
    }

private:
    using Key = std::tuple<std::int64_t, std::int32_t, std::int32_t, std::int32_t, std::int32_t>;

    void send(std::int64_t to, MessageKind kind, std::uint64_t bytes) {
        if (to == rank_) {
            return;
        }
        TrafficBytes& sum = traffic_[kind];
        (to / ranks_per_node_ == rank_ / ranks_per_node_ ? sum.nvlink : sum.infiniband) += bytes;
    }

    void add(const Item& item, const ChunkTemplate& chunk, const Op& op) {
        const Context& context = item.contexts[op.context];
        const CommOp& comm = *op.comm();
        switch (comm.collective) {
            case Collective::recv: return;
            case Collective::send: {
                const Instances& instances = graph_.instances();
                const RankId self(static_cast<std::size_t>(rank_));
                const RankId peer = instances.rank(item.peer, instances.replica_of(self));
                send(static_cast<std::int64_t>(peer.value), MessageKind::pipeline,
                     whole(comm.payload_bytes.constant));
                return;
            }
            case Collective::notify: notify(context, comm); return;
            case Collective::dispatch: dispatch(context, op); return;
            case Collective::combine: combine(context, op); return;
            default: collective(context, chunk, op); return;
        }
    }

    std::vector<std::int64_t> group(GroupKind kind, std::int32_t stage) const {
        std::vector<std::int64_t> ranks;
        const RankId self(static_cast<std::size_t>(rank_));
        for (const RankId rank : graph_.group(kind, self, stage)) {
            ranks.push_back(static_cast<std::int64_t>(rank.value));
        }
        return ranks;
    }

    void notify(const Context& context, const CommOp& comm) {
        for (const std::int64_t to : group(GroupKind::expert_parallel, context.stage)) {
            send(to, MessageKind::notify, whole(comm.payload_bytes.constant));
        }
    }

    [[nodiscard]] ExpertGroup members(const Context& context) const {
        ExpertGroup all;
        for (const std::int64_t rank : group(GroupKind::expert_parallel, context.stage)) {
            all.ranks.push_back(static_cast<int>(rank));
        }
        all.self = static_cast<int>(
            std::find(all.ranks.begin(), all.ranks.end(), static_cast<int>(rank_)) -
            all.ranks.begin());
        all.ranks_per_node = std::min(ranks_per_node_, all.size());
        return all;
    }
    static std::int64_t rank_at(const ExpertGroup& group, int node, int place) {
        return group.ranks[static_cast<std::size_t>(group.member(node, place))];
    }
    [[nodiscard]] const ExchangeRecord& record(std::int64_t rank, const Context& context,
                                               std::int16_t layer) const {
        const auto found =
            records_.find({rank, context.stage, context.direction, context.micro_batch, layer});
        R1_CHECK(found != records_.end());
        return *found->second;
    }

    // Own tokens to other nodes once, to the rank of this place there; own tokens and those that
    // came from other nodes to this node's ranks.
    void dispatch(const Context& context, const Op& op) {
        const ExpertGroup all = members(context);
        const int own_node = all.node_of(all.self);
        const double token = (op.comm()->payload_bytes + op.comm()->metadata_bytes).constant;
        for (int node = 0; node < all.nodes(); ++node) {
            const std::int64_t peer = rank_at(all, node, all.place_of(all.self));
            if (node != own_node) {
                const auto copies = static_cast<double>(
                    record(rank_, context, op.layer).to_nodes[static_cast<std::size_t>(node)]);
                send(peer, MessageKind::dispatch, whole(token * copies));
            }
            const ExchangeRecord& source = record(peer, context, op.layer);
            for (int place = 0; place < all.ranks_per_node; ++place) {
                const auto member = static_cast<std::size_t>(all.member(own_node, place));
                const auto copies = static_cast<double>(source.to_ranks[member]);
                send(rank_at(all, own_node, place), MessageKind::dispatch, whole(token * copies));
            }
        }
    }

    // The same ways back: to the place of the source in this node, which sums up for its node.
    void combine(const Context& context, const Op& op) {
        const ExpertGroup all = members(context);
        const int own_node = all.node_of(all.self);
        const double token = (op.comm()->payload_bytes + op.comm()->metadata_bytes).constant;
        for (int node = 0; node < all.nodes(); ++node) {
            for (int place = 0; place < all.ranks_per_node; ++place) {
                const ExchangeRecord& source = record(rank_at(all, node, place), context, op.layer);
                const auto copies =
                    static_cast<double>(source.to_ranks[static_cast<std::size_t>(all.self)]);
                send(rank_at(all, own_node, place), MessageKind::combine, whole(token * copies));
            }
            if (node != own_node) {
                const std::int64_t peer = rank_at(all, node, all.place_of(all.self));
                const auto copies = static_cast<double>(
                    record(peer, context, op.layer).to_nodes[static_cast<std::size_t>(own_node)]);
                send(peer, MessageKind::combine, whole(token * copies));
            }
        }
    }

    // Ranks exchange parts directly (runtime/collectives.hpp).
    void collective(const Context& context, const ChunkTemplate& chunk, const Op& op) {
        const CommOp& comm = *op.comm();
        const std::vector<std::int64_t> ranks = group(comm.group, context.stage);
        const DType dtype = chunk.tensors[op.outputs.front().index()].dtype;
        const auto width = static_cast<std::uint64_t>(bits(dtype) / 8);
        const std::vector<Part> all =
            parts(whole(comm.payload_bytes.constant) / width, ranks.size());
        const auto self =
            static_cast<std::size_t>(std::find(ranks.begin(), ranks.end(), rank_) - ranks.begin());
        for (std::size_t i = 0; i < ranks.size(); ++i) {
            if (comm.collective != Collective::all_gather) {
                send(ranks[i], MessageKind::collective, all[i].count * width);
            }
            if (comm.collective != Collective::reduce_scatter) {
                send(ranks[i], MessageKind::collective, all[self].count * width);
            }
        }
    }

    const ExecutionGraph& graph_;
    const int ranks_per_node_;
    std::map<Key, const ExchangeRecord*> records_;
    std::int64_t rank_ = 0;
    Traffic traffic_;
};

}  // namespace

Traffic graph_traffic(const ExecutionGraph& graph, const std::vector<ExchangeRecord>& exchanges,
                      int ranks_per_node) {
    return Count(graph, exchanges, ranks_per_node).of_all_ranks();
}

}  // namespace r1
