#include "tools/report/svg.hpp"

#include <string>
#include <vector>

#include "tests/support/catch.hpp"

namespace r1 {

TEST_CASE("svg: what XML reserves is escaped, what it cannot hold is replaced", "[tools][report]") {
    CHECK(xml_escape("<&>\"'") == "&lt;&amp;&gt;&quot;&#39;");
    CHECK(xml_escape("a\x01\xEF\xBF\xBF\tä") == "a\xEF\xBF\xBD\xEF\xBF\xBD\tä");
}

TEST_CASE("svg: text is cut to its width, and the whole is the title", "[tools][report]") {
    const TextStyle style{"text", 10};
    CHECK(fitted("short", style, 100) == "short");
    CHECK(fitted("short", style, text_width("short", style)) == "short");
    const std::string cut = fitted("a text that is too long", style, 60);
    CHECK(cut.size() < 20);
    CHECK(cut.substr(cut.size() - 3) == "…");
    CHECK(text_width(cut, style) <= 60);
    CHECK(fitted("äöüäöüäöü", style, 35) == "äö…");  // whole characters
    SvgCanvas canvas;
    canvas.text({0, 10}, "a text that is too long", style, Anchor::start, 60);
    CHECK(canvas.document(9, 9, "", "").find("<title>a text that is too long</title>") !=
          std::string::npos);
    CHECK(wrapped("one two three", style, 50) == std::vector<std::string>{"one two", "three"});
}

TEST_CASE("svg: a document has its size, title, style and a background below all",
          "[tools][report]") {
    SvgCanvas canvas;
    canvas.box({1, 2, 3.04, 4}, "gpu");
    canvas.line({0, 0}, {5, 6}, "link", "a & b");
    const std::string svg = canvas.document(120, 80.5, "t<", ".gpu{fill:#fff}\n");
    CHECK(
        svg ==
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"120\" height=\"80.5\" "
        "viewBox=\"0 0 120 80.5\" font-family=\"sans-serif\">\n"
        "<title>t&lt;</title>\n<style>\n.gpu{fill:#fff}\n</style>\n"
        "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"
        "<rect class=\"gpu\" x=\"1\" y=\"2\" width=\"3\" height=\"4\" rx=\"4\"/>\n"
        "<line class=\"link\" x1=\"0\" y1=\"0\" x2=\"5\" y2=\"6\"><title>a &amp; b</title></line>\n"
        "</svg>\n");
}

}  // namespace r1
