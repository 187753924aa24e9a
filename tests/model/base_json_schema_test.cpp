#include "model/base/json_schema.hpp"

#include <string>

#include "model/base/json.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

TEST_CASE("json schema: a text of megabytes matches no pattern, and takes no stack",
          "[base][json]") {
    const Json schema = Json::parse(R"({"type": "string", "pattern": "^(a|b)+$"})");
    CHECK(schema_problems(schema, Json("abba")).empty());
    std::string text;
    text.resize(10'000'000, 'a');
    const auto problems = schema_problems(schema, Json(text));
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].message == R"(expects a match of "^(a|b)+$", found a long string)");
}

}  // namespace r1
