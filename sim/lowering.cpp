#include "sim/lowering.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <unordered_map>

#include "model/base/check.hpp"
#include "model/graph/graph_checks.hpp"
#include "sim/what_if.hpp"

namespace r1 {

namespace {

// Intervals that a timeline holds at most, 160 MB of them. Beyond, it shows some lanes of each
// program.
constexpr std::int64_t kIntervalsMax = 4'000'000;

class Lowering {
public:
    explicit Lowering(const LoweringInput& input)
        : input_(input),
          graph_(input.graph),
          lanes_(graph_.instances(), input.replay.fold),
          network_(input, lanes_),
          async_(async_tensors(input.graph)),
          loads_(input, lanes_),
          communication_(input, lanes_, network_, loads_, dag_) {
        dag_.network = network_.network();
        dag_.links = network_.links();
        dag_.lanes_per_program = static_cast<std::uint32_t>(lanes_.per_program());
        dag_.lanes_per_group = static_cast<std::uint32_t>(lanes_.per_group());
        dag_.stragglers = input.replay.stragglers;
        dag_.seed = input.seed;
        names_.resize(graph_.templates().size());
    }

    ReplayDag run() && {
        for (std::int32_t lane = 0; lane < lanes_.count(); ++lane) {
            dag_.lanes.push_back({lanes_.rank(lane), lanes_.program(lane), lanes_.multiplicity()});
        }
        const auto programs = static_cast<std::int32_t>(graph_.programs().size());
        dag_.programs.resize(graph_.programs().size());
        for (std::int32_t program = 0; program < programs; ++program) {
            add_program(program);
        }
        connect_messages();
        for (ReplayProgram& nodes : dag_.programs) {
            count_predecessors(nodes);
        }
        choose_shown();
        return std::move(dag_);
    }

private:
    using NodeIndex = std::uint32_t;
    static constexpr NodeIndex kNone = static_cast<NodeIndex>(-1);

    static void count_predecessors(ReplayProgram& nodes) {
        std::vector<std::uint32_t> count(nodes.size());
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            count[i] += nodes[i].kind == NodeKind::receive ? 1 : 0;
            for (const std::uint32_t successor : nodes[i].successors) {
                ++count[successor];
            }
        }
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            R1_CHECK(count[i] <= std::numeric_limits<std::uint16_t>::max());
            nodes[i].predecessors = static_cast<std::uint16_t>(count[i]);
        }
    }

    // The same replicas of all programs, spread evenly, each for those up to the next.
    void choose_shown() {
        std::int64_t intervals = 0;
        for (const ReplayProgram& nodes : dag_.programs) {
            for (const ReplayNode& node : nodes) {
                intervals += static_cast<std::int64_t>(dag_.segment(node).ops.size());
            }
        }
        const std::uint32_t lanes = dag_.lanes_per_program;
        const std::uint32_t shown = static_cast<std::uint32_t>(std::clamp<std::int64_t>(
            kIntervalsMax / std::max<std::int64_t>(1, intervals), 1, lanes));
        for (std::uint32_t program = 0; program < dag_.programs.size(); ++program) {
            for (std::uint32_t i = 0; i < shown; ++i) {
                const std::uint32_t place = i * lanes / shown;
                const std::uint32_t next = (i + 1) * lanes / shown;
                dag_.shown.push_back(program * lanes + place);
                dag_.shown_lanes.push_back(dag_.lanes[dag_.shown.back()]);
                dag_.shown_lanes.back().multiplicity *= next - place;
            }
        }
    }

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

    // A template with uneven experts takes another time in each layer.
    using VariantKey = std::tuple<std::uint32_t, Context, Context>;
    [[nodiscard]] VariantKey variant_key(const Item& item) const {
        VariantKey key{item.chunk.value, {}, {}};
        if (loads_.differ() && is_chunk(item.kind)) {
            std::array<Context, 2> contexts = item.contexts;
            if (!input_.routing->by_item()) {
                for (Context& context : contexts) {
                    context = {context.stage, 0, 0};
                }
            }
            std::get<1>(key) = contexts[0];
            std::get<2>(key) = contexts[1];
        }
        return key;
    }

    // Which of lowered_.
    std::uint32_t variant(const Item& item) {
        const auto [entry, is_new] =
            variants_.try_emplace(variant_key(item), static_cast<std::uint32_t>(lowered_.size()));
        if (!is_new) {
            return entry->second;
        }
        const ChunkTemplate& chunk = graph_.chunk(item.chunk);
        OpSymbols symbols;
        if (loads_.differ() && is_chunk(item.kind)) {
            symbols = [&](const Op& op) {
                return op.layer >= 0 ? &loads_.symbols(item.contexts[op.context], op.layer)
                                     : nullptr;
            };
        }
        lowered_.push_back(
            lower_template(input_, chunk, async_, sms_of(item), factors_of(item), symbols));
        const LoweredTemplate& lowered = lowered_.back();
        dag_.segments.push_back(lowered.segments);
        first_work_.push_back(static_cast<std::uint32_t>(dag_.locals.size()));
        for (std::size_t s = 0; s < lowered.segments.size(); ++s) {
            const Op& op = chunk.ops[lowered.segments[s].ops.front().index()];
            dag_.locals.push_back(local_work(op, lowered.by_lane.empty()
                                                     ? std::vector{lowered.durations[s]}
                                                     : lowered.by_lane[s]));
        }
        if (names_[item.chunk.index()].empty()) {
            for (const Tensor& tensor : chunk.tensors) {
                const auto name = name_ids_.try_emplace(
                    tensor.name, static_cast<std::uint32_t>(name_ids_.size()));
                names_[item.chunk.index()].push_back(name.first->second);
            }
        }
        return entry->second;
    }

