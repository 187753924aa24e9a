#include "model/graph/dependencies.hpp"

#include <algorithm>
#include <string>

#include "model/graph/graph_checks.hpp"

namespace r1 {

namespace {

std::uint64_t key_of(std::uint8_t context, std::uint32_t name) {
    return std::uint64_t{context} << 32U | name;
}

std::uint64_t key_of(const Context& context) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(context.stage)) << 40U |
           static_cast<std::uint64_t>(static_cast<std::uint8_t>(context.direction)) << 32U |
           static_cast<std::uint32_t>(context.micro_batch);
}

std::uint64_t stage_key(const Context& context) {
    return static_cast<std::uint64_t>(context.stage);
}

constexpr std::uint64_t kWholeRank = ~std::uint64_t{0};  // a key among those of stages

std::size_t stream_index(const Op& op) { return static_cast<std::size_t>(op.stream); }

bool joins_programs(const CommOp* comm) {
    return comm != nullptr && comm->group != GroupKind::pipeline &&
           comm->group != GroupKind::expert_parallel;
}

}  // namespace

Dependencies::Dependencies(const ExecutionGraph& graph) : graph_(graph) {
    std::unordered_map<std::string, std::uint32_t> names;
    for (const ChunkTemplate& chunk : graph.templates()) {
        add_template(chunk, names);
    }
    std::map<MessageKey, ProgramOp> sends;
    for (std::uint32_t p = 0; p < graph.programs().size(); ++p) {
        add_program(p);
        add_collectives(p);
        const std::vector<Item>& items = graph.programs()[p].items;
        for (std::uint32_t i = 0; i < items.size(); ++i) {
            if (items[i].kind == ItemKind::send) {
                const auto program = static_cast<std::int32_t>(p);
                sends[message_key(items[i], graph.chunk(items[i].chunk), program)] = {p, i, 0};
            }
        }
    }
    for (std::uint32_t p = 0; p < graph.programs().size(); ++p) {
        const std::vector<Item>& items = graph.programs()[p].items;
        for (std::uint32_t i = 0; i < items.size(); ++i) {
            if (items[i].kind == ItemKind::recv) {
                const auto program = static_cast<std::int32_t>(p);
                const auto send =
                    sends.find(message_key(items[i], graph.chunk(items[i].chunk), program));
                if (send != sends.end()) {
                    send_of_[{p, i, 0}] = send->second;
                }
            }
        }
    }
}

void Dependencies::add_template(const ChunkTemplate& chunk,
                                std::unordered_map<std::string, std::uint32_t>& names) {
    TemplateTable& table = templates_.emplace_back();
    table.first.fill(kNone);
    table.last.fill(kNone);
    std::vector<std::uint32_t> number;
    for (const Tensor& tensor : chunk.tensors) {
        const auto next = static_cast<std::uint32_t>(names.size());
        number.push_back(names.try_emplace(tensor.name, next).first->second);
    }
    std::vector<bool> produced(chunk.tensors.size());
    const std::vector<std::vector<OpIndex>> before = predecessors(chunk);
    for (std::uint32_t i = 0; i < chunk.ops.size(); ++i) {
        const Op& op = chunk.ops[i];
        table.local_begin.push_back(static_cast<std::uint32_t>(table.local.size()));
        table.external_begin.push_back(static_cast<std::uint32_t>(table.external.size()));
        for (const OpIndex index : before[i]) {
            table.local.push_back(index.value);
        }
        for (const TensorId input : op.inputs) {
            const Tensor& tensor = chunk.tensors[input.index()];
            const bool gradient = tensor.role == TensorRole::gradient;
            if ((tensor.role == TensorRole::activation || gradient) && !produced[input.index()]) {
                table.external.push_back(
                    {number[input.index()], tensor.context, gradient, is_global(tensor)});
            }
        }
        for (const TensorId output : op.outputs) {
            produced[output.index()] = true;
            table.produced[key_of(chunk.tensors[output.index()].context, number[output.index()])] =
                i;
        }
        std::uint32_t& first = table.first[stream_index(op)];
        first = std::min(first, i);
        table.last[stream_index(op)] = i;
    }
    table.local_begin.push_back(static_cast<std::uint32_t>(table.local.size()));
    table.external_begin.push_back(static_cast<std::uint32_t>(table.external.size()));
}

