#include "model/graph/graph_checks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

namespace r1 {

namespace {

struct Arity {
    int inputs_min, inputs_max, outputs_min, outputs_max;
};

Arity arity_of(const CommOp& comm) {
    switch (comm.collective) {
        case Collective::send: return {1, 1, 0, 0};
        case Collective::recv: return {0, 0, 1, 1};
        case Collective::dispatch:
        case Collective::low_latency_dispatch: return {1, 6, 1, 4};
        case Collective::combine:
        case Collective::low_latency_combine: return {1, 5, 1, 2};
        case Collective::notify: return {1, 5, 1, 1};
        default: return {1, 4096, 1, 4096};
    }
}

void check_op(const ChunkTemplate& chunk, std::size_t index, Problems& problems) {
    const Op& op = chunk.ops[index];
    const std::string where =
        fmt::format("template {}, op {} ({})", chunk.name, index, kind_name(op));
    Arity arity{};
    if (const ComputeOp* compute = op.compute()) {
        const KernelSignature* signature = kernel_signature(compute->kernel);
        if (signature == nullptr) {
            problems.push_back(where + ": has no kernel signature");
            return;
        }
        if (compute->dims.size() != signature->dims.size()) {
            problems.push_back(fmt::format("{}: has {} dimensions, the kernel takes {}", where,
                                           compute->dims.size(), signature->dims.size()));
        }
        arity = {signature->inputs_min, signature->inputs_max, signature->outputs_min,
                 signature->outputs_max};
    } else {
        arity = arity_of(*op.comm());
    }
    const auto inputs = static_cast<int>(op.inputs.size());
    const auto outputs = static_cast<int>(op.outputs.size());
    if (inputs < arity.inputs_min || inputs > arity.inputs_max || outputs < arity.outputs_min ||
        outputs > arity.outputs_max) {
        problems.push_back(fmt::format("{}: {} inputs and {} outputs do not fit its signature",
                                       where, inputs, outputs));
    }
    if (op.context >= chunk.contexts) {
        problems.push_back(where + ": names a context that the template does not have");
    }
}

// Whether all tensor ids of the op exist; without that nothing else can be checked.
bool tensors_exist(const ChunkTemplate& chunk, const Op& op) {
    for (const auto* list : {&op.inputs, &op.outputs}) {
        for (const TensorId id : *list) {
            if (id.index() >= chunk.tensors.size()) {
                return false;
            }
        }
    }
    return true;
}

bool is_size(const Extent& extent) {
    const auto good = [](double value) { return std::isfinite(value) && value >= 0; };
    return good(extent.constant) &&
           std::all_of(extent.per_symbol.begin(), extent.per_symbol.end(), good);
}

bool are_sizes(const std::vector<Extent>& extents) {
    return std::all_of(extents.begin(), extents.end(), is_size);
}

bool has_sizes(const Op& op) {
    if (const ComputeOp* compute = op.compute()) {
        const Work& work = compute->work;
        return are_sizes(compute->dims) &&
               are_sizes({work.matrix_flops, work.read_bytes, work.written_bytes});
    }
    return are_sizes({op.comm()->payload_bytes, op.comm()->metadata_bytes}) &&
           op.comm()->tokens >= 0;
}

// Contexts and sizes: what everything that reads a template takes for granted.
void check_contents(const ChunkTemplate& chunk, Problems& problems) {
    if (chunk.contexts < 1 || chunk.contexts > std::tuple_size_v<decltype(Item::contexts)>) {
        problems.push_back(
            fmt::format("template {}: cannot have {} contexts", chunk.name, chunk.contexts));
    }
    for (const Tensor& tensor : chunk.tensors) {
        const auto symbolic = std::count_if(tensor.shape.begin(), tensor.shape.end(),
                                            [](const Extent& e) { return !e.is_constant(); });
        if (tensor.context >= chunk.contexts || symbolic > 1 || !are_sizes(tensor.shape)) {
            problems.push_back(
                fmt::format("template {}: tensor '{}' has a context or a shape that "
                            "cannot be",
                            chunk.name, tensor.name));
        }
    }
    for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
        if (!has_sizes(chunk.ops[i])) {
            problems.push_back(fmt::format("template {}, op {} ({}): has a size that cannot be",
                                           chunk.name, i, kind_name(chunk.ops[i])));
        }
    }
}

}  // namespace

