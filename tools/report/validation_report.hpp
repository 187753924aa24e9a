// What a validation found, as JSON ("r1sim.validation/1") and as a table.
#pragma once

#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/timeline/validation.hpp"

namespace r1 {

// Where the two timelines came from.
struct ValidationSources {
    std::string measured;
    std::string simulated;
};

Json validation_json(const Validation& validation, const ValidationSources& sources);
std::string validation_table(const Json& validation);

// One of several validations; its place among them is its name.
struct ValidationCase {
    std::string name;
    Json validation;
};
// The scoreboard ("r1sim.validation_cases/1").
Json validation_cases_json(const std::vector<ValidationCase>& cases);
std::string validation_cases_table(const Json& scoreboard);

}  // namespace r1
