#include "runtime/clock_alignment.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <span>
#include <string>

#include "runtime/executor.hpp"

namespace r1 {

namespace {

constexpr int kRounds = 32;

// Another one after each start of a machine; empty where the system does not say.
std::string machine() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    std::getline(file, id);
    return id;
}

void send(const Everyone& ranks, int to, TimePs value) {
    ranks.communicator
        .send(to, ranks.channel, MessageKind::report, std::as_bytes(std::span(&value, 1)))
        ->wait();
}

TimePs receive(const Everyone& ranks, int from) {
    TimePs value = 0;
    ranks.communicator
        .receive(from, ranks.channel, MessageKind::report,
                 std::as_writable_bytes(std::span(&value, 1)))
        ->wait();
    return value;
}

}  // namespace

TimePs measured_clock_offset(const Everyone& ranks, const std::function<TimePs()>& clock) {
    if (ranks.communicator.rank() == 0) {
        for (int other = 1; other < ranks.communicator.ranks(); ++other) {
            for (int round = 0; round < kRounds; ++round) {
                receive(ranks, other);
                send(ranks, other, clock());
            }
        }
        return 0;
    }
    TimePs fastest = std::numeric_limits<TimePs>::max();
    TimePs offset = 0;
    for (int round = 0; round < kRounds; ++round) {
        const TimePs begin = clock();
        send(ranks, 0, begin);
        const TimePs there = receive(ranks, 0);
        const TimePs end = clock();
        if (end - begin < fastest) {
            fastest = end - begin;
            offset = there - (begin + (end - begin) / 2);
        }
    }
    return offset;
}

TimePs clock_offset(const Everyone& ranks) {
    const std::vector<std::string> machines = gather_texts(ranks, machine());
    const bool same = !machines.front().empty() &&
                      std::all_of(machines.begin(), machines.end(),
                                  [&](const std::string& id) { return id == machines.front(); });
    return same ? 0 : measured_clock_offset(ranks, clock_ps);
}

}  // namespace r1
