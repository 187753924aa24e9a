// One block of memory for all activations of a chunk, laid out before anything runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/graph/op.hpp"
#include "runtime/memory.hpp"
#include "runtime/storage.hpp"

namespace r1 {

// Where each activation lies, from the op that makes it to the last op that reads it; behind them
// lies the kernels' workspace.
struct ArenaPlan {
    static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

    std::size_t activation_bytes = 0;
    std::size_t workspace_bytes = 0;
    std::vector<std::size_t> offset;  // by tensor; kNowhere: not an activation of this chunk
    std::vector<std::size_t> size;    // by tensor
    std::vector<std::vector<TensorId>> dies;  // by op: buffers that nobody reads after it

    [[nodiscard]] std::size_t bytes() const { return activation_bytes + workspace_bytes; }
};

// First fit in op order. Tensors for which `keep` holds live to the end.
ArenaPlan plan_arena(const ChunkTemplate& chunk, const SymbolValues& values,
                     const ExecutionPolicy& policy, const std::function<bool(const Tensor&)>& keep);

// The block itself: exactly `bytes`, poisoned under AddressSanitizer but for what is in use.
class Arena {
public:
    explicit Arena(std::size_t bytes, Memory& memory = host_memory());
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] std::byte* at(std::size_t offset, std::size_t size) const;  // within the block
    std::byte* open(std::size_t offset, std::size_t size);
    void close(std::size_t offset, std::size_t size);

private:
    std::size_t bytes_;
    bool is_host_;
    MemoryBlock memory_;
};

// The buffers of one run of a chunk in an arena that is at least as large as its plan.
class ChunkBuffers {
public:
    ChunkBuffers(const ArenaPlan& plan, Arena& arena);
    ~ChunkBuffers();
    ChunkBuffers(const ChunkBuffers&) = delete;
    ChunkBuffers& operator=(const ChunkBuffers&) = delete;

    // The buffer of a tensor that an op is about to write.
    std::byte* open(TensorId tensor);
    [[nodiscard]] std::byte* at(TensorId tensor) const;
    void close(TensorId tensor);
    [[nodiscard]] std::span<std::byte> workspace() const;

private:
    const ArenaPlan& plan_;
    Arena& arena_;
};

}  // namespace r1
