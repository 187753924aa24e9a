// Parsing: what is refused, and where the things that are accepted stand.
#include "model/base/json.hpp"

#include <chrono>
#include <string>

#include "model/base/rng.hpp"
#include "tests/support/catch.hpp"

using namespace r1;

namespace {

std::vector<Diagnostic> errors_of(std::string_view text) {
    try {
        (void)Document::from_text(text, "f.json");
    } catch (const InputError& error) {
        return error.diagnostics();
    }
    return {};
}

// "line:column" of the only error.
std::string place_of_error(std::string_view text) {
    const auto errors = errors_of(text);
    if (errors.size() != 1) {
        return std::to_string(errors.size()) + " errors";
    }
    const Location& where = errors[0].location;
    return std::to_string(where.line) + ":" + std::to_string(where.column);
}

std::string place(const Location& where) {
    return where.file + ":" + std::to_string(where.line) + ":" + std::to_string(where.column);
}

const std::string kValid = R"({
  "name": "a \"b\" \\ \u00e9 \ud83d\ude00",
  "list": [1, -2.5e3, true, false, null, {"x": []}, {}],
)"
                           "\t"
                           R"("nested": {"a/b": {"m~n": 0}, "": "ß"} , "last":-0.0E-1
}
)";

}  // namespace

TEST_CASE("json: every value knows its line and column", "[model][base]") {
    const Document document = Document::from_text(kValid, "f.json");
    CHECK(place(document.location("")) == "f.json:1:1");
    CHECK(place(document.location("/name")) == "f.json:2:11");
    CHECK(place(document.location("/list")) == "f.json:3:11");
    CHECK(place(document.location("/list/0")) == "f.json:3:12");
    CHECK(place(document.location("/list/1")) == "f.json:3:15");
    CHECK(place(document.location("/list/2")) == "f.json:3:23");
    CHECK(place(document.location("/list/4")) == "f.json:3:36");
    CHECK(place(document.location("/list/5/x")) == "f.json:3:48");
    CHECK(place(document.location("/list/6")) == "f.json:3:53");
    CHECK(place(document.location("/nested/a~1b/m~0n")) == "f.json:4:28");
    CHECK(place(document.location("/nested/")) == "f.json:4:36");
    CHECK(place(document.location("/last")) == "f.json:4:51");  // the sharp s has two bytes
    CHECK(place(document.key_location("/last")) == "f.json:4:44");
    CHECK(place(document.key_location("/list/0")) == "f.json:3:12");
    CHECK(document.source_line(document.location("/list")).starts_with("  \"list\": [1,"));
    CHECK(document.root() == Json::parse(kValid));
}

TEST_CASE("json: an unknown pointer stands where its closest known ancestor does",
          "[model][base]") {
    const Document document = Document::from_text(R"({"a": {"b": 1}})", "f.json");
    CHECK(place(document.location("/a/c/d")) == "f.json:1:7");
    CHECK(place(document.location("/x")) == "f.json:1:1");
    CHECK(document.find("/a/c") == nullptr);
    CHECK(document.find("/a/b/c") == nullptr);
    CHECK(document.find("a") == nullptr);
    CHECK(document.find("/a/b")->get<int>() == 1);
    CHECK(document.find("") == &document.root());
}

TEST_CASE("json: array indices in pointers are plain numbers", "[model][base]") {
    const Document document = Document::from_text("[[7]]", "f.json");
    CHECK(document.find("/0/0")->get<int>() == 7);
    for (const char* bad : {"/1", "/00", "/-", "/-1", "/0x", "/", "/99999999999999999999999"}) {
        CHECK(document.find(bad) == nullptr);
    }
}

TEST_CASE("json: carriage returns, tabs and a byte order mark are accepted", "[model][base]") {
    const Document document =
        Document::from_text("\xEF\xBB\xBF{\r\n\t\"a\" :\t1\r\n}\r\n", "f.json");
    CHECK(place(document.location("")) == "f.json:1:1");
    CHECK(place(document.location("/a")) == "f.json:2:8");
    CHECK(document.source_line(document.location("/a")) == "\t\"a\" :\t1");
    CHECK(place_of_error("\xEF\xBB\xBF[x]") == "1:2");
}

