// The checks of graph_checks.hpp that follow tensors from item to item. A step has some million
// (item, tensor) pairs, so names become numbers first, and only those that cross a chunk's border
// are followed at all.
#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include <fmt/format.h>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/strong_components.hpp>

#include "model/graph/graph_checks.hpp"

namespace r1 {

namespace {

using NameId = std::uint32_t;

struct Use {
    TensorId tensor;
    std::uint8_t context = 0;
    NameId name = 0;
};

// What one chunk takes from the chunks before it and leaves to those after it.
struct Border {
    std::vector<Use> needed;  // activations
    std::vector<Use> made;    // activations that any template needs
    std::vector<Use> gradients_needed;
    std::vector<Use> gradients_made;
};

class Borders {
public:
    explicit Borders(const std::vector<ChunkTemplate>& templates) : borders_(templates.size()) {
        for (std::size_t t = 0; t < templates.size(); ++t) {
            for (const TensorId id : external_activations(templates[t])) {
                borders_[t].needed.push_back(use(templates[t], id, activations_));
            }
        }
        for (std::size_t t = 0; t < templates.size(); ++t) {
            add_outputs(templates[t], borders_[t]);
            add_gradients(templates[t], borders_[t]);
        }
    }

    [[nodiscard]] const Border& of(const Item& item) const { return borders_[item.chunk.index()]; }
    [[nodiscard]] std::size_t activations() const { return activations_.size(); }
    [[nodiscard]] std::size_t gradients() const { return gradients_.size(); }

private:
    using Names = std::unordered_map<std::string_view, NameId>;

    static Use use(const ChunkTemplate& chunk, TensorId id, Names& names) {
        const Tensor& tensor = chunk.tensors[id.index()];
        const auto name = static_cast<NameId>(names.size());
        return {id, tensor.context, names.try_emplace(tensor.name, name).first->second};
    }

    void add_outputs(const ChunkTemplate& chunk, Border& border) {
        for (const Op& op : chunk.ops) {
            for (const TensorId id : op.outputs) {
                const Tensor& tensor = chunk.tensors[id.index()];
                if (tensor.role == TensorRole::activation && activations_.count(tensor.name) > 0) {
                    border.made.push_back(use(chunk, id, activations_));
                }
            }
        }
    }

    // In the order of the ops: what an op accumulates, the optimizer may read after it.
    void add_gradients(const ChunkTemplate& chunk, Border& border) {
        std::vector<bool> made(chunk.tensors.size());
        for (const Op& op : chunk.ops) {
            for (const TensorId id : op.inputs) {
                if (op.phase == Phase::optimizer && !made[id.index()] &&
                    chunk.tensors[id.index()].role == TensorRole::gradient) {
                    border.gradients_needed.push_back(use(chunk, id, gradients_));
                }
            }
            for (const TensorId id : op.outputs) {
                if (!made[id.index()] && chunk.tensors[id.index()].role == TensorRole::gradient) {
                    made[id.index()] = true;
                    border.gradients_made.push_back(use(chunk, id, gradients_));
                }
            }
        }
    }

    std::vector<Border> borders_;  // by template
    Names activations_;            // that some template needs
    Names gradients_;
};

// The last item of a program that made each activation, by (stage, direction, micro-batch).
class Producers {
public:
    static constexpr std::uint32_t kNone = static_cast<std::uint32_t>(-1);

    explicit Producers(std::size_t names) : names_(names) {}

    // The list of a context, by name.
    std::vector<std::uint32_t>& of(const Context& context) {
        std::vector<std::uint32_t>& list =
            by_context_[{context.stage, context.direction, context.micro_batch}];
        if (list.empty()) {
            list.resize(names_, kNone);
        }
        return list;
    }
    void produce(const Item& item, const Border& border, std::uint32_t producer) {
        for (const Use& use : border.made) {
            of_item(item, use)[use.name] = producer;
        }
    }
    std::uint32_t find(const Item& item, const Use& use) { return of_item(item, use)[use.name]; }

private:
    // Most uses of an item are of the context of the one before.
    std::vector<std::uint32_t>& of_item(const Item& item, const Use& use) {
        const Context& context = item.contexts[use.context];
        if (last_ == nullptr || !(context == last_context_)) {
            last_ = &of(context);
            last_context_ = context;
        }
        return *last_;
    }

