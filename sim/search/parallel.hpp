// Independent work on several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace r1 {

// Calls work(i) for each i below `count` on `jobs` threads, and done(number of calls that ended)
// after each, by one thread at a time. What a call throws ends the others and is thrown on.
template <class Work, class Done>
void for_each_in_parallel(std::size_t count, int jobs, Work work, Done done) {
    std::atomic<std::size_t> next = 0;
    std::size_t ended = 0;
    std::exception_ptr problem;
    std::mutex mutex;
    const auto run = [&] {
        for (std::size_t i = next++; i < count; i = next++) {
            try {
                work(i);
            } catch (...) {
                const std::lock_guard lock(mutex);
                problem = problem ? problem : std::current_exception();
                next = count;
                return;
            }
            const std::lock_guard lock(mutex);
            done(++ended);
        }
    };
    {
        std::vector<std::jthread> threads;
        const auto wanted = std::min(count, static_cast<std::size_t>(std::max(1, jobs)));
        for (std::size_t i = 1; i < wanted; ++i) {
            threads.emplace_back(run);
        }
        run();
    }
    if (problem) {
        std::rethrow_exception(problem);
    }
}

}  // namespace r1
