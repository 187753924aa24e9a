#include "runtime/buffer_pool.hpp"

#include "tests/support/catch.hpp"

namespace r1 {

TEST_CASE("buffer pool: memory is used again when those who used it are done", "[runtime]") {
    BufferPool pool;
    const auto over = [](const StreamPoints&) { return true; };
    const StreamPoints first{3, 1};
    const StreamPoints second{4, 0};
    const auto until = [](const StreamPoints& points) {
        return [points](const StreamPoints& users) { return users == points; };
    };
    const std::span<std::byte> a = pool.take(1000, over);
    const std::span<std::byte> b = pool.take(1000, over);
    CHECK(a.data() != b.data());
    pool.give_back(a, first);
    pool.give_back(b, second);
    // Nobody waits: who finds nothing gets new memory.
    const std::span<std::byte> c = pool.take(1000, until({9}));
    CHECK(c.data() != a.data());
    CHECK(c.data() != b.data());
    CHECK(pool.take(990, until(first)).data() == a.data());  // of the same size class
    CHECK(pool.take(1000, until(second)).data() == b.data());
    pool.give_back(c, first);
    pool.settle();
    CHECK(pool.take(1000, until({})).data() == c.data());
    CHECK(pool.peak_bytes() == 2990);
}

}  // namespace r1