TEST_CASE("json: a syntax error is shown where it is", "[model][base]") {
    CHECK(place_of_error("[1,\n 2,,3]") == "2:4");
    CHECK(place_of_error("{\"a\" 1}") == "1:6");
    CHECK(place_of_error("{\"a\": 1,}") == "1:9");
    CHECK(place_of_error("{\"a\": ,}") == "1:7");
    CHECK(place_of_error("{\"a\": 1 \"b\": 2}") == "1:9");
    CHECK(place_of_error("[1 true]") == "1:4");
    CHECK(place_of_error("[1 23]") == "1:4");
    CHECK(place_of_error("[01]") == "1:3");
    CHECK(place_of_error("[1}") == "1:3");
    CHECK(place_of_error("[nul]") == "1:5");
    CHECK(place_of_error("[\"a\\qb\"]") == "1:5");
    CHECK(place_of_error("[1] x") == "1:5");
    CHECK(place_of_error("{1: 2}") == "1:2");
    CHECK(place_of_error("[1,\n") == "2:1");
    CHECK(place_of_error("// no comments\n1") == "1:1");
    const auto errors = errors_of("{\n  \"a\": 1,\n}");
    REQUIRE(errors.size() == 1);
    CHECK(render(errors[0]) ==
          "f.json:3:1: syntax error while parsing object key: unexpected '}'; expected string "
          "literal (remove the comma before it)\n    }\n    ^");
}

TEST_CASE("json: what is no JSON is refused", "[model][base]") {
    using namespace std::string_literals;
    for (const std::string& text : {""s,
                                    " \n"s,
                                    "\xEF\xBB\xBF"s,
                                    "\xEF\xBB\xBF\xEF\xBB\xBF{}"s,
                                    "{}\0"s,
                                    "{}\0x"s,
                                    "\0"s,
                                    "[1\0]"s,
                                    "[NaN]"s,
                                    "[Infinity]"s,
                                    "[-]"s,
                                    "[1.]"s,
                                    "[.5]"s,
                                    "[+1]"s,
                                    "[1e]"s,
                                    "'a'"s,
                                    "{a:1}"s,
                                    "[\"\n\"]"s,
                                    "[\"\\ud800\"]"s,
                                    "[\"\x80\"]"s,
                                    "[\"\xC0\xAF\"]"s,
                                    "[\"\xF4\x90\x80\x80\"]"s,
                                    "[\"\xED\xA0\x80\"]"s,
                                    "[\"\xC3"s,
                                    "{}{}"s,
                                    "]"s,
                                    ","s,
                                    ":"s,
                                    "[1e999]"s,
                                    "[-1e999]"s}) {
        CAPTURE(text);
        CHECK(errors_of(text).size() == 1);
    }
    CHECK(errors_of("")[0].message == "holds no JSON value");
}

TEST_CASE("json: a number that overflows is named and shown", "[model][base]") {
    const auto errors = errors_of("{\"a\":\n  1e999}");
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].message == "number '1e999' is too large");
    CHECK(place(errors[0].location) == "f.json:2:3");
}

TEST_CASE("json: all duplicate keys are reported, each with its first definition",
          "[model][base]") {
    const auto errors = errors_of("{\"a\": 1,\n \"b\": {\"c\": 1, \"c\": 2},\n \"a\": 3}");
    REQUIRE(errors.size() == 2);
    CHECK(errors[0].pointer == "/b/c");
    CHECK(place(errors[0].location) == "f.json:2:16");
    CHECK(errors[1].pointer == "/a");
    CHECK(place(errors[1].location) == "f.json:3:2");
    CHECK(errors[1].message == "duplicate key 'a', first defined at line 1, column 2");
    CHECK(errors[1].source_line == " \"a\": 3}");
}

TEST_CASE("json: duplicates are found in large objects, escaped or not, without delay",
          "[model][base]") {
    std::string text = "{";
    for (int i = 0; i < 60'000; ++i) {
        text += "\"key" + std::to_string(i) + "\":0,\n";
    }
    CHECK(Document::from_text(text + "\"z\":1}", "f").root().size() == 60'001);
    const auto errors = errors_of(text + "\"\\u006bey59999\":1}");
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].message == "duplicate key 'key59999', first defined at line 60000, column 1");
    CHECK(errors_of("[{\"a\":1},{\"a\":1}]").empty());
}

