// ObjectReader: typed reading with every problem collected.
#include <limits>

#include "model/base/json.hpp"
#include "tests/support/catch.hpp"

using namespace r1;

namespace {

// A document and the messages that reading it gives.
struct Reading {
    explicit Reading(std::string_view text) : document(Document::from_text(text, "f.json")) {}

    ObjectReader reader() { return {document, "", diagnostics}; }
    // "pointer: message" of each error.
    [[nodiscard]] std::vector<std::string> errors() const {
        std::vector<std::string> out;
        for (const Diagnostic& error : diagnostics.errors()) {
            out.push_back(error.pointer + ": " + error.message);
        }
        return out;
    }

    Document document;
    Diagnostics diagnostics;
};

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("reader: reads every kind of value", "[model][base]") {
    Reading reading(R"({"b": true, "i": 12, "big": 1e12, "whole": 4096.0, "d": 2, "s": "x",
                        "is": [1, 2.0], "ds": [0.5, 1], "ss": ["a"], "choice": "high"})");
    ObjectReader reader = reading.reader();
    bool flag = false;
    int small = 0;
    int whole = 0;
    std::int64_t big = 0;
    double number = 0;
    std::string text;
    std::vector<std::int64_t> integers;
    std::vector<double> numbers;
    Strings texts;
    int choice = -1;
    reader.required("b", flag);
    reader.required("i", small, kPositive);
    reader.required("whole", whole, kAtLeastOne);
    reader.required("big", big, Range{0, 1e12});
    reader.required("d", number, kNotNegative);
    reader.required("s", text);
    reader.required("is", integers, kPositive);
    reader.optional("ds", numbers);
    reader.optional("ss", texts);
    reader.required_choice("choice", {"low", "high"}, choice);
    reader.finish();
    CHECK(reading.errors().empty());
    CHECK(flag);
    CHECK(small == 12);
    CHECK(whole == 4096);
    CHECK(big == 1'000'000'000'000);
    CHECK(number == 2);
    CHECK(text == "x");
    CHECK(integers == std::vector<std::int64_t>{1, 2});
    CHECK(numbers == std::vector<double>{0.5, 1});
    CHECK(texts == Strings{"a"});
    CHECK(choice == 1);
}

TEST_CASE("reader: absent or null optional values leave the defaults", "[model][base]") {
    Reading reading(R"({"i": null, "list": null, "object": null, "objects": null})");
    ObjectReader reader = reading.reader();
    int number = 7;
    std::vector<double> list{1};
    reader.optional("i", number);
    reader.optional("absent", number);
    reader.optional("list", list);
    CHECK_FALSE(reader.object("object", false));
    CHECK(reader.objects("objects", false).empty());
    reader.finish();
    CHECK(reading.errors().empty());
    CHECK(number == 7);
    CHECK(list == std::vector<double>{1});
    CHECK_FALSE(reader.has("i"));
    CHECK_FALSE(reader.has("absent"));
}

TEST_CASE("reader: wrong types are named and leave the value alone", "[model][base]") {
    Reading reading(R"({"a": "x", "b": 1.5, "c": 1, "d": {}, "e": 3, "f": [1, "x", null], "g": 1,
                        "h": true})");
    ObjectReader reader = reading.reader();
    double number = 1;
    int integer = 2;
    bool flag = false;
    std::string text = "kept";
    std::vector<std::int64_t> list{9};
    reader.required("a", number);
    reader.required("b", integer);
    reader.required("c", flag);
    reader.required("d", text);
    reader.required("e", list);
    reader.required("f", list);
    CHECK_FALSE(reader.object("g", false));
    reader.required("h", number);
    CHECK(reader.objects("g", false).empty());
    CHECK(reading.errors() ==
          Strings{"/a: expects a number, found a string", "/b: expects a whole number, found 1.5",
                  "/c: expects true or false, found a number",
                  "/d: expects a string, found an object", "/e: expects an array, found a number",
                  "/f/1: expects a whole number, found a string",
                  "/f/2: expects a whole number, found null",
                  "/g: expects an object, found a number", "/h: expects a number, found true",
                  "/g: expects an array, found a number"});
    CHECK(number == 1);
    CHECK(integer == 2);
    CHECK(text == "kept");
    CHECK(list == std::vector<std::int64_t>{9});
    CHECK(reading.diagnostics.errors()[5].location.column > 1);
}

