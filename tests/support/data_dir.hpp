// Where test data lies. $R1_DATA_DIR puts another set of the same layout in its place.
#pragma once

#include <filesystem>

namespace r1::test {

// $R1_DATA_DIR, else <source root>/../shared if it holds golden data, else <source root>/tests.
std::filesystem::path data_dir();

// The folder of index.json: data_dir() itself, or its golden/.
std::filesystem::path golden_dir();

}  // namespace r1::test
