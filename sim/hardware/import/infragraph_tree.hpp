// An InfraGraph container with every copy of every component as a node, and its edges between them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/hardware/import/infragraph_file.hpp"

namespace r1 {

struct InfraNode {
    const InfraComponent* component = nullptr;  // nullptr: the container itself
    int parent = -1;
    int copy = 0;
    const InfraContainer* inside = nullptr;  // of a device, and of the container itself
    std::vector<int> first;                  // of its components: the node of copy 0
    int end = 0;                             // nodes below this one: (itself, end)
};

struct InfraJoin {
    int a = 0;
    int b = 0;
    const InfraLink* link = nullptr;
    const InfraEdge* edge = nullptr;
};

struct InfraTree {
    std::vector<InfraNode> nodes;  // 0 is the container; a node's descendants follow it
    std::vector<InfraJoin> joins;

    [[nodiscard]] InfraKind kind(int node) const;
    [[nodiscard]] std::string name(int node) const;  // "host[2].nic[1]"
    // The node right below the container that this one is or lies in.
    [[nodiscard]] int top(int node) const;
};

// How much expanding all containers of a file may make, together: counts are numbers that a file
// of a few bytes can hold.
struct InfraBudget {
    std::int64_t nodes = 1'000'000;
    std::int64_t joins = 2'000'000;
};

enum class InfraDepth { own_edges, all_edges };  // those of devices inside, too

// Problems of the edges (unknown components, slices beyond the count) go to `diagnostics`.
InfraTree expand(const Document& document, const InfraFile& file, const InfraContainer& container,
                 InfraDepth depth, InfraBudget& budget, Diagnostics& diagnostics);

}  // namespace r1
