// What each op of a program waits for: within its item, in earlier items of its program, and in
// other programs. Tensor names are turned into numbers once, so that a query compares no strings.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "model/graph/graph.hpp"

namespace r1 {

struct ProgramOp {
    std::uint32_t program = 0;
    std::uint32_t item = 0;  // of the program
    std::uint32_t op = 0;    // of the item's template
    auto operator<=>(const ProgramOp&) const = default;
};

class Dependencies {
public:
    explicit Dependencies(const ExecutionGraph& graph);  // keeps a reference

    // Appends the ops of the same program that `op` waits for: the one before it on its stream, and
    // the producers of the activations and gradients that it reads. May name an op twice.
    void append_local(ProgramOp op, std::vector<ProgramOp>& out) const;

    // The send of the message that a recv op receives; nullopt for other ops.
    [[nodiscard]] std::optional<ProgramOp> send_of(ProgramOp op) const;

    // Collectives that join programs (data_parallel, expert_data_parallel, embedding, world), each
    // as the ops of its members. The n-th of a group and stage is the same on all members.
    [[nodiscard]] const std::vector<std::vector<ProgramOp>>& collectives() const {
        return collectives_;
    }
    // Index into collectives(); nullopt if the op is in none.
    [[nodiscard]] std::optional<std::size_t> collective_of(ProgramOp op) const;

private:
    static constexpr std::uint32_t kNone = 0xFFFFFFFF;

    // A tensor that comes from an earlier item.
    struct External {
        std::uint32_t name = 0;
        std::uint8_t context = 0;
        bool gradient = false;  // of the stage, accumulated over micro-batches
        bool global = false;    // a gradient of the whole model: any stage of the rank adds to it
    };
    struct TemplateTable {
        std::vector<std::uint32_t> local_begin;  // by op, and the end
        std::vector<std::uint32_t> local;
        std::vector<std::uint32_t> external_begin;  // by op, and the end
        std::vector<External> external;
        std::array<std::uint32_t, kStreamCount> first{};            // op of each stream, or kNone
        std::array<std::uint32_t, kStreamCount> last{};             // likewise
        std::unordered_map<std::uint64_t, std::uint32_t> produced;  // (context, name) to its op
    };
    struct ContextUse {
        std::uint32_t item = 0;
        std::uint8_t context = 0;  // of the item
    };
    using Uses = std::unordered_map<std::uint64_t, std::vector<ContextUse>>;
    struct ProgramTable {
        // By item and stream: the last item before it that uses the stream, or kNone.
        std::vector<std::array<std::uint32_t, kStreamCount>> before;
        Uses by_context;
        Uses by_stage;
    };

    void add_template(const ChunkTemplate& chunk,
                      std::unordered_map<std::string, std::uint32_t>& names);
    void add_program(std::uint32_t program);
    void add_collectives(std::uint32_t program);
    [[nodiscard]] const Item& item_of(ProgramOp op) const {
        return graph_.programs()[op.program].items[op.item];
    }
    [[nodiscard]] std::optional<ProgramOp> producer(ProgramOp reader, const External& tensor) const;

    const ExecutionGraph& graph_;
    std::vector<TemplateTable> templates_;
    std::vector<ProgramTable> programs_;
    std::map<ProgramOp, ProgramOp> send_of_;
    std::vector<std::vector<ProgramOp>> collectives_;
    std::map<ProgramOp, std::size_t> collective_of_;
    // group, stage (-1: none), how many came before it
    using CollectiveKey = std::array<std::int64_t, 3>;
    std::map<CollectiveKey, std::size_t> collective_by_key_;
};

}  // namespace r1
