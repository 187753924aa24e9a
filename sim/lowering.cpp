#include "sim/lowering.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "model/base/check.hpp"
#include "model/graph/graph_checks.hpp"
#include "sim/what_if.hpp"

namespace r1 {

namespace {

class Lowering {
public:
    explicit Lowering(const LoweringInput& input)
        : input_(input), graph_(input.graph), network_(input), async_(async_tensors(input.graph)) {
        dag_.network = network_.endpoints();
        dag_.segments.resize(graph_.templates().size());
        lowered_.resize(graph_.templates().size());
        names_.resize(graph_.templates().size());
    }

    ReplayDag run() && {
        const auto programs = static_cast<std::int32_t>(graph_.programs().size());
        for (std::int32_t program = 0; program < programs; ++program) {
            dag_.lanes.push_back(
                {graph_.instances().rank(program, 0), program, graph_.instances().data_parallel});
            add_program(program);
        }
        connect_messages();
        for (const ReplayNode& node : dag_.nodes) {
            for (const std::uint32_t successor : node.successors) {
                ++dag_.nodes[successor].predecessors;
            }
        }
        return std::move(dag_);
    }

private:
    using NodeIndex = std::uint32_t;
    static constexpr NodeIndex kNone = static_cast<NodeIndex>(-1);

    // (stage, direction, micro-batch, tensor name) in one word. A gradient is the stage's: all
    // micro-batches add to it, and whatever the optimizer reads waits for the last of them.
    static std::uint64_t key(const Tensor& tensor, Context context, std::uint32_t name) {
        if (tensor.role == TensorRole::gradient) {
            constexpr std::int32_t kOfStage = 3;  // no direction
            constexpr std::int32_t kWholeRank = 0xFFF;
            context = {is_global(tensor) ? kWholeRank : context.stage, kOfStage, -1};
        }
        return (static_cast<std::uint64_t>(context.stage) << 52) |
               (static_cast<std::uint64_t>(context.direction) << 50) |
               (static_cast<std::uint64_t>(context.micro_batch + 1) << 24) | name;
    }

    const LoweredTemplate& lowered(const Item& item) {
        const std::size_t index = item.chunk.index();
        if (lowered_[index].segments.empty()) {
            const ChunkTemplate& chunk = graph_.chunk(item.chunk);
            lowered_[index] = lower_template(input_, chunk, async_, sms_of(item), factors_of(item));
            dag_.segments[index] = lowered_[index].segments;
            for (const Tensor& tensor : chunk.tensors) {
                const auto [entry, is_new] = name_ids_.try_emplace(
                    tensor.name, static_cast<std::uint32_t>(name_ids_.size()));
                names_[index].push_back(entry->second);
            }
        }
        return lowered_[index];
    }

    // Beside communication, and not.
    [[nodiscard]] bool overlapped(const Item& item) const {
        return item.kind == ItemKind::overlapped && !input_.replay.without.overlap;
    }
    [[nodiscard]] int sms_of(const Item& item) const {
        const int all = input_.topology.device.sms;
        const bool split = overlapped(item) && !input_.replay.without.sm_split;
        return split ? std::max(1, all - input_.comm_sms) : all;
    }

    // Stages with equal templates take equal time, so their factors are equal too.
    [[nodiscard]] std::array<double, 2> factors_of(const Item& item) {
        if (!input_.replay.without.stage_imbalance || !is_chunk(item.kind)) {
            return {1, 1};
        }
        if (balancing_.empty()) {
            balancing_ = balancing_factors(compute_by_stage());
        }
        return {balancing_[static_cast<std::size_t>(item.contexts[0].stage)],
                balancing_[static_cast<std::size_t>(item.contexts[1].stage)]};
    }
    [[nodiscard]] std::vector<Seconds> compute_by_stage() const {
        std::vector<Seconds> times(static_cast<std::size_t>(graph_.stages()));
        std::map<std::uint32_t, std::array<Seconds, 2>> by_template;
        for (const RankProgram& program : graph_.programs()) {
            for (const Item& item : program.items) {
                if (!is_chunk(item.kind)) {
                    continue;
                }
                const auto [entry, is_new] = by_template.try_emplace(item.chunk.value);
                const ChunkTemplate& chunk = graph_.chunk(item.chunk);
                for (const Op& op : chunk.ops) {
                    if (is_new && op.compute() != nullptr) {
                        entry->second[op.context] +=
                            input_.cost.compute(chunk, op, input_.symbols, sms_of(item)).total();
                    }
                }
                for (std::size_t c = 0; c < chunk.contexts; ++c) {
                    times[static_cast<std::size_t>(item.contexts[c].stage)] += entry->second[c];
                }
            }
        }
        return times;
    }

