#include "tools/report/text_line.hpp"

#include "model/base/json.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

TEST_CASE("text line: numbers of all sizes are written alike", "[tools][report]") {
    CHECK(short_number(0) == "0");
    CHECK(short_number(4682) == "4682");
    CHECK(short_number(12.34567) == "12.346");
    CHECK(short_number(497882.7) == "497883");
    CHECK(short_number(99999.7) == "100000");
    CHECK(short_number(3353700.4) == "3.3537e6");
    CHECK(short_number(-43.0171e9) == "-43.017e9");
    CHECK(short_number(1e12) == "1e12");
    CHECK(short_number(999.9999e6) == "1000e6");
    CHECK(short_number(2.2e-4) == "0.00022");
    CHECK(short_number(7.3e-6) == "7.3e-6");
    CHECK(short_number(5088650.4, 6) == "5.08865e6");
    CHECK(value_text(Json(5088650.4), 40) == "5.08865e6");
}

TEST_CASE("text line: texts of files do not reach the terminal's controls", "[tools][report]") {
    CHECK(value_text(Json("a\nb\x1b[31mc\x7f"), 40) == "a?b?[31mc?");
    const std::string table = bold("head", true) + "\n\x1b[2Jname\t\x07\xc2\x9b" + "31m\xff\n";
    CHECK(terminal_text(table, true) == "\033[1mhead\033[0m\n?[2Jname\t???31m?\n");
    CHECK(terminal_text(table, false) == "?[1mhead?[0m\n?[2Jname\t???31m?\n");
}

}  // namespace r1