TEST_CASE("json: nesting is accepted up to its limit and refused beyond, at once",
          "[model][base]") {
    const auto nested = [](int depth) {
        const auto count = static_cast<std::size_t>(depth);
        return std::string(count, '[') + std::string(count, ']');
    };
    CHECK(errors_of(nested(Document::kMaxDepth)).empty());
    CHECK(place_of_error(nested(Document::kMaxDepth + 1)) == "1:201");

    const std::string brackets(std::size_t{100} << 20, '[');
    const auto start = std::chrono::steady_clock::now();
    const auto errors = errors_of(brackets);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].message == "is nested deeper than 200 levels");
    CHECK(errors[0].source_line.empty());
    CHECK(taken.count() < 1);
}

TEST_CASE("json: a document cut short at any byte is an error, never a crash", "[model][base]") {
    const std::string valid = kValid.substr(0, kValid.rfind('}') + 1);
    REQUIRE(errors_of(valid).empty());
    for (std::size_t size = 0; size < valid.size(); ++size) {
        CAPTURE(size);
        CHECK(errors_of(valid.substr(0, size)).size() == 1);
    }
}

TEST_CASE("json: mutated documents are read or refused, never a crash", "[model][base]") {
    const Rng rng(99);
    std::uint64_t draw = 0;
    const auto below = [&rng, &draw](std::size_t limit) { return rng.bits(draw++) % limit; };
    constexpr std::string_view kTokens = "{}[],:\"\\0159-+.eEntfu \n\t/\x80\xFF";
    for (int trial = 0; trial < 8'000; ++trial) {
        std::string text = kValid;
        for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
            const std::size_t at = below(text.size());
            const char byte =
                below(2) == 0 ? kTokens[below(kTokens.size())] : static_cast<char>(below(256));
            switch (below(3)) {
                case 0: text[at] = byte; break;
                case 1: text.insert(at, 1, byte); break;
                default: text.erase(at, 1 + below(5));
            }
        }
        try {
            // Whatever is accepted must be what a plain parser sees, and fully located.
            const Document document = Document::from_text(text, "f.json");
            CAPTURE(text);
            REQUIRE(document.root() == Json::parse(text));
            REQUIRE(document.location("").line >= 1);
        } catch (const InputError& error) {
            REQUIRE_FALSE(render(error.diagnostics()).empty());
        }
    }
}

TEST_CASE("json: a large document is read without places", "[model][base]") {
    std::string text = "[";
    for (std::size_t i = 0; i <= Document::kLocatedValuesMax; ++i) {
        text += "1,\n";
    }
    const Document many = Document::from_text(text + "{\"a\":2}]", "f.json");
    CHECK(place(many.location("/5")) == "f.json:0:0");
    CHECK(many.source_line(many.location("/5")).empty());
    CHECK(many.root().back().at("a") == 2);

    const std::string spaces(Document::kLocatedBytesMax, ' ');
    const Document large = Document::from_text(spaces + "{\"a\":2}", "f.json");
    CHECK(place(large.key_location("/a")) == "f.json:0:0");
    CHECK(render(large.diagnostic("/a", "is wrong")) == "f.json: /a: is wrong");
    CHECK(place_of_error(spaces + "\n\n[x]") == "3:2");
}

TEST_CASE("json: grafted values keep the places of their own file", "[model][base]") {
    Document document = Document::from_text("{\"model\": \"m.json\",\n \"seed\": 1}", "s.json");
    const Document model = Document::from_text("{\n\"layers\": {\"dense\": 3}}", "m.json");
    document.graft("/model", model);
    CHECK(document.root().dump() == R"({"model":{"layers":{"dense":3}},"seed":1})");
    CHECK(place(document.location("/model")) == "m.json:1:1");
    CHECK(place(document.location("/model/layers/dense")) == "m.json:2:21");
    CHECK(place(document.key_location("/model/layers/dense")) == "m.json:2:12");
    CHECK(place(document.location("/model/absent")) == "m.json:1:1");
    CHECK(place(document.location("/seed")) == "s.json:2:10");
    CHECK(document.diagnostic("/model/layers", "x").source_line == "\"layers\": {\"dense\": 3}}");
    CHECK(document.file() == "s.json");

    document.graft("/model/layers", Document::from_json(Json{{"moe", 58}}, "preset r1"));
    CHECK(place(document.location("/model/layers/moe")) == "preset r1:0:0");
    CHECK(document.find("/model/layers/dense") == nullptr);
    document.graft("/cluster/node", model);
    CHECK(place(document.location("/cluster/node/layers")) == "m.json:2:11");
    document.graft("", model);
    CHECK(document.root() == model.root());
    CHECK(place(document.location("/seed")) == "m.json:1:1");
}

