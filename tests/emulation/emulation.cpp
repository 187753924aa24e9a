#include "tests/emulation/emulation.hpp"

#include <setjmp.h>  // NOLINT: _setjmp leaves the signal mask alone, which would cost a system call
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#include "model/base/check.hpp"
#include "tests/emulation/memory.hpp"

namespace r1::emulation {

Index3 thread_index;
Index3 block_index;
Index3 block_size;
Index3 grid_size;

namespace {

constexpr std::size_t kStackBytes = 256 * 1024;
constexpr unsigned kWarp = 32;

enum class State { ready, at_block_barrier, at_warp_barrier, at_condition, done };

// A fiber is made once and then runs one thread after the other.
struct Fiber {
    std::unique_ptr<std::byte[]> stack;
    ucontext_t first{};
    jmp_buf place{};
    bool started = false;
    State state = State::done;
    const std::function<bool()>* condition = nullptr;  // of State::at_condition
    Index3 index;
    unsigned number = 0;
};

struct Warp {
    unsigned waiting = 0;
    std::array<unsigned, kWarp> exchanges{};  // of each lane
    std::array<std::array<std::byte, kWarp * kSlotBytes>, 2> slots{};
};

class Block {
public:
    void run(const std::function<void()>& thread, unsigned threads, Order order);

    void wait(State why);
    void wait_until(const std::function<bool()>& condition, bool gives_way);
    void run_threads();
    std::byte* slots();
    [[nodiscard]] unsigned lane() const { return current_->number % kWarp; }

    std::vector<std::byte> shared;

private:
    void prepare(unsigned threads);
    bool run_warps(unsigned threads, Order order, bool all);
    bool run_warp(unsigned first, unsigned last, Order order);
    void resume(Fiber& fiber);
    void leave();
    void release(State why, unsigned begin, unsigned end);
    [[noreturn]] void fail(std::exception_ptr why);

