// Scratch memory of a kernel: kernels allocate nothing, so the caller passes as many bytes as the
// kernel's `..._workspace_bytes(args)` says, aligned to kWorkspaceAlignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/base/check.hpp"

namespace r1 {

inline constexpr std::size_t kWorkspaceAlignment = 64;

inline constexpr std::size_t aligned_bytes(std::size_t bytes) {
    return (bytes + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
}

template <class T>
constexpr std::size_t workspace_bytes_of(std::int64_t count) {
    return aligned_bytes(static_cast<std::size_t>(count) * sizeof(T));
}

// Hands out pieces of a workspace from front to back.
class Carver {
public:
    explicit Carver(std::span<std::byte> workspace) : rest_(workspace) {
        const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
        R1_CHECK(address % kWorkspaceAlignment == 0);
    }

    template <class T>
    T* take(std::int64_t count) {
        const std::size_t bytes = workspace_bytes_of<T>(count);
        R1_CHECK(bytes <= rest_.size());
        T* piece = reinterpret_cast<T*>(rest_.data());
        rest_ = rest_.subspan(bytes);
        return piece;
    }

private:
    std::span<std::byte> rest_;
};

}  // namespace r1
