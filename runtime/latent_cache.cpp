#include "runtime/latent_cache.hpp"

#include "kernels/workspace.hpp"

namespace r1 {

namespace {

// Calls body(tensor, bytes of all sequences) for each cache tensor.
template <class Body>
void for_caches(const ChunkTemplate& chunk, std::int64_t sequences, std::int64_t capacity,
                const ExecutionPolicy& policy, const Body& body) {
    for (const Tensor& tensor : chunk.tensors) {
        if (tensor.role == TensorRole::cache) {
            const std::size_t rows = static_cast<std::size_t>(sequences * capacity);
            body(tensor, aligned_bytes(rows * stored_row_bytes(tensor, policy)));
        }
    }
}

}  // namespace

std::size_t LatentCache::planned_bytes(const ChunkTemplate& chunk, std::int64_t sequences,
                                       std::int64_t capacity, const ExecutionPolicy& policy) {
    std::size_t total = 0;
    for_caches(chunk, sequences, capacity, policy,
               [&](const Tensor&, std::size_t bytes) { total += bytes; });
    return total;
}

LatentCache::LatentCache(const ChunkTemplate& chunk, std::int64_t sequences, std::int64_t capacity,
                         const ExecutionPolicy& policy, Memory& memory)
    : sequences_(sequences) {
    std::size_t total = 0;
    for_caches(chunk, sequences, capacity, policy, [&](const Tensor& tensor, std::size_t bytes) {
        const std::size_t sequence_bytes =
            static_cast<std::size_t>(capacity) * stored_row_bytes(tensor, policy);
        blocks_[tensor.name] = {total, sequence_bytes};
        total += bytes;
    });
    memory_ = allocate_block(memory, total);
    memory.zero(memory_.get(), total);
}

std::byte* LatentCache::at(const std::string& name, std::int64_t sequence) const {
    const auto found = blocks_.find(name);
    R1_CHECK(found != blocks_.end() && sequence >= 0 && sequence < sequences_);
    return memory_.get() + found->second.offset +
           static_cast<std::size_t>(sequence) * found->second.sequence_bytes;
}

}  // namespace r1
