// The page that shows reports: complete, and what it holds are the reports.
#include "tools/report/report_html.hpp"

#include "model/base/json.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

TEST_CASE("report html: the embedded page is whole and has one place for data", "[tools][report]") {
    const std::string_view page = report_page();
    CHECK(page.substr(0, 15) == "<!DOCTYPE html>");
    CHECK(page.substr(page.size() - 8) == "</html>\n");
    const std::size_t place = page.find("R1SIM_DATA");
    REQUIRE(place != std::string_view::npos);
    CHECK(page.find("R1SIM_", place + 1) == std::string_view::npos);
}

TEST_CASE("report html: data cannot end the script, and leaves curves out", "[tools][report]") {
    const Json report = {{"scenario",
                          {{"name", "</script><!-- \u00e9"},
                           {"calibration", {{"name", "c"}, {"curves", {1, 2}}}},
                           {"baseline", {{"calibration", "a preset"}}}}}};
    const std::string html = report_html({report, report});
    const std::string begin = R"(id="data">)";
    const std::size_t from = html.find(begin) + begin.size();
    const std::string data = html.substr(from, html.find("</script>", from) - from);
    CHECK(data.find('<') == std::string::npos);
    Json shown = report;
    shown["scenario"]["calibration"].erase("curves");
    CHECK(Json::parse(data) == Json({{"reports", {shown, shown}}}));
    CHECK(html.size() == report_page().size() - std::string("R1SIM_DATA").size() + data.size());
}

}  // namespace r1
