#include "tools/report/schedule_gantt.hpp"

#include <sstream>
#include <string>

#include "tests/support/catch.hpp"

using namespace r1;

TEST_CASE("schedule_gantt: one line a rank, within the width", "[tools][report]") {
    const Schedule small = make_schedule({ScheduleKind::one_f_one_b, 2, 2, 1});
    const auto times = time_schedule(small, kUnitChunkSeconds);
    const std::string drawn = draw_schedule(small, times, {40, false, "units"});
    CHECK(drawn ==
          "rank 0 |FFFFFF......GGGGGG...GGGGGG|\n"
          "rank 1 |...FFFGGGGGGFFFGGGGGG......|\n"
          "F forward · G whole backward · . bubble\n"
          "makespan 9 units · mean bubble 3 units a rank (33.3 %)\n");

    // Directions by case, or by color and then all in upper case; the same columns either way.
    const Schedule schedule = make_schedule({ScheduleKind::dualpipe, 8, 20, 1});
    const auto dualpipe_times = time_schedule(schedule, kUnitChunkSeconds);
    const std::string plain = draw_schedule(schedule, dualpipe_times);
    const std::string color = draw_schedule(schedule, dualpipe_times, {100, true, "s"});
    CHECK(plain.find("upper case direction 0 (from rank 0)") != std::string::npos);
    CHECK(plain.find("makespan 66 s · mean bubble 6 s a rank (9.1 %)") != std::string::npos);
    CHECK(plain.find("|FFFFFFF") != std::string::npos);
    CHECK(plain.find("|fffffff") != std::string::npos);
    CHECK(plain.find('\x1b') == std::string::npos);
    CHECK(color.find("|\x1b[33mFFFFFFF") != std::string::npos);

    // Lines of ranks keep to the width, also where one column stands for many chunks.
    const Schedule v3 = make_schedule({ScheduleKind::dualpipe, 16, 120, 1});
    const auto v3_times = time_schedule(v3, {1, 1.5, 0.5, 2.4});
    for (const int width : {40, 80, 100, 237}) {
        std::istringstream lines(draw_schedule(v3, v3_times, {width, false, "s"}));
        std::string line;
        for (int rank = 0; rank < 16; ++rank) {
            std::getline(lines, line);
            CHECK(line.size() == static_cast<std::size_t>(width));
            CHECK(line.find('X') != std::string::npos);
        }
    }
}
