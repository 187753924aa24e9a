#include "runtime/memory.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "kernels/workspace.hpp"

namespace r1 {

namespace {

class HostMemory final : public Memory {
public:
    std::byte* allocate(std::size_t bytes) override {
        return static_cast<std::byte*>(::operator new (std::max<std::size_t>(bytes, 1),
                                                       std::align_val_t{kWorkspaceAlignment}));
    }
    void release(std::byte* memory) noexcept override {
        ::operator delete (memory, std::align_val_t{kWorkspaceAlignment});
    }
    [[nodiscard]] bool is_host() const override { return true; }
    void copy(void* to, const void* from, std::size_t bytes) override {
        if (bytes > 0) {
            std::memmove(to, from, bytes);  // a rank's own part may lie where it belongs
        }
    }
    void finish() override {}
    void zero(void* to, std::size_t bytes) override {
        if (bytes > 0) {
            std::memset(to, 0, bytes);
        }
    }
};

}  // namespace

Memory& host_memory() {
    static HostMemory memory;
    return memory;
}

}  // namespace r1