    std::vector<std::unique_ptr<Fiber>> fibers_;
    std::vector<Warp> warps_;
    const std::function<void()>* thread_ = nullptr;
    Fiber* current_ = nullptr;
    jmp_buf scheduler_{};
    unsigned threads_ = 0;
    unsigned waiting_ = 0;
    std::exception_ptr error_;
};

Block block;
Order thread_order = Order::ascending;
// In random order: which warps are skipped, and which of them more often.
std::minstd_rand skips;
std::uint32_t slow_warps = 0;
std::recursive_mutex one_grid;

void fiber_main() { block.run_threads(); }

Index3 index_of(std::size_t number, Index3 size) {
    const auto n = static_cast<unsigned>(number);
    return {n % size.x, n / size.x % size.y, n / size.x / size.y};
}

void Block::prepare(unsigned threads) {
    while (fibers_.size() < threads) {
        auto fiber = std::make_unique<Fiber>();
        fiber->stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
        fiber->number = static_cast<unsigned>(fibers_.size());
        fibers_.push_back(std::move(fiber));
    }
    for (unsigned i = 0; i < threads; ++i) {
        fibers_[i]->state = State::ready;
        fibers_[i]->index = index_of(i, block_size);
    }
    warps_.assign((threads + kWarp - 1) / kWarp, {});
    threads_ = threads;
    waiting_ = 0;
}

void Block::resume(Fiber& fiber) {
    current_ = &fiber;
    thread_index = fiber.index;
    if (_setjmp(scheduler_) != 0) {
        return;  // the fiber has given up its turn
    }
    if (fiber.started) {
        _longjmp(fiber.place, 1);
    }
    fiber.started = true;
    getcontext(&fiber.first);
    fiber.first.uc_stack.ss_sp = fiber.stack.get();
    // Tops of stacks a power of two apart would share the same few lines of the cache.
    fiber.first.uc_stack.ss_size = kStackBytes - fiber.number % 128 * 576;
    fiber.first.uc_link = nullptr;
    makecontext(&fiber.first, fiber_main, 0);
    setcontext(&fiber.first);
}

void Block::leave() {
    if (_setjmp(current_->place) == 0) {
        _longjmp(scheduler_, 1);
    }
}

// The life of a fiber.
void Block::run_threads() {
    for (;;) {
        try {
            (*thread_)();
        } catch (...) {
            error_ = std::current_exception();
        }
        current_->state = State::done;
        leave();
    }
}

void Block::release(State why, unsigned begin, unsigned end) {
    for (unsigned i = begin; i < end; ++i) {
        if (fibers_[i]->state == why) {
            fibers_[i]->state = State::ready;
        }
    }
}

void Block::wait(State why) {
    current_->state = why;
    const unsigned first = current_->number / kWarp * kWarp;
    const unsigned last = std::min(first + kWarp, threads_);
    Warp& warp = warps_[current_->number / kWarp];
    if (why == State::at_block_barrier && ++waiting_ == threads_) {
        waiting_ = 0;
        release(why, 0, threads_);
    } else if (why == State::at_warp_barrier && ++warp.waiting == last - first) {
        warp.waiting = 0;
        release(why, first, last);
    }
    leave();
}

std::byte* Block::slots() {
    Warp& warp = warps_[current_->number / kWarp];
    return warp.slots[warp.exchanges[lane()]++ % 2].data();
}

void Block::wait_until(const std::function<bool()>& condition, bool gives_way) {
    if (gives_way || !condition()) {
        current_->condition = &condition;
        current_->state = State::at_condition;
        leave();
    }
}

// Fibers that wait will never end: new ones take their place.
void Block::fail(std::exception_ptr why) {
    fibers_.clear();
    error_ = nullptr;
    std::rethrow_exception(std::move(why));
}

// The threads of a warp, until all of them wait for other warps or are done.
bool Block::run_warp(unsigned first, unsigned last, Order order) {
    bool someone_ran = false;
    for (unsigned i = first; i < last; ++i) {
        Fiber& fiber = *fibers_[i];
        if (fiber.state == State::at_condition && (*fiber.condition)()) {
            fiber.state = State::ready;
        }
    }
    for (bool again = true; again;) {
        again = false;
        for (unsigned i = first; i < last; ++i) {
            Fiber& fiber = *fibers_[order == Order::descending ? first + last - 1 - i : i];
            if (fiber.state == State::ready) {
                again = true;
                someone_ran = true;
                resume(fiber);
                if (error_) {
                    fail(error_);
                }
            }
        }
    }
    return someone_ran;
}

// A turn of all warps, or of some.
bool Block::run_warps(unsigned threads, Order order, bool all) {
    bool someone_ran = false;
    for (unsigned first = 0; first < threads; first += kWarp) {
        const unsigned begin = order == Order::descending ? threads - kWarp - first : first;
        const unsigned turns = (slow_warps >> first / kWarp % 32 & 1U) != 0 ? 16 : 2;
        if (all || skips() % turns == 0) {
            someone_ran |= run_warp(begin, begin + kWarp, order);
        }
    }
    return someone_ran;
}

void Block::run(const std::function<void()>& thread, unsigned threads, Order order) {
    thread_ = &thread;
    prepare(threads);
    while (run_warps(threads, order, order != Order::random) || run_warps(threads, order, true)) {
    }
    const auto end = fibers_.begin() + threads;
    if (!std::all_of(fibers_.begin(), end, [](auto& f) { return f->state == State::done; })) {
        fail(std::make_exception_ptr(InternalError("threads wait for what others never do")));
    }
}

}  // namespace

void set_order(Order order, unsigned seed) {
    thread_order = order;
    skips.seed(seed);
    slow_warps = static_cast<std::uint32_t>(skips());
    slow_warps &= static_cast<std::uint32_t>(skips());  // a quarter
}

void run_grid(Index3 grid, Index3 threads, std::size_t shared_bytes,
              const std::function<void()>& thread) {
    constexpr std::size_t kSharedMax = 227 * 1024;  // of a Hopper block
    const unsigned count = threads.x * threads.y * threads.z;
    R1_CHECK(count >= 1 && count <= 1024 && count % kWarp == 0 && shared_bytes <= kSharedMax);
    R1_CHECK(grid.x < (1U << 31U) && grid.y < 65536 && grid.z < 65536);
    const std::lock_guard lock(one_grid);
    const DeviceAccess access;
    grid_size = grid;
    block_size = threads;
    const std::size_t blocks = std::size_t{grid.x} * grid.y * grid.z;
    for (std::size_t i = 0; i < blocks; ++i) {
        block_index = index_of(thread_order == Order::descending ? blocks - 1 - i : i, grid);
        block.shared.assign(shared_bytes + alignof(std::max_align_t), std::byte{0xFF});
        block.run(thread, count, thread_order);
    }
}

void block_barrier() { block.wait(State::at_block_barrier); }
void warp_barrier() { block.wait(State::at_warp_barrier); }
void wait_until(const std::function<bool()>& condition) {
    block.wait_until(condition, thread_order == Order::random);
}
void give_way() {
    block.wait_until([] { return true; }, true);
}
unsigned lane() { return block.lane(); }
std::byte* shared_memory() { return block.shared.data(); }
std::byte* exchange_slots() { return block.slots(); }

}  // namespace r1::emulation
