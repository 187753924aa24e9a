// What of a document does not conform to a JSON Schema: tests/cli/conforms.jq for unit tests.
#pragma once

#include <string>
#include <vector>

#include "model/base/json.hpp"

namespace r1::test {

// "pointer: problem" each; knows the keywords that our schemas use and refuses others.
std::vector<std::string> schema_problems(const Json& schema, const Json& value);

}  // namespace r1::test