TEST_CASE("json: set overrides one value and creates the objects on the way", "[model][base]") {
    Document document = Document::from_text(R"({"a": {"b": [1, {"c": 2}]}, "n": null})", "f");
    const Location flag{"--set", 0, 0};
    CHECK(document.set("/a/b/1/c", 3, flag));
    CHECK(document.set("/a/b/0", "x", flag));
    CHECK(document.set("/new/deep~1er", true, flag));
    CHECK(document.set("/n/m", 1, flag));
    CHECK(document.root().dump() ==
          R"({"a":{"b":["x",{"c":3}]},"n":{"m":1},"new":{"deep/er":true}})");
    CHECK(place(document.location("/a/b/1/c")) == "--set:0:0");
    CHECK(place(document.location("/a/b/1")) == "f:1:17");
    CHECK(place(document.location("/new")) == "--set:0:0");

    const std::string before = document.root().dump();
    CHECK_FALSE(document.set("/a/b/2", 1, flag));      // no such element
    CHECK_FALSE(document.set("/a/b/x", 1, flag));      // no index
    CHECK_FALSE(document.set("/a/b/0/y/z", 1, flag));  // through a string
    CHECK_FALSE(document.set("a", 1, flag));
    std::string deep;
    for (int i = 0; i <= Document::kMaxDepth; ++i) {
        deep += "/a";
    }
    CHECK_FALSE(document.set(deep, 1, flag));
    CHECK(document.root().dump() == before);
    CHECK(document.set("", 5, flag));
    CHECK(document.root() == 5);
}

TEST_CASE("json: a replaced value leaves no places of what was below it", "[model][base]") {
    Document document = Document::from_text(R"({"a": {"b": 1}, "a.": 1, "a0": {"b": 2}})", "f");
    CHECK(document.set("/a", Json{{"b", 2}}, {"--set", 0, 0}));
    CHECK(place(document.location("/a/b")) == "--set:0:0");
    CHECK(place(document.location("/a.")) == "f:1:23");
    CHECK(place(document.location("/a0/b")) == "f:1:38");
}

TEST_CASE("json: pointers escape tilde and slash", "[model][base]") {
    CHECK(join_pointer("/x", "a/b~c") == "/x/a~1b~0c");
    CHECK(join_pointer("", "") == "/");
}

TEST_CASE("override: both notations name the same value", "[model][base]") {
    for (const char* text : {"/plan/expert_parallel=64", "plan.expert_parallel=64"}) {
        const Override parsed = parse_override(text);
        CHECK(parsed.pointer == "/plan/expert_parallel");
        CHECK(parsed.value == 64);
        CHECK(parsed.text == text);
    }
    CHECK(parse_override("/a~1b/c.d=1").pointer == "/a~1b/c.d");
    CHECK(parse_override("a~b.c=1").pointer == "/a~0b/c");
}

TEST_CASE("override: the value is JSON, or else a string", "[model][base]") {
    CHECK(parse_override("a=1e12").value == 1e12);
    CHECK(parse_override("a=true").value == true);
    CHECK(parse_override("a=null").value == nullptr);
    CHECK(parse_override("a=[1,2]").value == Json::array({1, 2}));
    CHECK(parse_override("a=\"7\"").value == "7");
    CHECK(parse_override("a=dualpipe").value == "dualpipe");
    CHECK(parse_override("a=x=y").value == "x=y");
    CHECK(parse_override("a=").value == "");
    CHECK(parse_override("a=[1,").value == "[1,");
    CHECK_THROWS_AS(parse_override("a={\"b\":1,\"b\":2}"), InputError);
}

TEST_CASE("override: what names no value is refused", "[model][base]") {
    for (const char* text : {"", "a", "=1", "/=1", "a..b=1", ".a=1", "a.=1", "/a/=1", "//a=1",
                             "a/b=1", "/a~2=1", "/a~=1", ".=1"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(parse_override(text), InputError);
    }
}
