// What freeze() checks, one function a property. Each appends sentences to `problems`.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/graph/graph.hpp"

namespace r1 {

using Problems = std::vector<std::string>;

// Ops have known kernels, the right numbers of dims and tensors, and read nothing that the
// template produces later; no activation has two producers; shapes and work are sizes.
void check_template(const ChunkTemplate& chunk, Problems& problems);

// Items name templates and stages that exist and have the contexts their kind needs; messages are
// one send or receive; the ranks fit the programs and the groups, and every stage has a holder.
void check_structure(const std::vector<ChunkTemplate>& templates,
                     const std::vector<RankProgram>& programs, const Instances& instances,
                     Problems& problems);

// Every activation that an item reads was produced before on its rank, for the same stage and
// micro-batch; every gradient that the optimizer reads was accumulated.
void check_tensor_flow(const std::vector<ChunkTemplate>& templates,
                       const std::vector<RankProgram>& programs, Problems& problems);

// A pipeline message, as its two ends name it.
struct MessageKey {
    std::int32_t source = 0;  // program
    std::int32_t destination = 0;
    std::int32_t direction = 0;
    std::int32_t micro_batch = 0;
    bool forward = true;
    std::int32_t stage = 0;  // of the sender
    auto operator<=>(const MessageKey&) const = default;
};
// Of a send or recv item of `program`.
MessageKey message_key(const Item& item, const ChunkTemplate& chunk, std::int32_t program);

// Whether the op is a collective of several programs, and of which group and stage (-1: the group
// has none).
bool joins_programs(const Op& op);
std::pair<GroupKind, std::int32_t> collective_group(const Item& item, const Op& op);

// Each send has one receive with the same bytes; collectives of a group are the same sequence on
// all its members; no circle of waiting programs.
void check_messages(const std::vector<ChunkTemplate>& templates,
                    const std::vector<RankProgram>& programs, Problems& problems);
void check_collectives(const std::vector<ChunkTemplate>& templates,
                       const std::vector<RankProgram>& programs, Problems& problems);
void check_order(const std::vector<ChunkTemplate>& templates,
                 const std::vector<RankProgram>& programs, Problems& problems);

}  // namespace r1