void check_template(const ChunkTemplate& chunk, Problems& problems) {
    check_contents(chunk, problems);
    std::vector<bool> produced(chunk.tensors.size());
    for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
        const Op& op = chunk.ops[i];
        if (!tensors_exist(chunk, op)) {
            problems.push_back(fmt::format("template {}, op {}: names a tensor that does not exist",
                                           chunk.name, i));
            return;
        }
        check_op(chunk, i, problems);
    }
    const std::vector<OpIndex> producer = producers(chunk);
    for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
        const Op& op = chunk.ops[i];
        for (const TensorId input : op.inputs) {
            const Tensor& tensor = chunk.tensors[input.index()];
            if (tensor.role == TensorRole::activation && producer[input.index()].valid() &&
                !produced[input.index()]) {
                problems.push_back(fmt::format(
                    "template {}, op {} ({}): reads '{}' before op {} "
                    "produces it",
                    chunk.name, i, kind_name(op), tensor.name, producer[input.index()].value));
            }
        }
        for (const TensorId output : op.outputs) {
            const Tensor& tensor = chunk.tensors[output.index()];
            if (tensor.role == TensorRole::activation && produced[output.index()]) {
                problems.push_back(fmt::format("template {}, op {} ({}): '{}' has two producers",
                                               chunk.name, i, kind_name(op), tensor.name));
            }
            produced[output.index()] = true;
        }
    }
}

namespace {

// What is wrong with a program's list of stages; adds them to `held`.
void check_stages(const RankProgram& program, std::size_t p, std::set<std::int32_t>& held,
                  Problems& problems) {
    std::int32_t previous = -1;
    for (const std::int32_t stage : program.stages) {
        if (stage <= previous) {
            problems.push_back(
                fmt::format("program {}: its stages are not ascending, from 0 on", p));
            return;
        }
        previous = stage;
        held.insert(stage);
    }
}

void check_item(const Item& item, const ChunkTemplate& chunk, std::size_t programs,
                const std::string& where, Problems& problems) {
    const bool sends = item.kind == ItemKind::send;
    const bool message = sends || item.kind == ItemKind::recv;
    if (message) {
        if (item.peer < 0 || item.peer >= static_cast<std::int64_t>(programs)) {
            problems.push_back(where + ": its peer does not exist");
        }
        const CommOp* comm = chunk.ops.size() == 1 ? chunk.ops.front().comm() : nullptr;
        if (comm == nullptr || comm->collective != (sends ? Collective::send : Collective::recv)) {
            problems.push_back(where + ": a message is one send or receive");
        }
        return;
    }
    const int contexts = item.kind == ItemKind::overlapped ? 2 : 1;
    if (item.kind != ItemKind::optimizer && chunk.contexts != contexts) {
        problems.push_back(fmt::format("{}: its kind needs {} contexts, template {} has {}", where,
                                       contexts, chunk.name, chunk.contexts));
    }
    for (const Op& op : chunk.ops) {
        const CommOp* comm = op.comm();
        if (comm != nullptr &&
            (comm->group == GroupKind::pipeline || comm->collective == Collective::send ||
             comm->collective == Collective::recv)) {
            problems.push_back(where + ": a message must be an item of its own");
        }
    }
}

void check_instances(const Instances& instances, std::size_t programs, Problems& problems) {
    const bool are_ranks = instances.pipeline_parallel >= 1 && instances.data_parallel >= 1;
    for (const auto& [what, size] : {std::pair("expert", instances.expert_parallel),
                                     std::pair("tensor", instances.tensor_parallel)}) {
        if (!are_ranks || size < 1 || instances.data_parallel % size != 0) {
            problems.push_back(
                fmt::format("{}-parallel groups of {} do not divide {} data-parallel"
                            " ranks",
                            what, size, instances.data_parallel));
        }
    }
    if (are_ranks && instances.data_parallel >
                         std::numeric_limits<std::int32_t>::max() / instances.pipeline_parallel) {
        problems.push_back("more ranks than can be numbered");
    }
    if (static_cast<std::int64_t>(programs) != instances.pipeline_parallel) {
        problems.push_back(fmt::format("{} rank programs for {} pipeline ranks", programs,
                                       instances.pipeline_parallel));
    }
}

}  // namespace

void check_structure(const std::vector<ChunkTemplate>& templates,
                     const std::vector<RankProgram>& programs, const Instances& instances,
                     Problems& problems) {
    check_instances(instances, programs.size(), problems);
    std::set<std::int32_t> held;
    for (std::size_t p = 0; p < programs.size(); ++p) {
        check_stages(programs[p], p, held, problems);
        const std::set<std::int32_t> stages(programs[p].stages.begin(), programs[p].stages.end());
        for (std::size_t i = 0; i < programs[p].items.size(); ++i) {
            const Item& item = programs[p].items[i];
            const std::string where = fmt::format("program {}, item {}", p, i);
            if (item.chunk.index() >= templates.size()) {
                problems.push_back(where + ": names a template that does not exist");
                continue;
            }
            const ChunkTemplate& chunk = templates[item.chunk.index()];
            for (std::size_t c = 0; c < std::min<std::size_t>(chunk.contexts, 2); ++c) {
                if (stages.count(item.contexts[c].stage) == 0) {
                    problems.push_back(where + ": works for a stage that its rank does not hold");
                }
            }
            check_item(item, chunk, programs.size(), where, problems);
        }
    }
    if (!held.empty() && *held.rbegin() != static_cast<std::int64_t>(held.size()) - 1) {
        problems.push_back("a stage before the last one has no holder");
    }
}