    void add_program(std::int32_t program) {
        program_ = static_cast<std::size_t>(program);
        producer_.clear();
        last_.fill(kNone);
        last_node_ = kNone;
        collectives_seen_.clear();
        const RankProgram& rank_program = graph_.programs()[static_cast<std::size_t>(program)];
        for (std::size_t i = 0; i < rank_program.items.size(); ++i) {
            add_item(program, static_cast<std::uint32_t>(i), rank_program.items[i]);
        }
    }

    void add_item(std::int32_t program, std::uint32_t index, const Item& item) {
        const LoweredTemplate& lowered_template = lowered(item);
        const ChunkTemplate& chunk = graph_.chunk(item.chunk);
        const std::vector<Segment>& segments = dag_.segments[item.chunk.index()];
        const double slow = straggler_factor(input_.replay.stragglers, input_.seed,
                                             graph_.instances().rank(program, 0),
                                             graph_.instances().data_parallel, index);
        std::vector<NodeIndex> nodes;
        for (std::size_t s = 0; s < segments.size(); ++s) {
            const NodeIndex node =
                add_node(program, index, item, segments[s], lowered_template.durations[s] * slow);
            nodes.push_back(node);
            NodeIndex& previous = last_[static_cast<std::size_t>(segments[s].stream)];
            if (previous != kNone) {
                connect(previous, node);
                if (item.kind == ItemKind::recv) {
                    dag_.nodes[node].previous = static_cast<std::int32_t>(previous);
                }
            }
            previous = node;
            for (const std::uint32_t before : lowered_template.before[s]) {
                if (segments[before].stream != segments[s].stream) {
                    connect(nodes[before], node);
                }
            }
        }
        if (input_.replay.without.overlap && is_chunk(item.kind)) {
            if (last_node_ != kNone) {
                connect(last_node_, nodes.front());
            }
            last_node_ = nodes.back();
        }
        connect_tensors(item, chunk, lowered_template, nodes);
        if (item.kind == ItemKind::send || item.kind == ItemKind::recv) {
            messages_[message_key(item, chunk, program)].push_back(nodes.front());
        }
    }

    static bool flows_on(const Tensor& tensor) {
        return tensor.role == TensorRole::activation || tensor.role == TensorRole::gradient;
    }

    // Activations and gradients from earlier items, then those that this item produces.
    void connect_tensors(const Item& item, const ChunkTemplate& chunk,
                         const LoweredTemplate& lowered_template,
                         const std::vector<NodeIndex>& nodes) {
        const std::vector<std::uint32_t>& names = names_[item.chunk.index()];
        const std::vector<OpIndex>& made = producers_of(item.chunk);
        for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
            const NodeIndex node = nodes[lowered_template.segment_of[i]];
            for (const TensorId id : chunk.ops[i].inputs) {
                const Tensor& tensor = chunk.tensors[id.index()];
                const bool gradient = tensor.role == TensorRole::gradient;
                const OpIndex local = made[id.index()];
                // An all-reduce in place reads a gradient before it produces it.
                if (!flows_on(tensor) || (local.valid() && (!gradient || local.index() < i))) {
                    continue;
                }
                const auto found =
                    producer_.find(key(tensor, item.contexts[tensor.context], names[id.index()]));
                if (found == producer_.end()) {
                    // freeze() made sure of activations: they are given. A gradient starts as zero.
                    R1_CHECK(gradient || !graph_.programs()[program_].given.empty());
                    continue;
                }
                if (found->second.stream != chunk.ops[i].stream) {
                    connect(found->second.node, node);
                }
            }
        }
        for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
            for (const TensorId id : chunk.ops[i].outputs) {
                const Tensor& tensor = chunk.tensors[id.index()];
                if (flows_on(tensor)) {
                    producer_[key(tensor, item.contexts[tensor.context], names[id.index()])] = {
                        nodes[lowered_template.segment_of[i]], chunk.ops[i].stream};
                }
            }
        }
    }

    const std::vector<OpIndex>& producers_of(TemplateId id) {
        const auto [entry, is_new] = producers_.try_emplace(id.value);
        if (is_new) {
            entry->second = producers(graph_.chunk(id));
        }
        return entry->second;
    }

