#include "runtime/process_memory.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

namespace r1 {

std::int64_t peak_memory_bytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

std::int64_t resident_memory_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::int64_t total_pages = 0;
    std::int64_t resident_pages = 0;
    statm >> total_pages >> resident_pages;
    return resident_pages * sysconf(_SC_PAGESIZE);
}

std::int64_t available_memory_bytes() {
    std::int64_t available = std::numeric_limits<std::int64_t>::max();
    std::ifstream system("/proc/meminfo");
    for (std::string line; std::getline(system, line);) {
        std::istringstream words(line);
        std::string name;
        std::int64_t kilobytes = 0;
        if (words >> name >> kilobytes && name == "MemAvailable:") {
            available = kilobytes * 1024;
        }
    }
    std::ifstream limit("/sys/fs/cgroup/memory.max");  // "max", or bytes
    std::int64_t bytes = 0;
    return limit >> bytes ? std::min(available, bytes) : available;
}

}  // namespace r1
