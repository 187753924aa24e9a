// The latent caches of a batch of sequences: of each cache tensor of the graph, one block of
// `capacity` rows a sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "model/graph/op.hpp"
#include "runtime/memory.hpp"
#include "runtime/storage.hpp"

namespace r1 {

class LatentCache {
public:
    // For the cache tensors that `chunk` names; zero until written. Throws std::bad_alloc.
    LatentCache(const ChunkTemplate& chunk, std::int64_t sequences, std::int64_t capacity,
                const ExecutionPolicy& policy, Memory& memory = host_memory());

    // What the constructor allocates.
    static std::size_t planned_bytes(const ChunkTemplate& chunk, std::int64_t sequences,
                                     std::int64_t capacity, const ExecutionPolicy& policy);

    // First row of `sequence` in the cache of that name.
    [[nodiscard]] std::byte* at(const std::string& name, std::int64_t sequence) const;

private:
    struct Block {
        std::size_t offset = 0;
        std::size_t sequence_bytes = 0;
    };

    std::int64_t sequences_;
    std::map<std::string, Block> blocks_;
    MemoryBlock memory_;
};

}  // namespace r1
