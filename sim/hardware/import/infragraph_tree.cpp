#include "sim/hardware/import/infragraph_tree.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "model/base/index.hpp"

namespace r1 {
namespace {

class InfraExpander {
public:
    InfraExpander(const Document& document, const InfraFile& file, InfraBudget& budget,
                  Diagnostics& diagnostics)
        : document_(document), file_(file), budget_(budget), diagnostics_(diagnostics) {}

    InfraTree run(const InfraContainer& container, InfraDepth depth) {
        tree_.nodes.push_back({nullptr, -1, 0, &container, {}, 0});
        if (!add_below(0)) return std::move(tree_);
        const std::size_t last = depth == InfraDepth::own_edges ? 1 : tree_.nodes.size();
        for (std::size_t node = 0; node < last; ++node) {
            const InfraContainer* inside = tree_.nodes[node].inside;
            if (inside == nullptr) continue;
            for (const InfraEdge& edge : inside->edges) {
                if (!join(static_cast<int>(node), *inside, edge)) return std::move(tree_);
            }
        }
        return std::move(tree_);
    }

private:
    bool error(const std::string& pointer, std::string message) {
        diagnostics_.error(document_.diagnostic(pointer, std::move(message)));
        return false;
    }

    // Depth first, so that what is below a node follows it. False: the budget is spent.
    bool add_below(int parent) {
        const InfraContainer& inside = *tree_.nodes[at(parent)].inside;
        for (const InfraComponent& component : inside.components) {
            budget_.nodes -= component.count;
            if (budget_.nodes < 0) {
                return error(component.pointer, "with this, more than a million components");
            }
            tree_.nodes[at(parent)].first.push_back(static_cast<int>(tree_.nodes.size()));
            const InfraContainer* device =
                component.device < 0 ? nullptr : &file_.devices[at(component.device)];
            for (int copy = 0; copy < component.count; ++copy) {
                const int node = static_cast<int>(tree_.nodes.size());
                tree_.nodes.push_back({&component, parent, copy, device, {}, 0});
                if (device != nullptr && !add_below(node)) return false;
                tree_.nodes[at(node)].end = static_cast<int>(tree_.nodes.size());
            }
        }
        tree_.nodes[at(parent)].end = static_cast<int>(tree_.nodes.size());
        return true;
    }

    // The nodes that an end of an edge names. Empty (and an error) if it names none.
    std::vector<int> resolve(int from, const InfraEdge& edge, const std::vector<InfraStep>& steps) {
        std::vector<int> nodes{from};
        for (const InfraStep& step : steps) {
            std::vector<int> next;
            for (const int node : nodes) {
                if (!descend(node, edge, step, next)) return {};
            }
            nodes = std::move(next);
        }
        return nodes;
    }

    bool descend(int from, const InfraEdge& edge, const InfraStep& step, std::vector<int>& out) {
        const InfraNode& node = tree_.nodes[at(from)];
        std::vector<std::string> names;
        const std::size_t count = node.inside == nullptr ? 0 : node.inside->components.size();
        for (std::size_t i = 0; i < count; ++i) {
            const InfraComponent& component = node.inside->components[i];
            names.push_back(component.name);
            if (component.name != step.name) continue;
            const int end = step.end.value_or(component.count);
            if (end > component.count || step.begin >= end) {
                return error(edge.pointer,
                             fmt::format("{}[{}:{}] holds nothing or more than there is: the count "
                                         "is {}",
                                         step.name, step.begin, end, component.count));
            }
            const int size = component_size(node, i);
            for (int copy = step.begin; copy < end; ++copy) {
                out.push_back(node.first[i] + copy * size);
            }
            return true;
        }
        return error(edge.pointer,
                     "there is no " + quote(step.name) + " in " +
                         quote(node.inside == nullptr ? node.component->name : node.inside->name) +
                         did_you_mean(step.name, names));
    }

    // Nodes of one copy of a component: itself and what is in it.
    [[nodiscard]] int component_size(const InfraNode& node, std::size_t index) const {
        const int first = node.first[index];
        return tree_.nodes[at(first)].end - first;
    }

    bool join(int node, const InfraContainer& inside, const InfraEdge& edge) {
        const std::vector<int> a = resolve(node, edge, edge.ends[0]);
        const std::vector<int> b = resolve(node, edge, edge.ends[1]);
        const bool is_same = a == b;
        const auto add = [&](int from, int to) {
            tree_.joins.push_back({from, to, &inside.links[at(edge.link)], &edge});
        };
        const auto many = static_cast<std::int64_t>(a.size()) * static_cast<std::int64_t>(b.size());
        const auto few = static_cast<std::int64_t>(a.size() + b.size());
        // Work counts, not only what it makes: edges that join nothing are looked at, too.
        budget_.joins -= edge.scheme == InfraScheme::many2many ? many + 1 : few + 1;
        if (budget_.joins < 0) return error(edge.pointer, "with this, more than 2 million links");
        if (edge.scheme == InfraScheme::one2one) {
            for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) add(a[i], b[i]);
        } else if (edge.scheme == InfraScheme::many2many) {
            for (std::size_t i = 0; i < a.size(); ++i) {
                for (std::size_t j = is_same ? i + 1 : 0; j < b.size(); ++j) add(a[i], b[j]);
            }
        } else {
            std::vector<int> ring = a;
            if (!is_same) ring.insert(ring.end(), b.begin(), b.end());
            for (std::size_t i = 0; i + 1 < ring.size(); ++i) add(ring[i], ring[i + 1]);
            if (ring.size() > 2) add(ring.back(), ring.front());
        }
        return true;
    }

    const Document& document_;
    const InfraFile& file_;
    InfraBudget& budget_;
    Diagnostics& diagnostics_;
    InfraTree tree_;
};

}  // namespace

InfraKind InfraTree::kind(int node) const {
    const InfraComponent* component = nodes[at(node)].component;
    return component == nullptr ? InfraKind::device : component->kind;
}

std::string InfraTree::name(int node) const {
    std::string out;
    for (int i = node; i > 0; i = nodes[at(i)].parent) {
        const InfraNode& here = nodes[at(i)];
        out =
            fmt::format("{}[{}]{}{}", here.component->name, here.copy, out.empty() ? "" : ".", out);
    }
    return out;
}

int InfraTree::top(int node) const {
    while (nodes[at(node)].parent > 0) node = nodes[at(node)].parent;
    return node;
}

InfraTree expand(const Document& document, const InfraFile& file, const InfraContainer& container,
                 InfraDepth depth, InfraBudget& budget, Diagnostics& diagnostics) {
    return InfraExpander(document, file, budget, diagnostics).run(container, depth);
}

}  // namespace r1
