#include "kernels/cpu/fill_normal.hpp"

#include <vector>

#include "kernels/cpu/threads.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

TEST_CASE("fill_normal: each value is the generator's, whatever the threads", "[kernels]") {
    const Rng rng(7, 3);
    const std::int64_t threads = cpu::thread_count();
    for (const std::int64_t count : {1, 3}) {
        cpu::set_thread_count(count);
        std::vector<float> values(20001);
        cpu::fill_normal(rng, 0.5, values);
        bool all_equal = true;
        for (std::size_t i = 0; i < values.size(); ++i) {
            all_equal &= values[i] == static_cast<float>(0.5 * rng.normal(i));
        }
        CHECK(all_equal);
    }
    cpu::set_thread_count(threads);
}

}  // namespace r1
