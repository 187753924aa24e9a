#include "kernels/cpu/threads.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace r1::cpu {

#ifdef _OPENMP
std::int64_t thread_count() { return omp_get_max_threads(); }
void set_thread_count(std::int64_t count) { omp_set_num_threads(static_cast<int>(count)); }
std::int64_t thread_index() { return omp_get_thread_num(); }
#else
std::int64_t thread_count() { return 1; }
void set_thread_count(std::int64_t /*count*/) {}
std::int64_t thread_index() { return 0; }
#endif

}  // namespace r1::cpu
