// Checksums of stored bytes (XXH3, 128 bit, as hexadecimal digits): against damage, not intent.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace r1 {

std::string checksum(std::string_view bytes);
// Of a whole file, which need not fit into memory. Throws InputError if it cannot be read.
std::string file_checksum(const std::filesystem::path& file);

}  // namespace r1
