// Members of a file that name other files, which are put in their place, and --set.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/base/json.hpp"

namespace r1 {

// Runs `load`, which puts the file of a member in place. A file that cannot be read becomes a
// problem of the member that names it, and loading goes on.
template <class Load>
void try_load(const Document& document, const std::string& pointer,
              std::vector<Diagnostic>& problems, Load load) {
    try {
        load();
    } catch (const InputError& error) {
        problems.push_back(document.diagnostic(pointer, "cannot be loaded:"));
        problems.insert(problems.end(), error.diagnostics().begin(), error.diagnostics().end());
    }
}

// The folder that a member's file is named from: the current one where --set names it, else `base`.
std::filesystem::path named_from(const Document& document, const std::string& pointer,
                                 const std::filesystem::path& base);

// A member that is a file or a preset, by its name and the folder that it is named from; an inline
// object stays.
template <class Load>
void put_in_place(Document& document, const std::string& pointer, const std::filesystem::path& base,
                  std::vector<Diagnostic>& problems, Load load) {
    const Json* value = document.find(pointer);
    if (value != nullptr && value->is_string()) {
        const std::string name = value->get<std::string>();
        const std::filesystem::path folder = named_from(document, pointer, base);
        try_load(document, pointer, problems, [&] { document.graft(pointer, load(name, folder)); });
    }
}

// Without its file, what is said about a member only follows.
bool lies_below(const std::string& pointer, const std::vector<Diagnostic>& causes);

// Nothing where the file of the member could not be loaded: `problems` says that already.
void apply_override(Document& document, const Override& override_,
                    std::vector<Diagnostic>& problems);

}  // namespace r1