TEST_CASE("reader: numbers out of range say what is allowed and what was found", "[model][base]") {
    Reading reading(R"({"a": -3, "b": 0.5, "c": -1, "d": 9, "e": 9, "f": [1, 0], "g": 7})");
    ObjectReader reader = reading.reader();
    double number = 1;
    int integer = 1;
    std::vector<double> list;
    reader.required("a", integer, kPositive);
    reader.required("b", number, kAtLeastOne);
    reader.required("c", number, kNotNegative);
    reader.required("d", integer, Range{1, 8});
    reader.required("e", number, Range{0, 1, true});
    reader.required("f", list, kPositive);
    reader.required("g", number, Range{-1e300, 6.5});
    CHECK(reading.errors() ==
          Strings{"/a: must be above 0, found -3", "/b: must be at least 1, found 0.5",
                  "/c: must be at least 0, found -1", "/d: must be from 1 to 8, found 9",
                  "/e: must be above 0 and at most 1, found 9", "/f/1: must be above 0, found 0",
                  "/g: must be at most 6.5, found 7"});
    CHECK(integer == 1);
    CHECK(number == 1);
}

TEST_CASE("reader: integers that do not fit are refused, the largest are exact", "[model][base]") {
    Reading reading(R"({"a": 2147483648, "b": 9223372036854775808, "c": 1e30, "d": -1e30,
                        "max": 9223372036854775807, "min": -9223372036854775808,
                        "odd": 9007199254740993, "int": -2147483648})");
    ObjectReader reader = reading.reader();
    int small = 0;
    std::int64_t large = 0;
    reader.required("a", small);
    reader.required("b", large);
    reader.required("c", large);
    reader.required("d", small);
    CHECK(reading.errors() == Strings{"/a: does not fit in 32 bits, found 2147483648",
                                      "/b: does not fit in 64 bits, found 9223372036854775808",
                                      "/c: does not fit in 64 bits, found 1e+30",
                                      "/d: does not fit in 64 bits, found -1e+30"});
    reader.required("max", large);
    CHECK(large == std::numeric_limits<std::int64_t>::max());
    reader.required("min", large);
    CHECK(large == std::numeric_limits<std::int64_t>::min());
    reader.required("odd", large);
    CHECK(large == 9007199254740993);
    reader.required("int", small);
    CHECK(small == std::numeric_limits<int>::min());
    CHECK(reading.diagnostics.errors().size() == 4);
}

TEST_CASE("reader: a missing key is reported at the object that lacks it", "[model][base]") {
    Reading reading("{\n \"workload\": {}, \"none\": null}");
    ObjectReader reader = reading.reader();
    int number = 0;
    auto workload = reader.object("workload", true);
    REQUIRE(workload);
    workload->required("sequence_length", number);
    reader.required("none", number);
    CHECK_FALSE(reader.object("plan", true));
    CHECK(reader.objects("list", true).empty());
    CHECK(reading.errors() == Strings{"/workload: missing key 'sequence_length'",
                                      "/none: must not be null", ": missing key 'plan'",
                                      ": missing key 'list'"});
    CHECK(reading.diagnostics.errors()[0].location.line == 2);
    CHECK(reading.diagnostics.errors()[0].location.column == 14);
}

TEST_CASE("reader: an unknown key is reported at the key, with a suggestion", "[model][base]") {
    Reading reading("{\n  \"sequnce_length\": 1, \"a/b\": 2}");
    ObjectReader reader = reading.reader();
    int number = 0;
    reader.optional("sequence_length", number);
    reader.finish();
    CHECK(reading.errors() ==
          Strings{"/sequnce_length: unknown key 'sequnce_length', did you mean 'sequence_length'?",
                  "/a~1b: unknown key 'a/b'"});
    const Diagnostic& first = reading.diagnostics.errors()[0];
    CHECK(first.location.line == 2);
    CHECK(first.location.column == 3);
    CHECK(first.source_line == "  \"sequnce_length\": 1, \"a/b\": 2}");
}

TEST_CASE("reader: in foreign files unknown keys are notes", "[model][base]") {
    Reading reading(R"({"architectures": [], "known": 1})");
    ObjectReader reader = reading.reader();
    reader.accept("known");
    reader.finish(Keys::foreign);
    CHECK(reading.diagnostics.ok());
    CHECK(reading.diagnostics.notes() ==
          Strings{"f.json:1:2: /architectures: unknown key 'architectures' ignored"});
}

TEST_CASE("reader: what an override names is an error in foreign files too", "[model][base]") {
    Reading reading(R"({"known": {"inner": 1}})");
    CHECK(reading.document.set("/knwon/x", 2, {"--set", 0, 0}));
    CHECK_FALSE(reading.document.is_override("/known/inner"));
    CHECK(reading.document.is_override("/knwon"));
    ObjectReader reader = reading.reader();
    reader.accept("known");
    reader.finish(Keys::foreign);
    CHECK(reading.errors() == Strings{"/knwon: unknown key 'knwon', did you mean 'known'?"});
}