    NodeIndex add_node(std::int32_t program, std::uint32_t index, const Item& item,
                       const Segment& segment, Seconds duration) {
        const Op& op = graph_.chunk(item.chunk).ops[segment.ops.front().index()];
        const NodeRun run{static_cast<std::uint32_t>(program), index, &segment};
        if (op.stream == Stream::collective) {
            return add_collective(program, item, op, run);
        }
        ReplayNode node;
        node.runs.push_back(run);
        if (op.comm() == nullptr) {
            if (computes(op.stream)) {
                node.activity.compute = ComputeId(static_cast<std::size_t>(program));
                node.activity.compute_time = duration;
            } else {
                node.activity.delay = duration;  // a cast on the communication stream
            }
        } else if (op.comm()->collective == Collective::notify) {
            node.activity.delay = input_.cost.notify();
        } else if (item.kind == ItemKind::send) {
            node.activity = message(program, item.peer, *op.comm());
        } else if (item.kind != ItemKind::recv) {
            node.activity =
                expert_exchange_activity(input_, network_, op, program, overlapped(item));
        }
        return push(std::move(node));
    }

    Activity message(std::int32_t from, std::int32_t to, const CommOp& comm) const {
        Activity activity;
        const LaneNetwork::Path path = network_.path(from, to);
        if (path.local || input_.replay.without.pipeline_messages) {
            return activity;  // the next stage is on the same rank, or the message is left out
        }
        activity.delay = path.latency;
        const Bytes bytes(comm.payload_bytes.value(input_.symbols));
        if (path.over_nvlink) {
            activity.flows.push_back(
                {network_.nvlink(from), network_.nvlink(to), bytes, 1, BytesPerSecond(0)});
        } else {
            activity.flows.push_back(
                {network_.nic(from), network_.nic(to), bytes, 1, path.rate_max});
        }
        return activity;
    }

    // One node for all members: it starts when the last is ready, as the real collective ends.
    NodeIndex add_collective(std::int32_t program, const Item& item, const Op& op,
                             const NodeRun& run) {
        const CommOp& comm = *op.comm();
        const bool staged =
            comm.group == GroupKind::data_parallel || comm.group == GroupKind::expert_data_parallel;
        const std::int32_t stage = item.contexts[op.context].stage;
        const std::int32_t group = staged ? stage : -1;
        const int ordinal = collectives_seen_[{comm.group, group}]++;
        const auto [entry, is_new] = collectives_.try_emplace({comm.group, group, ordinal}, kNone);
        if (is_new) {
            entry->second = push(ReplayNode{});
        }
        ReplayNode& node = dag_.nodes[entry->second];
        node.runs.push_back(run);
        add_collective_flows(input_, network_, comm, stage, program, node.activity);
        return entry->second;
    }

    void connect_messages() {
        for (const auto& [message, ends] : messages_) {
            R1_CHECK(ends.size() == 2);  // freeze() made sure
            const bool first_sends =
                dag_.nodes[ends[0]].runs.front().segment->stream == Stream::send;
            const NodeIndex send = ends[first_sends ? 0 : 1];
            const NodeIndex recv = ends[first_sends ? 1 : 0];
            connect(send, recv);
            dag_.nodes[recv].send = static_cast<std::int32_t>(send);
        }
    }

    NodeIndex push(ReplayNode node) {
        dag_.nodes.push_back(std::move(node));
        return static_cast<NodeIndex>(dag_.nodes.size() - 1);
    }

    void connect(NodeIndex before, NodeIndex after) {
        std::vector<std::uint32_t>& successors = dag_.nodes[before].successors;
        if (std::find(successors.begin(), successors.end(), after) == successors.end()) {
            successors.push_back(after);
        }
    }

    struct Producer {
        NodeIndex node = kNone;
        Stream stream = Stream::compute;
    };

    const LoweringInput& input_;
    const ExecutionGraph& graph_;
    LaneNetwork network_;
    AsyncTensors async_;
    ReplayDag dag_;
    std::vector<double> balancing_;                  // by stage; empty until needed
    std::vector<LoweredTemplate> lowered_;           // by template
    std::vector<std::vector<std::uint32_t>> names_;  // by template and tensor
    std::unordered_map<std::string, std::uint32_t> name_ids_;
    std::map<std::uint32_t, std::vector<OpIndex>> producers_;
    // Of the program that is being added:
    std::size_t program_ = 0;
    std::unordered_map<std::uint64_t, Producer> producer_;
    std::array<NodeIndex, kStreamCount> last_{};
    NodeIndex last_node_ = kNone;  // of the chunk before
    std::map<std::pair<GroupKind, std::int32_t>, int> collectives_seen_;
    // Of all programs:
    std::map<std::tuple<GroupKind, std::int32_t, int>, NodeIndex> collectives_;
    std::map<MessageKey, std::vector<NodeIndex>> messages_;
};

}  // namespace

ReplayDag lower(const LoweringInput& input) { return Lowering(input).run(); }

}  // namespace r1
