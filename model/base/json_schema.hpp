// What of a document does not conform to a JSON Schema, in the keywords that our schemas use.
#pragma once

#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"

namespace r1 {

struct SchemaProblem {
    std::string pointer;  // of the value
    std::string message;
    bool is_of_keys = false;  // one is missing, or one too many
};

// References to other files are not followed: their documents are checked where they are read.
std::vector<SchemaProblem> schema_problems(const Json& schema, const Json& value);

}  // namespace r1
