#include "model/base/diagnostics.hpp"

#include "tests/support/catch.hpp"

using r1::Diagnostic;
using r1::did_you_mean;
using r1::render;

TEST_CASE("diagnostics: a rendered error names file, line, column and pointer and shows a caret",
          "[model][base]") {
    const Diagnostic diagnostic{
        {"a.json", 3, 5}, "/plan/x", "must be above 0, found -3", "  \"x\": -3,"};
    CHECK(render(diagnostic) ==
          "a.json:3:5: /plan/x: must be above 0, found -3\n"
          "      \"x\": -3,\n"
          "        ^");
}

TEST_CASE("diagnostics: what is unknown is left out of the rendered error", "[model][base]") {
    CHECK(render(Diagnostic{{"a.json", 0, 0}, "", "cannot be read", ""}) ==
          "a.json: cannot be read");
    CHECK(render(Diagnostic{{"--set", 0, 0}, "/x", "is wrong", ""}) == "--set: /x: is wrong");
    CHECK(render(Diagnostic{{"a.json", 2, 0}, "", "is wrong", "text"}) == "a.json:2: is wrong");
    CHECK(render(Diagnostic{{"", 0, 0}, "", "is wrong", ""}) == "is wrong");
}

TEST_CASE("diagnostics: errors are rendered one below the other", "[model][base]") {
    CHECK(render({Diagnostic{{"a", 0, 0}, "", "x", ""}, Diagnostic{{"b", 0, 0}, "", "y", ""}}) ==
          "a: x\nb: y");
}

TEST_CASE("diagnostics: the caret stands under its character after tabs and UTF-8",
          "[model][base]") {
    CHECK(render(Diagnostic{{"a", 1, 3}, "", "m", "\t\"x\""}) == "a:1:3: m\n    \t\"x\"\n    \t ^");
    // Columns count bytes: the sharp s has two.
    CHECK(render(Diagnostic{{"a", 1, 4}, "", "m", "\xC3\x9F.x"}) ==
          "a:1:4: m\n    \xC3\x9F.x\n      ^");
}

TEST_CASE("diagnostics: of a long line only the part around the caret is shown", "[model][base]") {
    const std::string line = std::string(5000, 'a') + "!" + std::string(5000, 'b');
    const std::string text = render(Diagnostic{{"f", 1, 5001}, "", "m", line});
    CHECK(text.size() < 300);
    const auto shown = text.find('\n') + 1;
    const auto caret_line = text.rfind('\n') + 1;
    CHECK(text.find('!') - shown == text.find('^') - caret_line);
}

TEST_CASE("diagnostics: bytes that could upset a terminal are not rendered", "[model][base]") {
    const Diagnostic diagnostic{{"f", 1, 2}, "/a\nb", "unknown \x1B[31m \xFF", "\x1B\xC3x"};
    CHECK(render(diagnostic) == "f:1:2: /a?b: unknown ?[31m ?\n    ??x\n     ^");
}

TEST_CASE("diagnostics: any column renders, also beyond the line", "[model][base]") {
    for (int column = 1; column < 400; ++column) {
        const std::string line(static_cast<std::size_t>(column % 200), column % 3 ? 'x' : '\xC3');
        CHECK_FALSE(render(Diagnostic{{"f", 1, column}, "", "m", line}).empty());
    }
}

TEST_CASE("diagnostics: throw_if_errors hands over every error, and notes are no errors",
          "[model][base]") {
    r1::Diagnostics diagnostics;
    diagnostics.note("only a note");
    CHECK_NOTHROW(diagnostics.throw_if_errors());
    diagnostics.error({"f", 1, 1}, "/a", "first");
    diagnostics.error({"f", 2, 1}, "/b", "second");
    try {
        diagnostics.throw_if_errors();
        FAIL("must throw");
    } catch (const r1::InputError& error) {
        REQUIRE(error.diagnostics().size() == 2);
        CHECK(error.diagnostics()[1].message == "second");
        CHECK(std::string(error.what()) == "f:1:1: /a: first\nf:2:1: /b: second");
    }
}

TEST_CASE("did_you_mean: suggests the closest candidate within a third of the word",
          "[model][base]") {
    const std::vector<std::string> keys{"sequence_length", "seed", "name"};
    CHECK(did_you_mean("sequnce_length", keys) == ", did you mean 'sequence_length'?");
    CHECK(did_you_mean("SEQUENCE_LENGTH", keys) == ", did you mean 'sequence_length'?");
    CHECK(did_you_mean("sede", keys) == ", did you mean 'seed'?");  // one swap
    CHECK(did_you_mean("nmae", keys) == ", did you mean 'name'?");
    CHECK(did_you_mean("weed", keys) == ", did you mean 'seed'?");
    CHECK(did_you_mean("wood", keys).empty());  // 3 of 4 letters differ
    CHECK(did_you_mean("bandwith", {"latency_us", "bandwidth_gb_per_s"}) ==
          ", did you mean 'bandwidth_gb_per_s'?");  // without its unit
    CHECK(did_you_mean("", keys).empty());
    CHECK(did_you_mean("x", {}).empty());
    CHECK(did_you_mean("NAME", {"nama", "name"}) == ", did you mean 'name'?");
    CHECK(did_you_mean(std::string(1'000'000, 'x'), {std::string(1'000'000, 'y')}).empty());
}

TEST_CASE("quote: a very long word is cut between characters", "[model][base]") {
    CHECK(r1::quote("a") == "'a'");
    std::string word(79, 'x');
    word += "\xC3\x9Fyyyyyyy";
    CHECK(r1::quote(word) == "'" + std::string(79, 'x') + "...'");
}