TEST_CASE("reader: a choice lists what it can be and suggests the closest", "[model][base]") {
    Reading reading(R"({"kernel": "low_latancy", "other": 1, "none": "zzz"})");
    ObjectReader reader = reading.reader();
    int choice = 5;
    reader.required_choice("kernel", {"normal", "low_latency"}, choice);
    reader.optional_choice("other", {"normal"}, choice);
    reader.optional_choice("none", {"normal"}, choice);
    reader.optional_choice("absent", {"normal"}, choice);
    CHECK(choice == 5);
    CHECK(reading.errors() ==
          Strings{"/kernel: must be one of 'normal', 'low_latency', found 'low_latancy', did you "
                  "mean 'low_latency'?",
                  "/other: expects a string, found a number",
                  "/none: must be one of 'normal', found 'zzz'"});
}

TEST_CASE("reader: the header must name the kind and the version", "[model][base]") {
    const auto errors = [](std::string_view text) {
        Reading reading(text);
        ObjectReader reader = reading.reader();
        reader.accept_header("scenario");
        reader.finish();
        return reading.errors();
    };
    CHECK(errors(R"({"$schema": "x", "comment": "y", "schema": "r1sim.scenario/1"})").empty());
    CHECK(errors("{}") == Strings{": missing key 'schema', which must be 'r1sim.scenario/1'"});
    CHECK(errors(R"({"schema": "r1sim.topology/1"})") ==
          Strings{"/schema: must be 'r1sim.scenario/1', found 'r1sim.topology/1'"});
    CHECK(errors(R"({"schema": 1})") ==
          Strings{"/schema: expects 'r1sim.scenario/1', found a number"});
}

TEST_CASE("reader: objects of an array are read by index, and what is none is reported",
          "[model][base]") {
    Reading reading(R"({"links": [{"a": 1}, 5, {"a": "x"}]})");
    ObjectReader reader = reading.reader();
    auto links = reader.objects("links", true);
    REQUIRE(links.size() == 3);
    CHECK_FALSE(links[1].is_object());
    int number = 0;
    for (ObjectReader& link : links) {
        link.required("a", number);
        link.finish();
    }
    CHECK(links[2].pointer("a") == "/links/2/a");
    CHECK(reading.errors() == Strings{"/links/1: expects an object, found a number",
                                      "/links/2/a: expects a whole number, found a string"});
}

TEST_CASE("reader: a root that is no object is one error, and reading on is harmless",
          "[model][base]") {
    Reading reading("[1]");
    ObjectReader reader = reading.reader();
    int number = 3;
    CHECK_FALSE(reader.is_object());
    CHECK_FALSE(reader.has("x"));
    CHECK(reader.raw("x") == nullptr);
    reader.accept_header("scenario");
    reader.required("x", number);
    CHECK_FALSE(reader.object("x", true));
    CHECK(reader.objects("x", true).empty());
    reader.finish();
    CHECK(number == 3);
    CHECK(reading.errors() == Strings{": expects an object, found an array"});
    Diagnostics diagnostics;
    CHECK_FALSE(ObjectReader(reading.document, "/none", diagnostics).is_object());
    CHECK(diagnostics.errors()[0].message == "is missing");
}

TEST_CASE("reader: callers can add errors of their own", "[model][base]") {
    Reading reading("{\n\"a\": 1}");
    ObjectReader reader = reading.reader();
    reader.error("a", "is odd");
    reader.error("", "does not add up");
    CHECK(reading.errors() == Strings{"/a: is odd", ": does not add up"});
    CHECK(render(reading.diagnostics.errors()[0]) ==
          "f.json:2:6: /a: is odd\n    \"a\": 1}\n         ^");
}

TEST_CASE("reader: numbers that no JSON file can hold are refused too", "[model][base]") {
    const Document document =
        Document::from_json(Json{{"a", std::numeric_limits<double>::infinity()},
                                 {"b", std::numeric_limits<double>::quiet_NaN()}},
                            "program");
    Diagnostics diagnostics;
    ObjectReader reader(document, "", diagnostics);
    double number = 1;
    std::int64_t integer = 1;
    reader.required("a", number);
    reader.required("a", integer);
    reader.required("b", number);
    reader.required("b", integer);
    CHECK(diagnostics.errors().size() == 4);
    CHECK(diagnostics.errors()[0].location.file == "program");
}
