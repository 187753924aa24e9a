// Text on disk: which files there are, and what they hold.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/base/diagnostics.hpp"

namespace r1 {

// Files as they are named; a folder's files, and those of the folders in it, in the order of their
// paths' bytes. Links to files count, links to folders inside a folder are not followed.
std::vector<std::filesystem::path> find_files(const std::vector<std::filesystem::path>& paths,
                                              Diagnostics& diagnostics);

// Unpacked if the name ends in .gz. nullopt for what is no text: it has a byte 0. Throws
// InputError if it cannot be read.
std::optional<std::string> read_text(const std::filesystem::path& file);

}  // namespace r1
