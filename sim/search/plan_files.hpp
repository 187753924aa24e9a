// A plan file, the files that it names, and --set.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/base/json.hpp"

namespace r1 {

// The plan as its file says, with the prices in place (files relative to `base`) and the overrides
// applied. A model or a cluster is put in place where a field inside it is overridden. Problems go
// to `problems`, and the rest can still be read.
Document complete_plan_document(Document document, const std::filesystem::path& base,
                                const std::vector<Override>& overrides,
                                std::vector<Diagnostic>& problems);

// A file that the plan names, as the working directory sees it; presets stay.
std::string seen_from_here(const std::string& name, const std::filesystem::path& base);

}  // namespace r1
