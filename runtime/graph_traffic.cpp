#include "runtime/graph_traffic.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "model/base/check.hpp"
#include "runtime/collectives.hpp"

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

    // Members of the expert-parallel group as nodes of `width` neighbours.
    struct Members {
        std::vector<std::int64_t> ranks;
        std::int64_t width = 1;
        std::int64_t self = 0;

        [[nodiscard]] std::int64_t nodes() const {
            return static_cast<std::int64_t>(ranks.size()) / width;
        }
        [[nodiscard]] std::int64_t node() const { return self / width; }
        [[nodiscard]] std::int64_t place() const { return self % width; }
        [[nodiscard]] std::int64_t rank(std::int64_t node, std::int64_t place) const {
            return ranks[static_cast<std::size_t>(node * width + place)];
        }
    };
    Members members(const Context& context) const {
        Members all;
        all.ranks = group(GroupKind::expert_parallel, context.stage);
        all.width =
            std::min<std::int64_t>(ranks_per_node_, static_cast<std::int64_t>(all.ranks.size()));
        all.self = std::find(all.ranks.begin(), all.ranks.end(), rank_) - all.ranks.begin();
        return all;
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
        const Members all = members(context);
        const double token = (op.comm()->payload_bytes + op.comm()->metadata_bytes).constant;
        for (std::int64_t node = 0; node < all.nodes(); ++node) {
            const ExchangeRecord& source = record(all.rank(node, all.place()), context, op.layer);
            if (node != all.node()) {
                const auto copies = static_cast<double>(
                    record(rank_, context, op.layer).to_nodes[static_cast<std::size_t>(node)]);
                send(all.rank(node, all.place()), MessageKind::dispatch, whole(token * copies));
            }
            for (std::int64_t place = 0; place < all.width; ++place) {
                const std::int64_t member = all.node() * all.width + place;
                const auto copies =
                    static_cast<double>(source.to_ranks[static_cast<std::size_t>(member)]);
                send(all.rank(all.node(), place), MessageKind::dispatch, whole(token * copies));
            }
        }
    }

    // The same ways back: to the place of the source in this node, which sums up for its node.
    void combine(const Context& context, const Op& op) {
        const Members all = members(context);
        const double token = (op.comm()->payload_bytes + op.comm()->metadata_bytes).constant;
        for (std::int64_t node = 0; node < all.nodes(); ++node) {
            for (std::int64_t place = 0; place < all.width; ++place) {
                const ExchangeRecord& source = record(all.rank(node, place), context, op.layer);
                const auto copies =
                    static_cast<double>(source.to_ranks[static_cast<std::size_t>(all.self)]);
                send(all.rank(all.node(), place), MessageKind::combine, whole(token * copies));
            }
            if (node != all.node()) {
                const ExchangeRecord& source =
                    record(all.rank(node, all.place()), context, op.layer);
                const auto copies =
                    static_cast<double>(source.to_nodes[static_cast<std::size_t>(all.node())]);
                send(all.rank(node, all.place()), MessageKind::combine, whole(token * copies));
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