void Dependencies::add_program(std::uint32_t program) {
    ProgramTable& table = programs_.emplace_back();
    const std::vector<Item>& items = graph_.programs()[program].items;
    std::array<std::uint32_t, kStreamCount> latest{};
    latest.fill(kNone);
    for (std::uint32_t i = 0; i < items.size(); ++i) {
        const Item& item = items[i];
        table.before.push_back(latest);
        for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
            if (templates_[item.chunk.index()].last[stream] != kNone) {
                latest[stream] = i;
            }
        }
        for (std::uint8_t c = 0; c < graph_.chunk(item.chunk).contexts; ++c) {
            table.by_context[key_of(item.contexts[c])].push_back({i, c});
            table.by_stage[stage_key(item.contexts[c])].push_back({i, c});
            table.by_stage[kWholeRank].push_back({i, c});
        }
    }
}

void Dependencies::add_collectives(std::uint32_t program) {
    std::map<std::pair<GroupKind, std::int32_t>, std::int64_t> count;
    const std::vector<Item>& items = graph_.programs()[program].items;
    for (std::uint32_t i = 0; i < items.size(); ++i) {
        const std::vector<Op>& ops = graph_.chunk(items[i].chunk).ops;
        for (std::uint32_t o = 0; o < ops.size(); ++o) {
            const CommOp* comm = ops[o].comm();
            if (!joins_programs(comm)) {
                continue;
            }
            const std::int32_t stage =
                is_staged(comm->group) ? items[i].contexts[ops[o].context].stage : -1;
            const CollectiveKey key{static_cast<std::int64_t>(comm->group), stage,
                                    count[{comm->group, stage}]++};
            const auto [entry, is_new] = collective_by_key_.try_emplace(key, collectives_.size());
            if (is_new) {
                collectives_.emplace_back();
            }
            collectives_[entry->second].push_back({program, i, o});
            collective_of_[{program, i, o}] = entry->second;
        }
    }
}

std::optional<ProgramOp> Dependencies::producer(ProgramOp reader, const External& tensor) const {
    const Context& context = item_of(reader).contexts[tensor.context];
    const ProgramTable& program = programs_[reader.program];
    const Uses& uses = tensor.gradient ? program.by_stage : program.by_context;
    const std::uint64_t stage = tensor.global ? kWholeRank : stage_key(context);
    const auto found = uses.find(tensor.gradient ? stage : key_of(context));
    if (found == uses.end()) {
        return std::nullopt;
    }
    const std::vector<ContextUse>& list = found->second;
    auto use =
        std::lower_bound(list.begin(), list.end(), reader.item,
                         [](const ContextUse& a, std::uint32_t item) { return a.item < item; });
    const std::vector<Item>& items = graph_.programs()[reader.program].items;
    while (use != list.begin()) {
        --use;
        const TemplateTable& table = templates_[items[use->item].chunk.index()];
        const auto op = table.produced.find(key_of(use->context, tensor.name));
        if (op != table.produced.end()) {
            return ProgramOp{reader.program, use->item, op->second};
        }
    }
    return std::nullopt;
}

void Dependencies::append_local(ProgramOp op, std::vector<ProgramOp>& out) const {
    const Item& item = item_of(op);
    const TemplateTable& table = templates_[item.chunk.index()];
    for (std::uint32_t i = table.local_begin[op.op]; i < table.local_begin[op.op + 1]; ++i) {
        out.push_back({op.program, op.item, table.local[i]});
    }
    const std::size_t stream = stream_index(graph_.chunk(item.chunk).ops[op.op]);
    if (table.first[stream] == op.op) {
        const std::uint32_t before = programs_[op.program].before[op.item][stream];
        if (before != kNone) {
            const Item& earlier = graph_.programs()[op.program].items[before];
            out.push_back({op.program, before, templates_[earlier.chunk.index()].last[stream]});
        }
    }
    for (std::uint32_t i = table.external_begin[op.op]; i < table.external_begin[op.op + 1]; ++i) {
        if (const auto found = producer(op, table.external[i])) {
            out.push_back(*found);
        }
    }
}

std::optional<ProgramOp> Dependencies::send_of(ProgramOp op) const {
    const auto found = send_of_.find(op);
    return found == send_of_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::size_t> Dependencies::collective_of(ProgramOp op) const {
    const auto found = collective_of_.find(op);
    return found == collective_of_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace r1