MessageKey message_key(const Item& item, const ChunkTemplate& chunk, std::int32_t program) {
    const bool sends = item.kind == ItemKind::send;
    const bool forward = chunk.ops.front().phase == Phase::forward;
    const Context& context = item.contexts.front();
    MessageKey key;
    key.source = sends ? program : item.peer;
    key.destination = sends ? item.peer : program;
    key.direction = context.direction;
    key.micro_batch = context.micro_batch;
    key.forward = forward;
    // Activations go to the next stage, gradients to the one before.
    key.stage = sends ? context.stage : context.stage + (forward ? -1 : 1);
    return key;
}

void check_messages(const std::vector<ChunkTemplate>& templates,
                    const std::vector<RankProgram>& programs, Problems& problems) {
    struct Ends {
        int sends = 0, recvs = 0;
        Extent sent, received;
    };
    std::map<MessageKey, Ends> messages;
    for (std::size_t p = 0; p < programs.size(); ++p) {
        for (const Item& item : programs[p].items) {
            if (item.kind != ItemKind::send && item.kind != ItemKind::recv) {
                continue;
            }
            const ChunkTemplate& chunk = templates[item.chunk.index()];
            Ends& ends = messages[message_key(item, chunk, static_cast<std::int32_t>(p))];
            const Extent payload = chunk.ops.front().comm()->payload_bytes;
            if (item.kind == ItemKind::send) {
                ++ends.sends;
                ends.sent = payload;
            } else {
                ++ends.recvs;
                ends.received = payload;
            }
        }
    }
    for (const auto& [key, ends] : messages) {
        const std::string what = fmt::format(
            "message of stage {}, micro-batch {} (direction {}, {}) from program {} "
            "to {}",
            key.stage, key.micro_batch, key.direction, key.forward ? "forward" : "backward",
            key.source, key.destination);
        if (ends.sends != 1 || ends.recvs != 1) {
            problems.push_back(
                fmt::format("{}: {} sends and {} receives", what, ends.sends, ends.recvs));
        } else if (!(ends.sent == ends.received)) {
            problems.push_back(what + ": the two ends differ in size");
        }
    }
}

bool joins_programs(const Op& op) {
    const CommOp* comm = op.comm();
    return comm != nullptr && comm->group != GroupKind::pipeline && !is_of_one_program(comm->group);
}

std::pair<GroupKind, std::int32_t> collective_group(const Item& item, const Op& op) {
    const GroupKind group = op.comm()->group;
    return {group, is_staged(group) ? item.contexts[op.context].stage : -1};
}

void check_collectives(const std::vector<ChunkTemplate>& templates,
                       const std::vector<RankProgram>& programs, Problems& problems) {
    // What each program does in each (group, stage); groups of no stage count as -1.
    using Step = std::tuple<Collective, double>;
    std::map<std::pair<GroupKind, std::int32_t>, std::map<std::int32_t, std::vector<Step>>> groups;
    std::int32_t last_stage = 0;
    for (const RankProgram& program : programs) {
        for (const std::int32_t stage : program.stages) {
            last_stage = std::max(last_stage, stage);
        }
    }
    for (std::size_t p = 0; p < programs.size(); ++p) {
        const auto program = static_cast<std::int32_t>(p);
        for (const std::int32_t stage : programs[p].stages) {
            groups[{GroupKind::data_parallel, stage}][program];
            groups[{GroupKind::expert_data_parallel, stage}][program];
            groups[{GroupKind::tensor_data_parallel, stage}][program];
            if (stage == 0 || stage == last_stage) {
                groups[{GroupKind::embedding, -1}][program];
            }
        }
        groups[{GroupKind::world, -1}][program];
        for (const Item& item : programs[p].items) {
            for (const Op& op : templates[item.chunk.index()].ops) {
                if (joins_programs(op)) {
                    groups[collective_group(item, op)][program].emplace_back(
                        op.comm()->collective, op.comm()->payload_bytes.constant);
                }
            }
        }
    }
    for (const auto& [group, members] : groups) {
        for (const auto& [program, steps] : members) {
            if (steps != members.begin()->second) {
                problems.push_back(
                    fmt::format("group {} of stage {}: programs {} and {} do not "
                                "take part in the same collectives",
                                name(group.first), group.second, members.begin()->first, program));
            }
        }
    }
}

}  // namespace r1