    [[nodiscard]] LocalWork local_work(const Op& op, std::vector<Seconds> times) const {
        if (op.comm() != nullptr && op.comm()->collective == Collective::notify) {
            return {LocalKind::wait, {input_.cost.notify()}};
        }
        return {computes(op.stream) ? LocalKind::compute : LocalKind::beside, std::move(times)};
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
        communication_.begin_program();
        const RankProgram& rank_program = graph_.programs()[static_cast<std::size_t>(program)];
        for (std::size_t i = 0; i < rank_program.items.size(); ++i) {
            add_item(program, static_cast<std::uint32_t>(i), rank_program.items[i]);
        }
    }

    ReplayProgram& nodes() { return dag_.programs[program_]; }

    void add_item(std::int32_t program, std::uint32_t index, const Item& item) {
        const std::uint32_t which = variant(item);
        const LoweredTemplate& lowered_template = lowered_[which];
        const ChunkTemplate& chunk = graph_.chunk(item.chunk);
        const std::vector<Segment>& segments = dag_.segments[which];
        std::vector<NodeIndex> nodes;
        for (std::size_t s = 0; s < segments.size(); ++s) {
            const NodeIndex node =
                add_node(program, index, item, which, static_cast<std::uint32_t>(s));
            nodes.push_back(node);
            NodeIndex& previous = last_[static_cast<std::size_t>(segments[s].stream)];
            if (previous != kNone) {
                connect(previous, node);
                if (item.kind == ItemKind::recv) {
                    this->nodes()[node].previous = static_cast<std::int32_t>(previous);
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
            messages_[message_key(item, chunk, program)].push_back({program, nodes.front()});
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
                       std::uint32_t which, std::uint32_t segment) {
        const Op& op =
            graph_.chunk(item.chunk).ops[dag_.segments[which][segment].ops.front().index()];
        const auto place = static_cast<NodeIndex>(nodes().size());
        ReplayNode node;
        node.item = index;
        node.segments = which;
        node.segment = segment;
        if (op.stream == Stream::collective) {
            node.kind = NodeKind::collective;
            node.work = communication_.collective(program, item.contexts[op.context].stage,
                                                  *op.comm(), place);
        } else if (op.comm() == nullptr || op.comm()->collective == Collective::notify) {
            node.work = first_work_[which] + segment;
        } else if (item.kind == ItemKind::send) {
            node.kind = NodeKind::send;
            node.work = communication_.send(program, item.peer, *op.comm());
        } else if (item.kind == ItemKind::recv) {
            node.kind = NodeKind::receive;
        } else {
            node.kind = NodeKind::exchange;
            node.work = communication_.exchange(program, op, item.contexts[op.context],
                                                overlapped(item), place);
        }
        node.peer = item.peer;
        nodes().push_back(std::move(node));
        return place;
    }

    void connect_messages() {
        for (const auto& [message, ends] : messages_) {
            R1_CHECK(ends.size() == 2);  // freeze() made sure
            for (const std::size_t i : {0U, 1U}) {
                const auto& [program, node] = ends[i];
                dag_.programs[static_cast<std::size_t>(program)][node].other =
                    static_cast<std::int32_t>(ends[1 - i].second);
            }
        }
    }

    void connect(NodeIndex before, NodeIndex after) {
        std::vector<std::uint32_t>& successors = nodes()[before].successors;
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
    LaneSet lanes_;
    LaneNetwork network_;
    AsyncTensors async_;
    ReplayDag dag_;
    LayerLoads loads_;
    CommunicationWork communication_;
    std::vector<double> balancing_;  // by stage; empty until needed
    std::map<VariantKey, std::uint32_t> variants_;
    std::vector<LoweredTemplate> lowered_;           // by variant
    std::vector<std::uint32_t> first_work_;          // of the segments, by variant
    std::vector<std::vector<std::uint32_t>> names_;  // by template and tensor
    std::unordered_map<std::string, std::uint32_t> name_ids_;
    std::map<std::uint32_t, std::vector<OpIndex>> producers_;
    // Of the program that is being added:
    std::size_t program_ = 0;
    std::unordered_map<std::uint64_t, Producer> producer_;
    std::array<NodeIndex, kStreamCount> last_{};
    NodeIndex last_node_ = kNone;  // of the chunk before
    // Of all programs:
    std::map<MessageKey, std::vector<std::pair<std::int32_t, NodeIndex>>> messages_;
};

}  // namespace

ReplayDag lower(const LoweringInput& input) { return Lowering(input).run(); }

}  // namespace r1
