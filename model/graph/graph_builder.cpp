#include "model/graph/graph_builder.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "model/graph/graph_checks.hpp"

namespace r1 {

namespace {

std::string join(const std::vector<std::string>& problems) {
    constexpr std::size_t kShown = 20;
    std::string text = "the execution graph is not valid";
    for (std::size_t i = 0; i < std::min(problems.size(), kShown); ++i) {
        text += "\n  " + problems[i];
    }
    if (problems.size() > kShown) {
        text += fmt::format("\n  and {} more", problems.size() - kShown);
    }
    return text;
}

}  // namespace

GraphError::GraphError(std::vector<std::string> problems)
    : std::runtime_error(join(problems)), problems_(std::move(problems)) {}

std::string_view name(ItemKind kind) {
    static constexpr std::array<std::string_view, 8> names = {"F",  "B",    "W",    "BW",
                                                              "FB", "send", "recv", "optimizer"};
    return names[static_cast<std::size_t>(kind)];
}

GraphBuilder::GraphBuilder(Instances instances) : instances_(instances) {}

TemplateId GraphBuilder::add(ChunkTemplate chunk) {
    const std::uint64_t key = hash_of(chunk).low;
    const auto [begin, end] = by_hash_.equal_range(key);
    for (auto it = begin; it != end; ++it) {
        const ChunkTemplate& known = templates_[it->second.index()];
        if (known.contexts == chunk.contexts && known.tensors == chunk.tensors &&
            known.ops == chunk.ops) {
            return it->second;
        }
    }
    const TemplateId id(templates_.size());
    templates_.push_back(std::move(chunk));
    by_hash_.emplace(key, id);
    return id;
}

void GraphBuilder::add(RankProgram program) { programs_.push_back(std::move(program)); }

ExecutionGraph GraphBuilder::freeze() {
    std::vector<std::string> problems;
    for (const ChunkTemplate& chunk : templates_) {
        check_template(chunk, problems);
    }
    check_structure(templates_, programs_, instances_, problems);
    if (problems.empty()) {  // the checks below rely on those above
        check_tensor_flow(templates_, programs_, problems);
        check_messages(templates_, programs_, problems);
        check_collectives(templates_, programs_, problems);
        check_order(templates_, programs_, problems);
    }
    if (!problems.empty()) {
        throw GraphError(std::move(problems));
    }

    ExecutionGraph graph;
    graph.templates_ = std::move(templates_);
    graph.programs_ = std::move(programs_);
    graph.instances_ = instances_;
    graph.hash_ = hash_of(graph.templates_, graph.programs_, graph.instances_);

    std::vector<std::int64_t> template_edges;
    for (const ChunkTemplate& chunk : graph.templates_) {
        graph.ops_stored_ += static_cast<std::int64_t>(chunk.ops.size());
        auto edges = static_cast<std::int64_t>(external_activations(chunk).size());
        for (const std::vector<OpIndex>& before : predecessors(chunk)) {
            edges += static_cast<std::int64_t>(before.size());
        }
        template_edges.push_back(edges);
    }
    for (std::size_t p = 0; p < graph.programs_.size(); ++p) {
        for (const std::int32_t stage : graph.programs_[p].stages) {
            if (graph.holders_.size() <= static_cast<std::size_t>(stage)) {
                graph.holders_.resize(static_cast<std::size_t>(stage) + 1);
            }
            graph.holders_[static_cast<std::size_t>(stage)].push_back(static_cast<std::int32_t>(p));
        }
        for (const Item& item : graph.programs_[p].items) {
            graph.ops_ += static_cast<std::int64_t>(graph.chunk(item.chunk).ops.size());
            // A receive also waits for its send.
            graph.edges_ += template_edges[item.chunk.index()] + (item.kind == ItemKind::recv);
        }
    }
    graph.ops_ *= instances_.data_parallel;
    graph.edges_ *= instances_.data_parallel;
    return graph;
}

std::int64_t ExecutionGraph::group_size(GroupKind kind, std::int32_t stage) const {
    const auto copies = [&] { return static_cast<std::int64_t>(holders(stage).size()); };
    switch (kind) {
        case GroupKind::pipeline: return 2;
        case GroupKind::expert_parallel: return instances_.expert_parallel;
        case GroupKind::data_parallel: return instances_.data_parallel * copies();
        case GroupKind::expert_data_parallel:
            return instances_.data_parallel / instances_.expert_parallel * copies();
        case GroupKind::tensor_parallel: return instances_.tensor_parallel;
        case GroupKind::tensor_data_parallel:
            return instances_.data_parallel / instances_.tensor_parallel * copies();
        case GroupKind::embedding:
            return static_cast<std::int64_t>(holders_.front().size() + holders_.back().size());
        case GroupKind::world: return instances_.ranks();
    }
    return 1;
}

std::vector<RankId> ExecutionGraph::group(GroupKind kind, RankId rank, std::int32_t stage) const {
    std::vector<RankId> members;
    const std::int32_t program = instances_.program_of(rank);
    const std::int32_t replica = instances_.replica_of(rank);
    const auto add_neighbours = [&](std::int32_t size) {
        for (std::int32_t i = 0; i < size; ++i) {
            members.push_back(instances_.rank(program, replica / size * size + i));
        }
    };
    const auto add_holders = [&](std::int32_t step) {
        for (const std::int32_t holder : holders(stage)) {
            for (std::int32_t i = replica % step; i < instances_.data_parallel; i += step) {
                members.push_back(instances_.rank(holder, i));
            }
        }
    };
    switch (kind) {
        case GroupKind::pipeline:
            members.push_back(rank);  // the peer is the item's
            break;
        case GroupKind::expert_parallel: add_neighbours(instances_.expert_parallel); break;
        case GroupKind::tensor_parallel: add_neighbours(instances_.tensor_parallel); break;
        case GroupKind::data_parallel: add_holders(1); break;
        case GroupKind::expert_data_parallel: add_holders(instances_.expert_parallel); break;
        case GroupKind::tensor_data_parallel: add_holders(instances_.tensor_parallel); break;
        case GroupKind::embedding:
            for (const auto* ends : {&holders_.front(), &holders_.back()}) {
                for (const std::int32_t holder : *ends) {
                    members.push_back(instances_.rank(holder, replica));
                }
            }
            break;
        case GroupKind::world:
            for (std::int32_t i = 0; i < instances_.ranks(); ++i) {
                members.push_back(RankId(static_cast<std::size_t>(i)));
            }
            break;
    }
    return members;
}

}  // namespace r1
