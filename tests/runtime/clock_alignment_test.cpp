// Clocks of other machines: what is measured between ranks is what they differ by.
#include "runtime/clock_alignment.hpp"

#include <array>
#include <cstdlib>

#include "runtime/executor.hpp"
#include "runtime/thread_communicator.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

constexpr TimePs kSecond = 1'000'000'000'000;
constexpr std::uint64_t kChannel = 5;

}  // namespace

TEST_CASE("clock alignment: the offset to rank 0 is measured", "[runtime][clock]") {
    std::array<TimePs, 3> offsets{};
    ThreadWorld(3, 1).run([&](Communicator& communicator) {
        const auto rank = static_cast<std::size_t>(communicator.rank());
        const TimePs ahead = static_cast<TimePs>(rank) * 100 * kSecond;
        offsets[rank] =
            measured_clock_offset({communicator, kChannel}, [&] { return clock_ps() + ahead; });
    });
    CHECK(offsets[0] == 0);
    // Far below what the clocks differ by, however slowly a busy machine answers.
    CHECK(std::abs(offsets[1] + 100 * kSecond) < kSecond);
    CHECK(std::abs(offsets[2] + 200 * kSecond) < kSecond);
}

TEST_CASE("clock alignment: ranks of one machine share its clock", "[runtime][clock]") {
    std::array<TimePs, 3> offsets{1, 1, 1};
    ThreadWorld(3, 1).run([&](Communicator& communicator) {
        offsets[static_cast<std::size_t>(communicator.rank())] =
            clock_offset({communicator, kChannel});
    });
    CHECK(offsets == std::array<TimePs, 3>{0, 0, 0});
}

}  // namespace r1
