// One rank of a test job, started by mpirun: the conformance suite, or a job that fails as named.
//   mpi_tests conformance       what every transport must do, and the channels of MPI
//   mpi_tests huge              a message over 2 GiB; by hand, it needs 5 GB of memory
//   mpi_tests FAILURE FOLDER    fails (failing_ranks.bats); each rank leaves its process id in
//   FOLDER
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <unistd.h>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"
#include "runtime/collectives.hpp"
#include "runtime/mpi_communicator.hpp"
#include "tests/runtime/communicator_conformance.hpp"

namespace r1 {
namespace {

std::vector<int> everyone(const Communicator& rank) {
    std::vector<int> ranks;
    for (int r = 0; r < rank.ranks(); ++r) ranks.push_back(r);
    return ranks;
}

// Small channels are their own tags, large ones have tags of the other half.
void check_tags() {
    for (const int tag_max : {32767, 2147483647}) {
        const auto half = static_cast<std::uint64_t>(tag_max / 2);
        for (const std::uint64_t channel : {std::uint64_t{0}, std::uint64_t{5}, half}) {
            R1_CHECK(static_cast<std::uint64_t>(mpi_tag(channel, tag_max)) == channel);
        }
        for (std::uint64_t channel = half + 1; channel != 0; channel *= 2) {
            const int tag = mpi_tag(channel, tag_max);
            R1_CHECK(tag > tag_max / 2 && tag <= tag_max);
            if (channel > (~std::uint64_t{0} / 2)) break;
        }
    }
}

// Looks for two channels that share a tag and uses both: at once is an error, in turn is not.
void check_tag_collision(Communicator& rank) {
    std::unordered_map<int, std::uint64_t> seen;  // looked up only
    std::uint64_t first = 0;
    std::uint64_t second = std::uint64_t{1} << 40U;
    for (;; ++second) {
        const auto [place, added] = seen.try_emplace(mpi_tag(second, 2147483647), second);
        first = place->second;
        if (!added) break;
    }
    std::byte byte{};
    const std::byte sent{7};
    const auto receive = [&](std::uint64_t channel) {
        return rank.receive(rank.rank(), channel, MessageKind::notify, std::span(&byte, 1));
    };
    {
        const auto pending = receive(first);
        bool refused = false;
        try {
            receive(second);
        } catch (const CommunicatorError&) {
            refused = true;
        }
        R1_CHECK(refused);
        rank.send(rank.rank(), first, MessageKind::notify, std::span(&sent, 1))->wait();
        pending->wait();
    }
    rank.send(rank.rank(), second, MessageKind::notify, std::span(&sent, 1))->wait();
    receive(second)->wait();
    R1_CHECK(byte == sent);
}

void conformance(Communicator& rank) {
    const std::vector<int> group = everyone(rank);
    const auto passed = [&](const std::string& name) {
        barrier({rank, group, 1000});
        if (rank.rank() == 0) std::printf("ok %s\n", name.c_str());
    };
    R1_CHECK(rank.ranks() == 4);
    for (const testing::ConformanceCase& test : testing::conformance_cases()) {
        test.run(rank);
        passed(test.name);
    }
    check_tags();
    check_tag_collision(rank);
    passed("channels that share a tag");
}

void huge(Communicator& rank) {
    constexpr std::size_t kBytes = (std::size_t{1} << 31U) + 12345;
    if (rank.rank() > 1) return;
    std::vector<std::byte> data(kBytes);
    for (std::size_t i = 0; i < kBytes; i += 4096) {
        data[i] = rank.rank() == 0 ? static_cast<std::byte>(i * 2654435761U >> 24U) : std::byte{};
    }
    if (rank.rank() == 0) {
        rank.send(1, 0, MessageKind::collective, data)->wait();
        rank.send(1, 0, MessageKind::collective, data)->wait();
        return;
    }
    rank.receive(0, 0, MessageKind::collective, data)->wait();
    for (std::size_t i = 0; i < kBytes; i += 4096) {
        R1_CHECK(data[i] == static_cast<std::byte>(i * 2654435761U >> 24U));
    }
    data.push_back(std::byte{});
    try {
        rank.receive(0, 0, MessageKind::collective, data)->wait();
    } catch (const CommunicatorError& error) {
        std::printf("ok: %s\n", error.what());
    }
}

// What peers of a failing rank do: wait for a message of its.
void wait_for_ever(Communicator& rank) {
    std::vector<std::byte> data(1'000'000);
    rank.receive((rank.rank() + 1) % rank.ranks(), 1, MessageKind::notify, data)->wait();
}

// A large message that nobody receives is on its way when the exception comes.
void rank_throws(Communicator& rank) {
    if (rank.rank() != 2) return wait_for_ever(rank);
    const std::vector<std::byte> data(10'000'000);
    std::vector<std::byte> place(1'000'000);
    const auto receive = rank.receive(0, 7, MessageKind::pipeline, place);
    const auto send = rank.send(0, 8, MessageKind::pipeline, data);
    throw std::runtime_error("the ship is sinking");
}

// What one rank finds is what the job ends with.
template <class Error>
void rank_refuses(Communicator& rank, const Error& error) {
    if (rank.rank() == 2) throw error;
    wait_for_ever(rank);
}
void rank_lacks_kernel(Communicator& rank) { rank_refuses(rank, FeatureError("no such kernel")); }
void rank_finds_input_wrong(Communicator& rank) {
    rank_refuses(rank, InputError("some.json", "is not what it should be"));
}

// Another thread than the one that waits.
void thread_aborts(Communicator& rank) {
    testing::in_threads(rank, 2, [&](int thread) {
        if (rank.rank() == 1 && thread == 1) throw std::runtime_error("a thread is sinking");
        wait_for_ever(rank);
    });
}

// Nobody catches the exception of a thread of its own.
void thread_throws(Communicator& rank) {
    std::jthread thread([&] {
        if (rank.rank() == 1) throw std::runtime_error("nobody catches this");
    });
    wait_for_ever(rank);
}

void process_is_killed(Communicator& rank) {
    if (rank.rank() == 3) std::raise(SIGKILL);
    wait_for_ever(rank);
}

int run(const std::string& name, const std::string& folder) {
    const std::map<std::string, std::function<void(Communicator&)>> jobs{
        {"conformance", conformance},
        {"huge", huge},
        {"rank-throws", rank_throws},
        {"thread-aborts", thread_aborts},
        {"rank-lacks-kernel", rank_lacks_kernel},
        {"rank-finds-input-wrong", rank_finds_input_wrong},
        {"thread-throws", thread_throws},
        {"process-is-killed", process_is_killed}};
    const auto job = jobs.find(name);
    if (job == jobs.end()) {
        std::fprintf(stderr, "mpi_tests: no job '%s'\n", name.c_str());
        return 2;
    }
    run_mpi_rank(2, [&](Communicator& rank) {
        if (!folder.empty()) {
            std::ofstream(folder + "/" + std::to_string(rank.rank()) + ".pid") << ::getpid();
            barrier({rank, everyone(rank), 1000});  // all are there before one fails
        }
        job->second(rank);
    });
    return 0;
}

}  // namespace
}  // namespace r1

int main(int argc, char** argv) {
    try {
        return r1::run(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "");
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mpi_tests: %s\n", error.what());
        return 1;
    }
}
