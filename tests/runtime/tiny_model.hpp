// The golden model that is in the repository, for tests of the runtime.
#pragma once

#include <filesystem>

#include "model/checkpoint/checkpoint.hpp"

namespace r1::test {

inline Checkpoint tiny_model() {
    return Checkpoint::open(std::filesystem::path(R1_SOURCE_DIR) / "tests/golden/tiny_a");
}

}  // namespace r1::test
