// Points reach workers of this process and of other ranks once each, and failures end the work.
#include <atomic>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/thread_communicator.hpp"
#include "tests/support/catch.hpp"
#include "tools/sweep/dispatch.hpp"

namespace r1 {
namespace {

PointQueue queue_of(std::size_t points, std::size_t workers) {
    std::vector<std::size_t> all(points);
    std::iota(all.begin(), all.end(), std::size_t{0});
    return {{all}, workers};
}

std::string made_by(const std::string& worker, std::size_t point) {
    return worker + " made " + std::to_string(point);
}

}  // namespace

TEST_CASE("dispatch: each point is worked on once, and one line comes at a time",
          "[tools][sweep]") {
    PointQueue queue = queue_of(200, 3);
    std::vector<PointWorker> workers;
    for (const char* name : {"a", "b", "c"}) {
        workers.emplace_back([name](std::size_t point) { return made_by(name, point); });
    }
    std::map<std::size_t, int> times;
    std::atomic<int> inside{0};
    int meetings = 0;
    work_off(queue, workers, [&](std::size_t point, const std::string& line) {
        meetings += inside.fetch_add(1);
        ++times[point];
        CHECK(line.ends_with(" made " + std::to_string(point)));
        inside.fetch_sub(1);
    });
    CHECK(meetings == 0);
    CHECK(times.size() == 200);
    for (const auto& [point, count] : times) {
        CHECK(count == 1);
    }
}

TEST_CASE("dispatch: a worker or receiver that throws ends the work", "[tools][sweep]") {
    const PointWorker good = [](std::size_t point) { return made_by("good", point); };
    const PointWorker bad = [](std::size_t) -> std::string { throw std::runtime_error("bad"); };
    PointQueue queue = queue_of(100'000, 2);
    std::size_t lines = 0;
    CHECK_THROWS_WITH(work_off(queue, {good, bad}, [&](auto, const auto&) { ++lines; }), "bad");
    CHECK(lines < 100'000);
    PointQueue full = queue_of(10, 1);
    const auto no_room = [](auto, const auto&) { throw std::runtime_error("disk full"); };
    CHECK_THROWS_WITH(work_off(full, {good}, no_room), "disk full");
    CHECK(full.take(0) == std::nullopt);
}

TEST_CASE("dispatch: other ranks work until they are released", "[tools][sweep]") {
    constexpr int kSlots = 2;
    std::map<std::size_t, std::string> lines;
    std::atomic<int> served{0};
    ThreadWorld(3, 1).run([&](Communicator& communicator) {
        if (communicator.rank() > 0) {
            const PointWorker worker = [&](std::size_t point) {
                ++served;
                return made_by("rank " + std::to_string(communicator.rank()), point);
            };
            serve_rank_0(communicator, {worker, worker});
            return;
        }
        const std::vector<PointWorker> workers = remote_workers(communicator, kSlots);
        PointQueue queue = queue_of(50, workers.size());
        work_off(queue, workers,
                 [&](std::size_t point, const std::string& line) { lines[point] = line; });
        release_ranks(communicator, kSlots);
    });
    CHECK(served == 50);
    REQUIRE(lines.size() == 50);
    for (const auto& [point, line] : lines) {
        CHECK((line == made_by("rank 1", point) || line == made_by("rank 2", point)));
    }
}

}  // namespace r1
