#include "runtime/arena.hpp"

#include <cmath>
#include <cstdlib>
#include <map>
#include <new>

#include "model/base/check.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define R1_POISON(address, size) __asan_poison_memory_region(address, size)
#define R1_UNPOISON(address, size) __asan_unpoison_memory_region(address, size)
#else
#define R1_POISON(address, size) (static_cast<void>(address), static_cast<void>(size))
#define R1_UNPOISON(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace r1 {

namespace {

constexpr std::size_t kAlignment = 64;

std::size_t aligned(std::size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Free ranges of a block that has no end; `high` is the most that was ever in use.
class FirstFit {
public:
    std::size_t take(std::size_t size) {
        for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
            if (hole->second >= size) {
                const std::size_t offset = hole->first;
                const std::size_t rest = hole->second - size;
                holes_.erase(hole);
                if (rest > 0) {
                    holes_[offset + size] = rest;
                }
                return offset;
            }
        }
        // The last hole may reach the end: then it only needs to grow.
        std::size_t offset = high_;
        if (!holes_.empty() && holes_.rbegin()->first + holes_.rbegin()->second == high_) {
            offset = holes_.rbegin()->first;
            holes_.erase(std::prev(holes_.end()));
        }
        high_ = offset + size;
        return offset;
    }

    void give(std::size_t offset, std::size_t size) {
        auto [hole, is_new] = holes_.emplace(offset, size);
        R1_CHECK(is_new);
        const auto next = std::next(hole);
        if (next != holes_.end() && hole->first + hole->second == next->first) {
            hole->second += next->second;
            holes_.erase(next);
        }
        if (hole != holes_.begin()) {
            const auto before = std::prev(hole);
            if (before->first + before->second == hole->first) {
                before->second += hole->second;
                holes_.erase(hole);
            }
        }
    }

    [[nodiscard]] std::size_t high() const { return high_; }

private:
    std::map<std::size_t, std::size_t> holes_;  // offset, size
    std::size_t high_ = 0;
};

std::size_t stored_bytes(const Tensor& tensor, const SymbolValues& values,
                         const ExecutionPolicy& policy) {
    const double count = elements(tensor).value(values);
    return static_cast<std::size_t>(std::ceil(count * bits(stored_as(tensor, policy)) / 8));
}

}  // namespace

ArenaPlan plan_arena(const ChunkTemplate& chunk, const SymbolValues& values,
                     const ExecutionPolicy& policy,
                     const std::function<bool(const Tensor&)>& keep) {
    ArenaPlan plan;
    plan.offset.assign(chunk.tensors.size(), ArenaPlan::kNowhere);
    plan.size.assign(chunk.tensors.size(), 0);
    plan.dies.resize(chunk.ops.size());
    std::vector<std::size_t> last_use(chunk.tensors.size(), 0);
    for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
        for (const auto* list : {&chunk.ops[i].inputs, &chunk.ops[i].outputs}) {
            for (const TensorId id : *list) {
                last_use[id.index()] = i;
            }
        }
    }
    FirstFit block;
    for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
        for (const TensorId id : chunk.ops[i].outputs) {
            const Tensor& tensor = chunk.tensors[id.index()];
            if (tensor.role == TensorRole::activation) {
                plan.size[id.index()] = aligned(stored_bytes(tensor, values, policy));
                plan.offset[id.index()] = block.take(plan.size[id.index()]);
            }
        }
        for (const auto* list : {&chunk.ops[i].inputs, &chunk.ops[i].outputs}) {
            for (const TensorId id : *list) {
                const bool dead = last_use[id.index()] == i && !keep(chunk.tensors[id.index()]);
                const bool open = plan.offset[id.index()] != ArenaPlan::kNowhere;
                if (dead && open && plan.size[id.index()] > 0) {
                    block.give(plan.offset[id.index()], plan.size[id.index()]);
                    plan.dies[i].push_back(id);
                    last_use[id.index()] = static_cast<std::size_t>(-1);  // an op may name it twice
                }
            }
        }
    }
    plan.bytes = block.high();
    return plan;
}

Arena::Arena(const ArenaPlan& plan) : plan_(plan) {
    if (plan.bytes > 0) {
        memory_ = static_cast<std::byte*>(std::aligned_alloc(kAlignment, plan.bytes));
        if (memory_ == nullptr) {
            throw std::bad_alloc();
        }
        R1_POISON(memory_, plan.bytes);
    }
}

Arena::~Arena() {
    if (memory_ != nullptr) {
        R1_UNPOISON(memory_, plan_.bytes);
        std::free(memory_);
    }
}

std::byte* Arena::open(TensorId tensor) {
    std::byte* address = at(tensor);
    R1_UNPOISON(address, plan_.size[tensor.index()]);
    return address;
}

std::byte* Arena::at(TensorId tensor) const {
    const std::size_t offset = plan_.offset[tensor.index()];
    R1_CHECK(offset != ArenaPlan::kNowhere);
    R1_CHECK(offset + plan_.size[tensor.index()] <= plan_.bytes);
    return memory_ + offset;
}

void Arena::close(TensorId tensor) { R1_POISON(at(tensor), plan_.size[tensor.index()]); }

}  // namespace r1
