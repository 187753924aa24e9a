#include "model/base/units.hpp"

#include <type_traits>
#include <unordered_set>

#include "model/base/ids.hpp"
#include "tests/support/catch.hpp"

using namespace r1;

namespace {

template <class A, class B>
concept Addable = requires(A a, B b) {
    a + b;
};
template <class A, class B>
concept Multipliable = requires(A a, B b) {
    a* b;
};
template <class A, class B>
concept Divisible = requires(A a, B b) {
    a / b;
};
template <class A, class B>
concept Comparable = requires(A a, B b) {
    a < b;
};

}  // namespace

TEST_CASE("units: only products that exist in physics compile", "[model][base]") {
    STATIC_REQUIRE(std::is_same_v<decltype(Bytes(1) / BytesPerSecond(1)), Seconds>);
    STATIC_REQUIRE(std::is_same_v<decltype(Flops(1) / FlopsPerSecond(1)), Seconds>);
    STATIC_REQUIRE(std::is_same_v<decltype(Bytes(1) / Seconds(1)), BytesPerSecond>);
    STATIC_REQUIRE(std::is_same_v<decltype(Flops(1) / Seconds(1)), FlopsPerSecond>);
    STATIC_REQUIRE(std::is_same_v<decltype(BytesPerSecond(1) * Seconds(1)), Bytes>);
    STATIC_REQUIRE(std::is_same_v<decltype(FlopsPerSecond(1) * Seconds(1)), Flops>);
    STATIC_REQUIRE(std::is_same_v<decltype(Bytes(1) / Bytes(1)), double>);
    STATIC_REQUIRE(Addable<Bytes, Bytes>);
    STATIC_REQUIRE_FALSE(Addable<Bytes, Seconds>);
    STATIC_REQUIRE_FALSE(Addable<Bytes, double>);
    STATIC_REQUIRE_FALSE(Multipliable<Bytes, Bytes>);
    STATIC_REQUIRE_FALSE(Multipliable<Bytes, Seconds>);
    STATIC_REQUIRE_FALSE(Divisible<Bytes, FlopsPerSecond>);
    STATIC_REQUIRE_FALSE(Comparable<Bytes, Flops>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<double, Bytes>);
}

TEST_CASE("units: 1 GB is 1e9 bytes, and rates divide as in a sum on paper", "[model][base]") {
    CHECK((Bytes(450e9) / gb_per_s(450)).value() == 1.0);
    CHECK((Flops(989e12) / tflops(989)).value() == 1.0);
    CHECK((gb_per_s(50) * Seconds(2)).value() == 100e9);
    CHECK(microseconds(3).value() == Approx(3e-6));
    CHECK(Bytes(6) / Bytes(4) == 1.5);
    CHECK((2.0 * Bytes(3) + Bytes(1) - Bytes(2)) == Bytes(5));
    CHECK(Bytes(6) / 4.0 == Bytes(1.5));
    CHECK(Bytes(1) < Bytes(2));
    CHECK(Bytes() == Bytes(0));
}

TEST_CASE("units: picoseconds round to the nearest and come back", "[model][base]") {
    CHECK(to_ps(microseconds(1)) == 1'000'000);
    CHECK(to_ps(Seconds(1.6e-12)) == 2);
    CHECK(to_ps(Seconds(-1.6e-12)) == -2);
    // A day: 8.64e16 ps is beyond 2^53, and still exact to a fraction of a nanosecond.
    CHECK(from_ps(to_ps(Seconds(86400))).value() == Approx(86400).epsilon(1e-15));
    for (const TimePs time : {TimePs{0}, TimePs{1}, TimePs{999'999'937}, TimePs{1} << 50}) {
        CHECK(to_ps(from_ps(time)) == time);
    }
}

TEST_CASE("ids: one kind of index is no other, and a fresh one is invalid", "[model][base]") {
    STATIC_REQUIRE_FALSE(std::is_convertible_v<OpIndex, TensorId>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<std::size_t, OpIndex>);
    CHECK_FALSE(OpIndex().valid());
    CHECK(OpIndex(0).valid());
    CHECK(OpIndex(7).index() == 7);
    CHECK(OpIndex(1) < OpIndex(2));
    CHECK(std::unordered_set<RankId>{RankId(1), RankId(1), RankId(2)}.size() == 2);
}
