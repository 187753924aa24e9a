#include "runtime/rank_plan.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "model/base/check.hpp"
#include "runtime/expert_exchange.hpp"

namespace r1 {

namespace {

// Which numbers the channels of a job have: first the pipeline's messages, then the collectives,
// then the exchanges of an expert-parallel group, whose members run the same program.
class Channels {
public:
    Channels(const ExecutionGraph& graph, const Dependencies& dependencies)
        : dependencies_(dependencies) {
        for (const RankProgram& program : graph.programs()) {
            for (const Item& item : program.items) {
                for (const Context& context : item.contexts) {
                    stages_ = std::max(stages_, context.stage + 1);
                    micro_batches_ = std::max(micro_batches_, context.micro_batch + 1);
                }
            }
        }
    }

    [[nodiscard]] std::uint64_t spare() const {
        return messages() + dependencies_.collectives().size();
    }

    std::uint64_t of(const PlannedOp& op) {
        const CommOp* comm = op.op->comm();
        if (comm == nullptr) {
            return 0;
        }
        if (comm->group == GroupKind::pipeline) {
            return message(op);
        }
        if (comm->group == GroupKind::expert_parallel) {
            return spare() + 1 + kChannelsPerExchange * exchanges_++;
        }
        const auto which = dependencies_.collective_of(op.at);
        R1_CHECK(which.has_value());
        return messages() + *which;
    }

private:
    [[nodiscard]] std::uint64_t messages() const {
        return std::uint64_t{4} * static_cast<std::uint64_t>(stages_) *
               static_cast<std::uint64_t>(micro_batches_);
    }
    // A message is known by who it is for: both ends have the receiver's context.
    [[nodiscard]] std::uint64_t message(const PlannedOp& op) const {
        const bool forward = op.op->phase == Phase::forward;
        const bool sends = op.op->comm()->collective == Collective::send;
        const Context& c = op.context();
        const std::int32_t stage = sends ? c.stage + (forward ? 1 : -1) : c.stage;
        const std::int32_t way = 2 * c.direction + (forward ? 1 : 0);
        return static_cast<std::uint64_t>((way * stages_ + stage) * micro_batches_ + c.micro_batch);
    }

    const Dependencies& dependencies_;
    std::int32_t stages_ = 0;
    std::int32_t micro_batches_ = 0;
    std::uint64_t exchanges_ = 0;
};

// Activations are one for each (stage, direction, micro-batch) and name.
using TensorKey = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::string>;

TensorKey key_of(const PlannedOp& op, const Tensor& tensor) {
    const Context& c = op.context_of(tensor);
    return {c.stage, c.direction, c.micro_batch, tensor.name};
}

// The furthest point of each other stream.
template <class EndOf>
std::vector<StreamPoint> furthest(const std::vector<ProgramOp>& ops, Stream own, EndOf end_of) {
    std::array<std::uint32_t, kStreamCount> most{};
    for (const ProgramOp& op : ops) {
        const StreamPoint end = end_of(op);
        most[static_cast<std::size_t>(end.stream)] =
            std::max(most[static_cast<std::size_t>(end.stream)], end.ops);
    }
    std::vector<StreamPoint> points;
    for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
        if (most[stream] > 0 && stream != static_cast<std::size_t>(own)) {
            points.push_back({static_cast<Stream>(stream), most[stream]});
        }
    }
    return points;
}

// An op behind `point`, which itself was behind others.
void go_behind(StreamPoints& behind, const StreamPoint& point, const StreamPoints& others) {
    for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
        behind[stream] = std::max(behind[stream], others[stream]);
    }
    std::uint32_t& own = behind[static_cast<std::size_t>(point.stream)];
    own = std::max(own, point.ops);
}

// Which buffer each argument is, along the program.
struct Buffers {
    std::vector<std::uint32_t> readers;
    std::map<TensorKey, std::uint32_t> newest;

    std::uint32_t read(const PlannedOp& op, const Tensor& tensor) {
        if (tensor.role != TensorRole::activation) {
            return kNoBuffer;
        }
        const auto found = newest.find(key_of(op, tensor));
        R1_CHECK(found != newest.end());
        ++readers[found->second];
        return found->second;
    }
    std::uint32_t write(const PlannedOp& op, const Tensor& tensor) {
        if (tensor.role != TensorRole::activation) {
            return kNoBuffer;
        }
        const auto buffer = static_cast<std::uint32_t>(readers.size());
        readers.push_back(0);
        newest[key_of(op, tensor)] = buffer;
        return buffer;
    }
};

}  // namespace

RankPlan::RankPlan(const ExecutionGraph& graph, const Dependencies& dependencies,
                   std::uint32_t program) {
    const RankProgram& items = graph.programs()[program];
    R1_CHECK(items.given.empty());
    Channels channels(graph, dependencies);
    Buffers buffers;
    std::vector<std::uint32_t> first_op;  // of each item
    std::vector<StreamPoint> ends;        // of each op
    std::vector<ProgramOp> before;
    std::array<StreamPoints, kStreamCount> reached{};  // what the next op of a stream is behind
    for (std::uint32_t i = 0; i < items.items.size(); ++i) {
        const Item& item = items.items[i];
        const ChunkTemplate& chunk = graph.chunk(item.chunk);
        first_op.push_back(static_cast<std::uint32_t>(ops.size()));
        for (std::uint32_t o = 0; o < chunk.ops.size(); ++o) {
            PlannedOp op;
            op.at = {program, i, o};
            op.item = &item;
            op.chunk = &chunk;
            op.op = &chunk.ops[o];
            before.clear();
            dependencies.append_local(op.at, before);
            op.waits_for = furthest(before, op.op->stream, [&](const ProgramOp& at) {
                return ends[first_op[at.item] + at.op];
            });
            StreamPoints& behind = reached[static_cast<std::size_t>(op.op->stream)];
            for (const StreamPoint& point : op.waits_for) {
                const auto& other = streams[static_cast<std::size_t>(point.stream)];
                go_behind(behind, point, ops[other[point.ops - 1]].behind);
            }
            op.behind = behind;
            for (const TensorId id : op.op->inputs) {
                op.inputs.push_back(buffers.read(op, chunk.tensors[id.index()]));
            }
            for (const TensorId id : op.op->outputs) {
                op.outputs.push_back(buffers.write(op, chunk.tensors[id.index()]));
            }
            op.channel = channels.of(op);
            std::vector<std::uint32_t>& stream = streams[static_cast<std::size_t>(op.op->stream)];
            stream.push_back(static_cast<std::uint32_t>(ops.size()));
            ends.push_back({op.op->stream, static_cast<std::uint32_t>(stream.size())});
            go_behind(behind, ends.back(), {});
            ops.push_back(std::move(op));
        }
    }
    readers = std::move(buffers.readers);
    spare_channel = channels.spare();
}

std::vector<std::pair<int, int>> pipeline_pairs(const ExecutionGraph& graph) {
    const Instances& instances = graph.instances();
    std::set<std::pair<int, int>> pairs;
    for (std::size_t rank = 0; rank < static_cast<std::size_t>(instances.ranks()); ++rank) {
        const auto program = static_cast<std::size_t>(instances.program_of(RankId(rank)));
        for (const Item& item : graph.programs()[program].items) {
            if (item.kind == ItemKind::send) {
                const RankId to = instances.rank(item.peer, instances.replica_of(RankId(rank)));
                pairs.emplace(static_cast<int>(rank), static_cast<int>(to.value));
            }
        }
    }
    return {pairs.begin(), pairs.end()};
}

}  // namespace r1