    std::size_t names_;
    std::map<std::tuple<std::int32_t, std::int32_t, std::int32_t>, std::vector<std::uint32_t>>
        by_context_;
    Context last_context_;
    std::vector<std::uint32_t>* last_ = nullptr;  // maps do not move their values
};

// The gradients of each stage that some item accumulated.
using Accumulated = std::map<std::int32_t, std::vector<bool>>;

void check_item_flow(const Item& item, const ChunkTemplate& chunk, const Border& border,
                     const std::vector<Context>& given, Producers& producers,
                     Accumulated& accumulated, const std::string& where, Problems& problems,
                     std::size_t gradient_names) {
    for (const Use& use : border.needed) {
        const Context& context = item.contexts[use.context];
        if (producers.find(item, use) == Producers::kNone &&
            std::find(given.begin(), given.end(), context) == given.end()) {
            problems.push_back(
                fmt::format("{}: nothing produces '{}' of stage {}, direction {}, micro-batch {}",
                            where, chunk.tensors[use.tensor.index()].name, context.stage,
                            context.direction, context.micro_batch));
        }
    }
    const auto of_stage = [&](const Use& use) -> std::vector<bool>& {
        std::vector<bool>& list = accumulated[item.contexts[use.context].stage];
        list.resize(gradient_names);
        return list;
    };
    for (const Use& use : border.gradients_needed) {
        if (!of_stage(use)[use.name]) {
            problems.push_back(fmt::format("{}: nothing accumulates gradient '{}'", where,
                                           chunk.tensors[use.tensor.index()].name));
        }
    }
    for (const Use& use : border.gradients_made) {
        of_stage(use)[use.name] = true;
    }
}

}  // namespace

void check_tensor_flow(const std::vector<ChunkTemplate>& templates,
                       const std::vector<RankProgram>& programs, Problems& problems) {
    const Borders borders(templates);
    for (std::size_t p = 0; p < programs.size(); ++p) {
        Producers producers(borders.activations());
        Accumulated accumulated;
        for (std::size_t i = 0; i < programs[p].items.size(); ++i) {
            const Item& item = programs[p].items[i];
            const ChunkTemplate& chunk = templates[item.chunk.index()];
            const std::string where =
                fmt::format("program {}, item {} ({} {})", p, i, name(item.kind), chunk.name);
            const Border& border = borders.of(item);
            check_item_flow(item, chunk, border, programs[p].given, producers, accumulated, where,
                            problems, borders.gradients());
            producers.produce(item, border, 0);
        }
    }
}

namespace {

// Vertices are items and collectives. A chunk waits for the chunk before and for the messages that
// it reads; a send for its chunk and the send before; a receive for its send and the receive
// before. A collective waits for what comes before it on every member, and no member goes on
// without it.
class Order {
public:
    Order(const std::vector<ChunkTemplate>& templates, const std::vector<RankProgram>& programs)
        : templates_(templates), borders_(templates) {
        for (std::size_t p = 0; p < programs.size(); ++p) {
            add_program(static_cast<std::int32_t>(p), programs[p]);
        }
        for (const auto& [key, send] : sends_) {
            if (const auto recv = recvs_.find(key); recv != recvs_.end()) {
                boost::add_edge(send, recv->second, order_);
            }
        }
    }

