#include "kernels/cpu/threads.hpp"

#include <atomic>
#include <chrono>
#include <thread>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace r1::cpu {

namespace {

constexpr auto kTurn = std::chrono::microseconds(300);
constexpr std::int64_t kTurnElements = 1 << 13;  // a few microseconds: as seldom is the clock read

std::atomic<bool> turns{false};

}  // namespace

void set_turns(bool on) { turns.store(on, std::memory_order_relaxed); }

void take_turns(std::int64_t elements) {
    if (!turns.load(std::memory_order_relaxed)) {
        return;
    }
    thread_local std::int64_t done = 0;
    thread_local auto began = std::chrono::steady_clock::now();
    done += elements;
    if (done < kTurnElements) {
        return;
    }
    done = 0;
    if (std::chrono::steady_clock::now() - began >= kTurn) {
        std::this_thread::yield();
        began = std::chrono::steady_clock::now();
    }
}

#ifdef _OPENMP
namespace {

std::atomic<std::int64_t> set_count{0};  // OpenMP's own setting is of one thread only

}  // namespace

std::int64_t thread_count() {
    const std::int64_t count = set_count.load(std::memory_order_relaxed);
    return count > 0 ? count : omp_get_max_threads();
}
void set_thread_count(std::int64_t count) { set_count.store(count, std::memory_order_relaxed); }
std::int64_t thread_index() { return omp_get_thread_num(); }
#else
std::int64_t thread_count() { return 1; }
void set_thread_count(std::int64_t /*count*/) {}
std::int64_t thread_index() { return 0; }
#endif

}  // namespace r1::cpu
