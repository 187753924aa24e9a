// Where test data lies. $R1_DATA_DIR puts another set of the same layout in its place.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace r1::test {

// $R1_DATA_DIR, else <source root>/../shared if it holds golden data, else <source root>/tests.
std::filesystem::path data_dir();

// The folder of index.json: data_dir() itself, or its golden/.
std::filesystem::path golden_dir();

// What lies in a folder of the golden set, sorted. Another set may lack the folder: then the test
// has nothing to do, and this says so for ctest to see.
std::vector<std::filesystem::path> golden_entries(const std::string& folder);

}  // namespace r1::test
