// The execution graph of one step: chunk templates, one program per pipeline rank, and the ranks
// that run them. It repeats nothing: a step of 2048 ranks and some hundred million kernel launches
// is a few thousand stored ops. runtime/ executes it, sim/ replays it.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "model/graph/op.hpp"
#include "model/schedule/schedule.hpp"

namespace r1 {

// The (stage, micro-batch) that a chunk works for.
struct Context {
    std::int32_t stage = 0;
    std::int32_t direction = 0;
    std::int32_t micro_batch = 0;
    auto operator<=>(const Context&) const = default;
};

enum class ItemKind : std::uint8_t {
    forward,          // F
    backward_input,   // B
    backward_weight,  // W
    backward,         // BW
    overlapped,       // FB: contexts[0] forward, contexts[1] backward
    send,
    recv,
    optimizer,
};
std::string_view name(ItemKind kind);
inline bool is_chunk(ItemKind kind) {
    return kind != ItemKind::send && kind != ItemKind::recv && kind != ItemKind::optimizer;
}

// One entry of a rank program: a chunk, a pipeline message, or the optimizer step.
struct Item {
    ItemKind kind = ItemKind::forward;
    TemplateId chunk;
    std::array<Context, 2> contexts{};
    std::int32_t peer = -1;  // messages: the pipeline rank at the other end
    bool operator==(const Item&) const = default;
};

struct RankProgram {
    std::vector<std::int32_t> stages;  // that the rank holds, ascending
    std::vector<Item> items;           // each stream runs its ops in this order
    // What ran before the program begins: activations of these are there without a producer. A
    // step has none; an excerpt of one (the published trace) begins in the middle of things.
    std::vector<Context> given{};
    bool operator==(const RankProgram&) const = default;
};

// Which GPU runs which program. GPUs are numbered pipeline rank first, so that an expert-parallel
// group is a run of neighbours and a pipeline message stays on its rail.
struct Instances {
    std::int32_t pipeline_parallel = 1;  // programs
    std::int32_t data_parallel = 1;      // ranks that run each program, those of tensor groups too
    std::int32_t expert_parallel = 1;    // divides data_parallel
    std::int32_t tensor_parallel = 1;    // divides data_parallel
    bool operator==(const Instances&) const = default;

    [[nodiscard]] std::int32_t ranks() const { return pipeline_parallel * data_parallel; }
    [[nodiscard]] RankId rank(std::int32_t program, std::int32_t replica) const {
        return RankId(static_cast<std::size_t>(program * data_parallel + replica));
    }
    [[nodiscard]] std::int32_t program_of(RankId rank) const {
        return static_cast<std::int32_t>(rank.value) / data_parallel;
    }
    [[nodiscard]] std::int32_t replica_of(RankId rank) const {
        return static_cast<std::int32_t>(rank.value) % data_parallel;
    }
};

struct GraphHash {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    bool operator==(const GraphHash&) const = default;
    [[nodiscard]] std::string hex() const;
};

// Frozen: made by GraphBuilder::freeze() only.
class ExecutionGraph {
public:
    [[nodiscard]] const std::vector<ChunkTemplate>& templates() const { return templates_; }
    [[nodiscard]] const ChunkTemplate& chunk(TemplateId id) const { return templates_[id.index()]; }
    [[nodiscard]] const std::vector<RankProgram>& programs() const { return programs_; }
    [[nodiscard]] const Instances& instances() const { return instances_; }
    // Programs whose ranks hold a copy of the stage, ascending.
    [[nodiscard]] const std::vector<std::int32_t>& holders(std::int32_t stage) const {
        return holders_[static_cast<std::size_t>(stage)];
    }
    [[nodiscard]] std::int32_t stages() const { return static_cast<std::int32_t>(holders_.size()); }

    [[nodiscard]] GraphHash hash() const { return hash_; }
    [[nodiscard]] std::int64_t ops() const { return ops_; }                // instantiated
    [[nodiscard]] std::int64_t edges() const { return edges_; }            // instantiated
    [[nodiscard]] std::int64_t ops_stored() const { return ops_stored_; }  // held

    // Ranks of the group of `kind` that `rank` communicates in for `stage` (used by groups that
    // is_staged() only), ascending.
    [[nodiscard]] std::vector<RankId> group(GroupKind kind, RankId rank, std::int32_t stage) const;
    [[nodiscard]] std::int64_t group_size(GroupKind kind, std::int32_t stage) const;

private:
    friend class GraphBuilder;

    std::vector<ChunkTemplate> templates_;
    std::vector<RankProgram> programs_;
    Instances instances_;
    std::vector<std::vector<std::int32_t>> holders_;  // by stage
    GraphHash hash_;
    std::int64_t ops_ = 0;
    std::int64_t edges_ = 0;
    std::int64_t ops_stored_ = 0;
};

// Content hash (XXH3, 128 bit) of templates, programs and instances: all but names for people.
GraphHash hash_of(const std::vector<ChunkTemplate>& templates,
                  const std::vector<RankProgram>& programs, const Instances& instances);
GraphHash hash_of(const ChunkTemplate& chunk);

}  // namespace r1