    void check(Problems& problems) const {
        std::vector<std::size_t> component(boost::num_vertices(order_));
        const std::size_t components = boost::strong_components(
            order_, boost::make_iterator_property_map(component.begin(),
                                                      boost::get(boost::vertex_index, order_)));
        if (components == component.size()) {
            return;
        }
        std::vector<int> size(components);
        for (const std::size_t c : component) {
            ++size[c];
        }
        for (std::size_t v = 0; v < component.size(); ++v) {
            if (size[component[v]] > 1) {
                problems.push_back(
                    fmt::format("program {}, item {} waits for itself, through {} "
                                "items and collectives of other programs",
                                origin_[v].first, origin_[v].second, size[component[v]] - 1));
                return;
            }
        }
    }

private:
    static constexpr std::uint32_t kNone = Producers::kNone;
    using Vertex = std::uint32_t;
    // Group, stage (-1: no stage), and how many collectives of the group came before.
    using CollectiveKey = std::tuple<GroupKind, std::int32_t, int>;

    Vertex add_vertex(std::int32_t program, std::size_t item) {
        origin_.emplace_back(program, item);
        return static_cast<Vertex>(boost::add_vertex(order_));
    }
    void wait(Vertex later, Vertex earlier) {
        if (earlier != kNone) {
            boost::add_edge(earlier, later, order_);
        }
    }

    void add_program(std::int32_t program, const RankProgram& rank) {
        Producers producers(borders_.activations());
        std::map<std::pair<GroupKind, std::int32_t>, int> collectives;
        Vertex last_chunk = kNone;
        Vertex last_send = kNone;
        Vertex last_recv = kNone;
        for (std::size_t i = 0; i < rank.items.size(); ++i) {
            const Item& item = rank.items[i];
            const ChunkTemplate& chunk = templates_[item.chunk.index()];
            const Border& border = borders_.of(item);
            const Vertex vertex = add_vertex(program, i);
            wait_for_inputs(vertex, item, border, producers);
            producers.produce(item, border, vertex);
            if (item.kind == ItemKind::send) {
                wait(vertex, last_send);
                last_send = vertex;
                sends_[message_key(item, chunk, program)] = vertex;
            } else if (item.kind == ItemKind::recv) {
                wait(vertex, last_recv);
                last_recv = vertex;
                recvs_[message_key(item, chunk, program)] = vertex;
            } else {
                wait(vertex, last_chunk);
                add_collectives(vertex, last_chunk, item, chunk, collectives);
                last_chunk = vertex;
            }
        }
    }

    void wait_for_inputs(Vertex vertex, const Item& item, const Border& border,
                         Producers& producers) {
        before_.clear();
        for (const Use& use : border.needed) {
            before_.push_back(producers.find(item, use));
        }
        std::sort(before_.begin(), before_.end());
        before_.erase(std::unique(before_.begin(), before_.end()), before_.end());
        for (const Vertex earlier : before_) {
            wait(vertex, earlier);
        }
    }

    void add_collectives(Vertex vertex, Vertex last_chunk, const Item& item,
                         const ChunkTemplate& chunk,
                         std::map<std::pair<GroupKind, std::int32_t>, int>& counts) {
        Vertex previous = last_chunk;
        for (const Op& op : chunk.ops) {
            if (!joins_programs(op)) {
                continue;
            }
            const auto group = collective_group(item, op);
            const CollectiveKey key = {group.first, group.second, counts[group]++};
            const auto [entry, is_new] = collectives_.try_emplace(key, kNone);
            if (is_new) {
                entry->second = add_vertex(origin_[vertex].first, origin_[vertex].second);
            }
            wait(entry->second, previous);
            wait(vertex, entry->second);
            previous = entry->second;
        }
    }

    const std::vector<ChunkTemplate>& templates_;
    Borders borders_;
    boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS> order_;
    std::vector<std::pair<std::int32_t, std::size_t>> origin_;  // program, item
    std::map<MessageKey, Vertex> sends_;
    std::map<MessageKey, Vertex> recvs_;
    std::map<CollectiveKey, Vertex> collectives_;
    std::vector<Vertex> before_;
};

}  // namespace

void check_order(const std::vector<ChunkTemplate>& templates,
                 const std::vector<RankProgram>& programs, Problems& problems) {
    Order(templates, programs).check(problems);
}

}  // namespace r1
