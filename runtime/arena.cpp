#include "runtime/arena.hpp"

#include <algorithm>
#include <map>

#include "kernels/workspace.hpp"
#include "runtime/poison.hpp"

namespace r1 {

namespace {

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
                plan.size[id.index()] = aligned_bytes(stored_bytes(tensor, values, policy));
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
    plan.activation_bytes = block.high();
    return plan;
}

Arena::Arena(std::size_t bytes, Memory& memory)
    : bytes_(bytes), is_host_(memory.is_host()), memory_(allocate_block(memory, bytes)) {
    close(0, bytes_);
}

Arena::~Arena() { open(0, bytes_); }

std::byte* Arena::at(std::size_t offset, std::size_t size) const {
    R1_CHECK(offset <= bytes_ && size <= bytes_ - offset);
    return memory_.get() + offset;
}

std::byte* Arena::open(std::size_t offset, std::size_t size) {
    std::byte* address = at(offset, size);
    if (is_host_) {
        R1_UNPOISON(address, size);
    }
    return address;
}

void Arena::close(std::size_t offset, std::size_t size) {
    if (is_host_) {
        R1_POISON(at(offset, size), size);
    }
}

ChunkBuffers::ChunkBuffers(const ArenaPlan& plan, Arena& arena) : plan_(plan), arena_(arena) {
    arena_.open(plan.activation_bytes, plan.workspace_bytes);
}

ChunkBuffers::~ChunkBuffers() { arena_.close(0, arena_.bytes()); }

std::byte* ChunkBuffers::open(TensorId tensor) {
    std::byte* buffer = at(tensor);
    arena_.open(plan_.offset[tensor.index()], plan_.size[tensor.index()]);
    return buffer;
}

std::byte* ChunkBuffers::at(TensorId tensor) const {
    const std::size_t offset = plan_.offset[tensor.index()];
    R1_CHECK(offset != ArenaPlan::kNowhere);
    R1_CHECK(offset + plan_.size[tensor.index()] <= plan_.activation_bytes);
    return arena_.at(offset, plan_.size[tensor.index()]);
}

void ChunkBuffers::close(TensorId tensor) {
    arena_.close(plan_.offset[tensor.index()], plan_.size[tensor.index()]);
}

std::span<std::byte> ChunkBuffers::workspace() const {
    return {arena_.at(plan_.activation_bytes, plan_.workspace_bytes), plan_.workspace_bytes};
}

}  // namespace r1
