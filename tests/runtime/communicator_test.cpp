#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "model/base/check.hpp"
#include "model/base/exit_code.hpp"
#include "runtime/collectives.hpp"
#include "runtime/thread_communicator.hpp"
#include "tests/runtime/communicator_conformance.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// What calls of other ranks and threads threw; Catch2's own macros are for one thread.
class Errors {
public:
    template <class Call>
    void expect(Call call) {
        std::string text = "nothing thrown";
        try {
            call();
        } catch (const CommunicatorError& error) {
            text = error.what();
        }
        const std::lock_guard lock(mutex_);
        texts_.push_back(text);
    }
    [[nodiscard]] const std::vector<std::string>& texts() const { return texts_; }

private:
    std::mutex mutex_;
    std::vector<std::string> texts_;
};

TEST_CASE("communicator: threads of one process conform", "[runtime][communicator]") {
    const int ranks = GENERATE(1, 2, 4, 8);
    for (const testing::ConformanceCase& conformance : testing::conformance_cases()) {
        INFO(ranks << " ranks: " << conformance.name);
        ThreadWorld world(ranks, 2);
        REQUIRE_NOTHROW(world.run(conformance.run));
    }
}

TEST_CASE("communicator: nodes hold neighbouring ranks", "[runtime][communicator]") {
    ThreadWorld world(6, 4);
    std::vector<int> nodes;
    for (int rank = 0; rank < 6; ++rank) {
        REQUIRE(world.end(rank).rank() == rank);
        REQUIRE(world.end(rank).ranks() == 6);
        nodes.push_back(world.end(0).node_of(rank));
    }
    REQUIRE(nodes == std::vector<int>{0, 0, 0, 0, 1, 1});
    const std::vector<std::byte> data(7);
    for (const int to : {1, 3, 4, 5}) {
        world.end(0).send(to, 0, MessageKind::dispatch, data)->wait();
    }
    REQUIRE(world.end(0).traffic()[MessageKind::dispatch] == TrafficBytes{14, 14});
    REQUIRE(world.end(1).traffic() == Traffic{});
}

TEST_CASE("communicator: parts are as equal as possible", "[runtime][communicator]") {
    REQUIRE(parts(10, 4) == std::vector<Part>{{0, 3}, {3, 3}, {6, 2}, {8, 2}});
    REQUIRE(parts(2, 3) == std::vector<Part>{{0, 1}, {1, 1}, {2, 0}});
    REQUIRE(parts(0, 1) == std::vector<Part>{{0, 0}});
}

// Every rank but the last waits in three threads: for a message, and in two collectives.
TEST_CASE("communicator: an abort wakes every waiter at once", "[runtime][communicator]") {
    const int ranks = GENERATE(2, 4, 8);
    ThreadWorld world(ranks, 8);
    const int last = ranks - 1;
    Errors errors;
    Clock::time_point aborted;
    REQUIRE_THROWS_AS(world.run([&](Communicator& rank) {
        std::byte byte{};
        if (rank.rank() == last) {
            std::this_thread::sleep_for(milliseconds(100));
            aborted = Clock::now();
            rank.abort("out of luck");
            rank.abort("only the first counts");
        } else {
            std::vector<int> group;
            for (int r = 0; r < ranks; ++r) group.push_back(r);
            std::jthread first([&] { errors.expect([&] { barrier({rank, group, 1}); }); });
            std::jthread second([&] {
                std::vector<float> data(100);
                errors.expect([&] { all_reduce({rank, group, 2}, data); });
            });
            errors.expect(
                [&] { rank.receive(last, 3, MessageKind::notify, std::span(&byte, 1))->wait(); });
        }
        const MessageKind kind = MessageKind::pipeline;
        errors.expect([&] { rank.send(last, 4, kind, std::span(&byte, 1)); });
        errors.expect([&] { rank.receive(last, 4, MessageKind::notify, std::span(&byte, 1)); });
        rank.send(last, 5, kind, {});  // ends the rank's work with the error too
    }),
                      CommunicatorError);
    REQUIRE(Clock::now() - aborted < std::chrono::seconds(1));
    const auto count = static_cast<std::size_t>(last);
    REQUIRE(errors.texts() == std::vector<std::string>(3 * count + 2 * (count + 1), "out of luck"));
}

// A message that is there already does not hide the abort.
TEST_CASE("communicator: requests started before an abort fail", "[runtime][communicator]") {
    ThreadWorld world(2, 2);
    std::byte byte{};
    const auto sent = world.end(0).send(1, 0, MessageKind::notify, std::span(&byte, 1));
    const auto received = world.end(1).receive(0, 0, MessageKind::notify, std::span(&byte, 1));
    world.end(1).abort("stop");
    REQUIRE_THROWS_AS(sent->wait(), CommunicatorError);
    REQUIRE_THROWS_AS(received->wait(), CommunicatorError);
}

TEST_CASE("communicator: a rank that throws ends the others", "[runtime][communicator]") {
    ThreadWorld world(4, 2);
    Errors errors;
    REQUIRE_THROWS_AS(world.run([&](Communicator& rank) {
        if (rank.rank() == 2) throw InternalError("broken");
        errors.expect([&] {
            std::byte byte{};
            rank.receive(2, 0, MessageKind::notify, std::span(&byte, 1))->wait();
        });
    }),
                      InternalError);
    REQUIRE(errors.texts() == std::vector<std::string>(3, "rank 2: broken"));
}

// Rank 1 ends the job, and throws only after rank 0 has.
TEST_CASE("communicator: the error of a job is its cause, not what others make of it",
          "[runtime][communicator]") {
    ThreadWorld world(2, 2);
    std::atomic<bool> other_threw{false};
    REQUIRE_THROWS_AS(world.run([&](Communicator& rank) {
        if (rank.rank() == 1) {
            rank.abort("too much");
            while (!other_threw) std::this_thread::yield();
            std::this_thread::sleep_for(milliseconds(20));
            throw InfeasibleError("too much");
        }
        try {
            std::byte byte{};
            rank.receive(1, 0, MessageKind::notify, std::span(&byte, 1))->wait();
        } catch (...) {
            other_threw = true;
            throw;
        }
    }),
                      InfeasibleError);
}

// The receive that was given up has taken the first message.
TEST_CASE("communicator: a dropped receive loses its message only", "[runtime][communicator]") {
    ThreadWorld world(2, 2);
    std::byte lost{};
    std::byte found{};
    world.end(1).receive(0, 0, MessageKind::notify, std::span(&lost, 1));
    for (const std::byte byte : {std::byte{1}, std::byte{2}}) {
        world.end(0).send(1, 0, MessageKind::notify, std::span(&byte, 1));
    }
    world.end(1).receive(0, 0, MessageKind::notify, std::span(&found, 1))->wait();
    REQUIRE(lost == std::byte{0});
    REQUIRE(found == std::byte{2});
}

}  // namespace
}  // namespace r1
