// Reports as commands read them from files.
#pragma once

#include <functional>
#include <string>

#include "model/base/json_fwd.hpp"

namespace r1 {

// Of any version of r1sim that wrote "r1sim.report/1": values must be what the schema of reports
// says, but keys may be missing and unknown. Throws InputError with every problem.
Json read_report(const Document& document);

// Calls `use`, which may need more of a document than was asked for when it was read. Throws
// InputError with what the document lacks by its schema (scenarios/KIND.schema.json), if that is
// why `use` fails.
void with_schema(const Document& document, const std::string& kind,
                 const std::function<void()>& use);

}  // namespace r1
