// One block of memory for all activations of a chunk, laid out before anything runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/graph/op.hpp"
#include "runtime/storage.hpp"

namespace r1 {

// Where each activation lies, from the op that makes it to the last op that reads it.
struct ArenaPlan {
    static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

    std::size_t bytes = 0;
    std::vector<std::size_t> offset;  // by tensor; kNowhere: not an activation of this chunk
    std::vector<std::size_t> size;    // by tensor
    std::vector<std::vector<TensorId>> dies;  // by op: buffers that nobody reads after it
};

// First fit in op order. Tensors for which `keep` holds live to the end.
ArenaPlan plan_arena(const ChunkTemplate& chunk, const SymbolValues& values,
                     const ExecutionPolicy& policy, const std::function<bool(const Tensor&)>& keep);

// The block itself: exactly `plan.bytes`, dead parts poisoned under AddressSanitizer.
class Arena {
public:
    explicit Arena(const ArenaPlan& plan);
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    // The buffer of a tensor that an op is about to write.
    std::byte* open(TensorId tensor);
    [[nodiscard]] std::byte* at(TensorId tensor) const;
    void close(TensorId tensor);

private:
    const ArenaPlan& plan_;
    std::byte* memory_ = nullptr;
};

}  // namespace r1
