#include "tools/report/report_html.hpp"

#include "model/base/check.hpp"
#include "model/base/json.hpp"

// The assembler takes the page as it is: as a string literal it would be the largest part of a
// build. CMake says that this file depends on it.
__asm__(
    ".section .rodata\n"
    ".global r1_report_page_begin\n"
    ".global r1_report_page_end\n"
    "r1_report_page_begin:\n"
    ".incbin \"" R1_SOURCE_DIR
    "/tools/report/web/dist/page.html\"\n"
    "r1_report_page_end:\n"
    ".byte 0\n"
    ".previous\n");
extern "C" const char r1_report_page_begin[];
extern "C" const char r1_report_page_end[];

namespace r1 {

namespace {

// JSON as a script's text: no value may end the script or open a comment.
std::string script_text(const Json& json) {
    std::string text;
    for (const char c : json.dump()) {
        if (c == '<') {
            text += "\\u003c";
        } else {
            text += c;
        }
    }
    return text;
}

// Calibration curves are the better part of a report, and no view shows them.
Json without_curves(Json report) {
    for (const char* place : {"/scenario/calibration", "/scenario/baseline/calibration"}) {
        const Json::json_pointer pointer(place);
        if (report.contains(pointer) && report[pointer].is_object()) {
            report[pointer].erase("curves");
        }
    }
    return report;
}

std::string page_with(const Json& data) {
    constexpr std::string_view kPlace = "R1SIM_DATA";
    const std::string_view page = report_page();
    const std::size_t place = page.find(kPlace);
    R1_CHECK(place != std::string_view::npos);
    std::string html(page.substr(0, place));
    html += script_text(data);
    html += page.substr(place + kPlace.size());
    return html;
}

}  // namespace

std::string_view report_page() {
    return {r1_report_page_begin,
            static_cast<std::size_t>(r1_report_page_end - r1_report_page_begin)};
}

std::string report_html(const std::vector<Json>& reports) {
    Json data = {{"reports", Json::array()}};
    for (const Json& report : reports) {
        data["reports"].push_back(without_curves(report));
    }
    return page_with(data);
}

std::string sweep_html(const Json& result) { return page_with({{"sweep", result}}); }

}  // namespace r1
