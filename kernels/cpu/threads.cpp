#include "kernels/cpu/threads.hpp"

#ifdef _OPENMP
#include <atomic>

#include <omp.h>
#endif

namespace r1::cpu {

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
