#include "model/graph/algorithms.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <boost/graph/topological_sort.hpp>

namespace r1 {

namespace {

// Compressed rows: an adjacency_list of a full step would take several times the memory.
using OpDag = boost::compressed_sparse_row_graph<boost::directedS>;
using Edges = std::vector<std::pair<std::size_t, std::size_t>>;

// Ops of all programs, then one vertex without length for each collective that joins programs:
// what any member waits for goes before it, and all members come after it.
class OpVertices {
public:
    OpVertices(const ExecutionGraph& graph, const Dependencies& dependencies) {
        for (std::uint32_t p = 0; p < graph.programs().size(); ++p) {
            std::vector<std::size_t>& first = first_.emplace_back();
            const std::vector<Item>& items = graph.programs()[p].items;
            for (std::uint32_t i = 0; i < items.size(); ++i) {
                first.push_back(ops_.size());
                const auto count =
                    static_cast<std::uint32_t>(graph.chunk(items[i].chunk).ops.size());
                for (std::uint32_t op = 0; op < count; ++op) {
                    ops_.push_back({p, i, op});
                }
            }
        }
        size_ = ops_.size() + dependencies.collectives().size();
    }

    [[nodiscard]] std::size_t of(ProgramOp op) const { return first_[op.program][op.item] + op.op; }
    [[nodiscard]] std::size_t of_collective(std::size_t index) const { return ops_.size() + index; }
    [[nodiscard]] const std::vector<ProgramOp>& ops() const { return ops_; }
    [[nodiscard]] std::size_t size() const { return size_; }

private:
    std::vector<std::vector<std::size_t>> first_;  // by program, item: vertex of its first op
    std::vector<ProgramOp> ops_;                   // by vertex
    std::size_t size_ = 0;
};

Edges edges_of(const OpVertices& vertices, const Dependencies& dependencies) {
    Edges edges;
    std::vector<ProgramOp> before;
    for (const ProgramOp op : vertices.ops()) {
        const std::size_t vertex = vertices.of(op);
        std::size_t waits = vertex;
        if (const auto collective = dependencies.collective_of(op)) {
            waits = vertices.of_collective(*collective);
            edges.emplace_back(waits, vertex);
        }
        before.clear();
        dependencies.append_local(op, before);
        if (const auto send = dependencies.send_of(op)) {
            before.push_back(*send);
        }
        for (const ProgramOp earlier : before) {
            edges.emplace_back(vertices.of(earlier), waits);
        }
    }
    return edges;
}

}  // namespace

TimePs critical_path_length(const ExecutionGraph& graph,
                            const std::function<TimePs(ProgramOp)>& duration) {
    const Dependencies dependencies(graph);
    const OpVertices vertices(graph, dependencies);
    const Edges edges = edges_of(vertices, dependencies);
    const OpDag dag(boost::edges_are_unsorted, edges.begin(), edges.end(), vertices.size());
    std::vector<std::size_t> order;  // last first; boost::not_a_dag if a frozen graph has a circle
    order.reserve(vertices.size());
    boost::topological_sort(dag, std::back_inserter(order));

    std::vector<TimePs> start(vertices.size());
    TimePs longest = 0;
    for (auto vertex = order.rbegin(); vertex != order.rend(); ++vertex) {
        TimePs end = start[*vertex];
        if (*vertex < vertices.ops().size()) {
            const ProgramOp op = vertices.ops()[*vertex];
            const Item& item = graph.programs()[op.program].items[op.item];
            end += item.kind == ItemKind::recv ? 0 : duration(op);
        }
        longest = std::max(longest, end);
        const auto [begin, stop] = boost::out_edges(*vertex, dag);
        for (auto edge = begin; edge != stop; ++edge) {
            TimePs& next = start[boost::target(*edge, dag)];
            next = std::max(next, end);
        }
    }
    return longest;
}

}  // namespace r1
