#include "kernels/cuda/hopper/use.hpp"

#include <cstdlib>

#include "tests/support/catch.hpp"

namespace r1::cuda {

TEST_CASE("Hopper's kernels run on compute capability 9.0 alone, unless the environment says no",
          "[kernels]") {
    ::unsetenv("R1_HOPPER_KERNELS");
    CHECK(use_hopper_kernels(90));
    CHECK_FALSE(use_hopper_kernels(80));
    CHECK_FALSE(use_hopper_kernels(100));
    ::setenv("R1_HOPPER_KERNELS", "0", 1);
    CHECK_FALSE(use_hopper_kernels(90));
    ::setenv("R1_HOPPER_KERNELS", "1", 1);
    CHECK(use_hopper_kernels(90));
    ::unsetenv("R1_HOPPER_KERNELS");
}

}  // namespace r1::cuda
