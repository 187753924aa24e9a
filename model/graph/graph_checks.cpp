#include "model/graph/graph_checks.hpp"

#include <map>
#include <set>
#include <tuple>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/strong_components.hpp>
#include <fmt/format.h>

namespace r1 {

namespace {

struct Arity {
    int inputs_min, inputs_max, outputs_min, outputs_max;
};

Arity arity_of(const CommOp& comm) {
    switch (comm.collective) {
        case Collective::send:
            return {1, 1, 0, 0};
        case Collective::recv:
            return {0, 0, 1, 1};
        case Collective::dispatch:
            return {1, 5, 1, 4};
        case Collective::combine:
            return {1, 4, 1, 2};
        default:
            return {1, 4096, 1, 4096};
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

using TensorKey = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::string>;

TensorKey key_of(const Item& item, const Tensor& tensor) {
    const Context& context = item.contexts[tensor.context];
    return {context.stage, context.direction, context.micro_batch, tensor.name};
}

std::string describe(const TensorKey& key) {
    return fmt::format("'{}' of stage {}, direction {}, micro-batch {}", std::get<3>(key),
                       std::get<0>(key), std::get<1>(key), std::get<2>(key));
}

}  // namespace

void check_template(const ChunkTemplate& chunk, Problems& problems) {
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
                problems.push_back(fmt::format("template {}, op {} ({}): reads '{}' before op {} "
                                               "produces it",
                                               chunk.name, i, kind_name(op), tensor.name,
                                               producer[input.index()].value));
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

void check_structure(const std::vector<ChunkTemplate>& templates,
                     const std::vector<RankProgram>& programs, const Instances& instances,
                     Problems& problems) {
    if (instances.pipeline_parallel < 1 || instances.data_parallel < 1 ||
        instances.expert_parallel < 1 ||
        instances.data_parallel % instances.expert_parallel != 0) {
        problems.push_back(fmt::format("expert-parallel groups of {} do not divide {} data-parallel"
                                       " ranks",
                                       instances.expert_parallel, instances.data_parallel));
    }
    if (static_cast<int>(programs.size()) != instances.pipeline_parallel) {
        problems.push_back(fmt::format("{} rank programs for {} pipeline ranks", programs.size(),
                                       instances.pipeline_parallel));
    }
    for (std::size_t p = 0; p < programs.size(); ++p) {
        const std::set<std::int32_t> stages(programs[p].stages.begin(), programs[p].stages.end());
        for (std::size_t i = 0; i < programs[p].items.size(); ++i) {
            const Item& item = programs[p].items[i];
            const std::string where = fmt::format("program {}, item {}", p, i);
            if (item.chunk.index() >= templates.size()) {
                problems.push_back(where + ": names a template that does not exist");
                continue;
            }
            for (int c = 0; c < templates[item.chunk.index()].contexts; ++c) {
                if (stages.count(item.contexts[static_cast<std::size_t>(c)].stage) == 0) {
                    problems.push_back(where + ": works for a stage that its rank does not hold");
                }
            }
            const bool message = item.kind == ItemKind::send || item.kind == ItemKind::recv;
            if (message && (item.peer < 0 || item.peer >= static_cast<int>(programs.size()))) {
                problems.push_back(where + ": its peer does not exist");
            }
            const ChunkTemplate& chunk = templates[item.chunk.index()];
            if (message && (chunk.ops.size() != 1 || chunk.ops.front().comm() == nullptr)) {
                problems.push_back(where + ": a message is one communication op");
            }
        }
    }
}

void check_tensor_flow(const std::vector<ChunkTemplate>& templates,
                       const std::vector<RankProgram>& programs, Problems& problems) {
    std::vector<std::vector<TensorId>> externals;
    for (const ChunkTemplate& chunk : templates) {
        externals.push_back(external_activations(chunk));
    }
    for (std::size_t p = 0; p < programs.size(); ++p) {
        std::set<TensorKey> available;
        std::set<std::pair<std::int32_t, std::string>> accumulated;
        for (std::size_t i = 0; i < programs[p].items.size(); ++i) {
            const Item& item = programs[p].items[i];
            const ChunkTemplate& chunk = templates[item.chunk.index()];
            const auto complain = [&](const std::string& what) {
                problems.push_back(fmt::format("program {}, item {} ({} {}): {}", p, i,
                                               name(item.kind), chunk.name, what));
            };
            for (const TensorId id : externals[item.chunk.index()]) {
                const TensorKey key = key_of(item, chunk.tensors[id.index()]);
                if (available.count(key) == 0) {
                    complain("nothing produces " + describe(key));
                }
            }
            for (const Op& op : chunk.ops) {
                for (const TensorId id : op.inputs) {
                    const Tensor& tensor = chunk.tensors[id.index()];
                    const std::int32_t stage = item.contexts[tensor.context].stage;
                    if (op.phase == Phase::optimizer && tensor.role == TensorRole::gradient &&
                        accumulated.count({stage, tensor.name}) == 0) {
                        complain("nothing accumulates gradient '" + tensor.name + "'");
                    }
                }
                for (const TensorId id : op.outputs) {
                    const Tensor& tensor = chunk.tensors[id.index()];
                    if (tensor.role == TensorRole::activation) {
                        available.insert(key_of(item, tensor));
                    } else if (tensor.role == TensorRole::gradient) {
                        accumulated.insert({item.contexts[tensor.context].stage, tensor.name});
                    }
                }
            }
        }
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
        const std::string what =
            fmt::format("message of stage {}, micro-batch {} (direction {}, {}) from program {} "
                        "to {}",
                        key.stage, key.micro_batch, key.direction,
                        key.forward ? "forward" : "backward", key.source, key.destination);
        if (ends.sends != 1 || ends.recvs != 1) {
            problems.push_back(fmt::format("{}: {} sends and {} receives", what, ends.sends,
                                           ends.recvs));
        } else if (!(ends.sent == ends.received)) {
            problems.push_back(what + ": the two ends differ in size");
        }
    }
}

void check_collectives(const std::vector<ChunkTemplate>& templates,
                       const std::vector<RankProgram>& programs, Problems& problems) {
    // What each program does in each (group, stage); groups of no stage count as -1.
    using Step = std::tuple<Collective, double>;
    std::map<std::pair<GroupKind, std::int32_t>, std::map<std::int32_t, std::vector<Step>>> groups;
    for (std::size_t p = 0; p < programs.size(); ++p) {
        const auto program = static_cast<std::int32_t>(p);
        for (const std::int32_t stage : programs[p].stages) {
            groups[{GroupKind::data_parallel, stage}][program];
            groups[{GroupKind::expert_data_parallel, stage}][program];
        }
        groups[{GroupKind::world, -1}][program];
        for (const Item& item : programs[p].items) {
            for (const Op& op : templates[item.chunk.index()].ops) {
                const CommOp* comm = op.comm();
                if (comm == nullptr || comm->group == GroupKind::pipeline ||
                    comm->group == GroupKind::expert_parallel) {
                    continue;
                }
                const bool staged = comm->group == GroupKind::data_parallel ||
                                    comm->group == GroupKind::expert_data_parallel;
                const std::int32_t stage = staged ? item.contexts[op.context].stage : -1;
                groups[{comm->group, stage}][program].emplace_back(comm->collective,
                                                                   comm->payload_bytes.constant);
            }
        }
    }
    for (const auto& [group, members] : groups) {
        for (const auto& [program, steps] : members) {
            if (steps != members.begin()->second) {
                problems.push_back(fmt::format("group {} of stage {}: programs {} and {} do not "
                                               "take part in the same collectives",
                                               name(group.first), group.second,
                                               members.begin()->first, program));
            }
        }
    }
}

void check_order(const std::vector<ChunkTemplate>& templates,
                 const std::vector<RankProgram>& programs, Problems& problems) {
    // Vertices are items. Chunks wait for the chunk before and for the messages that they read;
    // sends for their chunk; receives for their send.
    boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS> order;
    std::map<MessageKey, std::size_t> sends;
    std::map<MessageKey, std::size_t> recvs;
    std::vector<std::pair<std::size_t, std::size_t>> origin;
    for (std::size_t p = 0; p < programs.size(); ++p) {
        std::map<TensorKey, std::size_t> producer;
        std::size_t last_chunk = static_cast<std::size_t>(-1);
        for (std::size_t i = 0; i < programs[p].items.size(); ++i) {
            const Item& item = programs[p].items[i];
            const ChunkTemplate& chunk = templates[item.chunk.index()];
            const std::size_t vertex = boost::add_vertex(order);
            origin.emplace_back(p, i);
            for (const TensorId id : external_activations(chunk)) {
                const auto found = producer.find(key_of(item, chunk.tensors[id.index()]));
                if (found != producer.end()) {
                    boost::add_edge(found->second, vertex, order);
                }
            }
            for (const Op& op : chunk.ops) {
                for (const TensorId id : op.outputs) {
                    producer[key_of(item, chunk.tensors[id.index()])] = vertex;
                }
            }
            if (item.kind == ItemKind::send || item.kind == ItemKind::recv) {
                auto& ends = item.kind == ItemKind::send ? sends : recvs;
                ends[message_key(item, chunk, static_cast<std::int32_t>(p))] = vertex;
            } else {
                if (last_chunk != static_cast<std::size_t>(-1)) {
                    boost::add_edge(last_chunk, vertex, order);
                }
                last_chunk = vertex;
            }
        }
    }
    for (const auto& [key, send] : sends) {
        const auto recv = recvs.find(key);
        if (recv != recvs.end()) {
            boost::add_edge(send, recv->second, order);
        }
    }
    std::vector<std::size_t> component(boost::num_vertices(order));
    const std::size_t components = boost::strong_components(
        order, boost::make_iterator_property_map(component.begin(),
                                                 boost::get(boost::vertex_index, order)));
    if (components == component.size()) {
        return;
    }
    std::vector<int> size(components);
    for (const std::size_t c : component) {
        ++size[c];
    }
    for (std::size_t v = 0; v < component.size(); ++v) {
        if (size[component[v]] > 1) {
            const auto [p, i] = origin[v];
            problems.push_back(fmt::format("program {}, item {} waits for itself, through {} items "
                                           "of other programs",
                                           p, i, size[component[v]] - 1));
            return;
        }
    }
}

}  // namespace r1
