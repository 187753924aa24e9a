// Both engines against cases solved by hand (the algebra is above each). B is bytes, C the
// capacity of a link.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/base/check.hpp"
#include "tests/sim/engine_cases.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::computation;
using test::flow;
using test::MakeEngine;
using test::small_network;
using test::this_engine;
using test::transfer;

// Starts the activities together, under their indices, and returns when each ends, in seconds.
std::vector<double> ends_of(MakeEngine make, const std::vector<Activity>& activities,
                            const EngineNetwork& network = small_network()) {
    const auto engine = make(network);
    std::vector<double> ends(activities.size(), -1.0);
    for (std::size_t i = 0; i < activities.size(); ++i) engine->start(i, activities[i]);
    engine->run([&](ActivityId id, TimePs now) {
        REQUIRE(ends.at(id) < 0);
        REQUIRE(now == engine->now());
        ends[id] = from_ps(now).value();
    });
    return ends;
}

// Every hand-solved time holds to a nanosecond, and mostly to the picosecond of the clock.
constexpr double kToleranceS = 1e-9;

void check_ends(MakeEngine make, const std::vector<Activity>& activities,
                const std::vector<double>& expected,
                const EngineNetwork& network = small_network()) {
    const std::vector<double> ends = ends_of(make, activities, network);
    REQUIRE(ends.size() == expected.size());
    for (std::size_t i = 0; i < ends.size(); ++i) {
        INFO("activity " << i);
        CHECK(std::abs(ends[i] - expected[i]) <= kToleranceS);
    }
}

TEST_CASE("engine: a flow alone takes bytes over bandwidth", "[sim][engine]") {
    const MakeEngine make = this_engine();
    // B / C = 5e9 / 10e9.
    check_ends(make, {transfer({flow(0, 1, 5e9)})}, {0.5});
    // 1 MB: 100 us. A fraction of a byte counts: 0.5 B / 10 GB/s = 50 ps, below the tolerance.
    check_ends(make, {transfer({flow(0, 1, 1e6)})}, {100e-6});
    const std::vector<double> ends = ends_of(make, {transfer({flow(0, 1, 0.5)})});
    CHECK(to_ps(Seconds(ends[0])) == 50);
    // 5 B more end half a nanosecond later: no merging of near ties.
    const std::vector<double> near =
        ends_of(make, {transfer({flow(0, 1, 1e6)}), transfer({flow(2, 3, 1'000'005)})});
    CHECK(to_ps(Seconds(near[1] - near[0])) == 500);
}

TEST_CASE("engine: two flows share an up link", "[sim][engine]") {
    const MakeEngine make = this_engine();
    // Each at C / 2 until the shorter is done, at 2 * 1e9 / C = 0.2 s; then the other has C for
    // the 2e9 that are left: 0.2 + 2e9 / C = 0.4 s.
    check_ends(make, {transfer({flow(0, 1, 1e9)}), transfer({flow(0, 2, 3e9)})}, {0.2, 0.4});
}

TEST_CASE("engine: up and down links bind on their own", "[sim][engine]") {
    const MakeEngine make = this_engine();
    // 20 GB/s up into 10 GB/s down; 10 GB/s up into 5 GB/s down; 5 GB/s down to itself.
    check_ends(make, {transfer({flow(4, 0, 1e9)}), transfer({flow(1, 5, 1e9)})}, {0.1, 0.2});
    check_ends(make, {transfer({flow(4, 4, 1e9)})}, {0.2});
    // No reverse traffic: the two directions between a pair do not slow each other.
    check_ends(make, {transfer({flow(0, 1, 1e9)}), transfer({flow(1, 0, 1e9)})}, {0.1, 0.1});
}

TEST_CASE("engine: multiplicity is weight in the fair share", "[sim][engine]") {
    const MakeEngine make = this_engine();
    // Seven flows of 1e9 folded onto endpoint 0 and one of 1e9 from 0 to 1: C / 8 each, so all
    // eight end at 8e9 / C.
    check_ends(make, {transfer({flow(0, 0, 1e9, 7)}), transfer({flow(0, 1, 1e9)})}, {0.8, 0.8});
    // The foreign flow has 3e9: it has moved 1e9 at 0.8 s, and has C for the other 2e9.
    check_ends(make, {transfer({flow(0, 0, 1e9, 7)}), transfer({flow(0, 1, 3e9)})}, {0.8, 1.0});
    // The foreign flow has 0.5e9: it ends at 8 * 0.5e9 / C = 0.4 s; 7 * 0.5e9 are left, with C.
    check_ends(make, {transfer({flow(0, 0, 1e9, 7)}), transfer({flow(0, 1, 0.5e9)})}, {0.75, 0.4});
}

TEST_CASE("engine: a flow of multiplicity m is m flows", "[sim][engine]") {
    const MakeEngine make = this_engine();
    const std::vector<Activity> others = {transfer({flow(0, 1, 2e9)}),
                                          transfer({flow(2, 0, 1e9, 3)}, 0.1),
                                          transfer({flow(3, 1, 4e9, 2)}, 0.05)};
    std::vector<Activity> folded = others;
    folded.push_back(transfer({flow(0, 0, 1e9, 7, gb_per_s(1.2))}));
    std::vector<Activity> expanded = others;
    for (int i = 0; i < 7; ++i) {
        expanded.push_back(transfer({flow(0, 0, 1e9, 1, gb_per_s(1.2))}));
    }
    const std::vector<double> folded_ends = ends_of(make, folded);
    const std::vector<double> expanded_ends = ends_of(make, expanded);
    for (std::size_t i = 0; i < expanded_ends.size(); ++i) {
        CHECK(std::abs(expanded_ends[i] - folded_ends[std::min<std::size_t>(i, 3)]) <= kToleranceS);
    }
}

TEST_CASE("engine: rate_max caps each flow", "[sim][engine]") {
    const MakeEngine make = this_engine();
    // B / rate_max = 1e9 / 1e9; what it leaves, 9 GB/s, is the other's: 4.5e9 / 9e9.
    check_ends(make, {transfer({flow(0, 1, 1e9, 1, gb_per_s(1))}), transfer({flow(0, 2, 4.5e9)})},
               {1.0, 0.5});
    // Three flows of at most 2 GB/s leave 4 GB/s of 10.
    check_ends(make, {transfer({flow(0, 1, 2e9, 3, gb_per_s(2))}), transfer({flow(0, 2, 4e9)})},
               {1.0, 1.0});
    // A million flows of at most C / 1e6, less one, leave C / 1e6 = 10 kB/s: 1000 / 10e3.
    check_ends(
        make,
        {transfer({flow(0, 1, 1e4, 999'999, BytesPerSecond(1e4))}), transfer({flow(0, 2, 1e3)})},
        {1.0, 0.1});
    // A cap above the share binds nobody: C / 2 each.
    check_ends(make, {transfer({flow(0, 1, 1e9, 1, gb_per_s(8))}), transfer({flow(0, 2, 1e9)})},
               {0.2, 0.2});
}

TEST_CASE("engine: max-min gives what one link cannot use to the next", "[sim][engine]") {
    const MakeEngine make = this_engine();
    // Down link 5 has 5 GB/s for two flows, 2.5 each; that from 0 leaves 7.5 for 0 -> 1.
    // 0 -> 1: 1.5e9 / 7.5e9 = 0.2 s; the other two: 2.5e9 / 2.5e9 = 1 s.
    check_ends(make,
               {transfer({flow(0, 1, 1.5e9)}), transfer({flow(0, 5, 2.5e9)}),
                transfer({flow(2, 5, 2.5e9)})},
               {0.2, 1.0, 1.0});
}

TEST_CASE("engine: a delay comes before the work", "[sim][engine]") {
    const MakeEngine make = this_engine();
    check_ends(make,
               {transfer({flow(0, 1, 1e9)}, 0.25), transfer({}, 3e-6), computation(0, 0.5, 0.125)},
               {0.35, 3e-6, 0.625});
    // The second flow starts at 0.1 s, when the first has 1e9 left: both need 2e9 / C more.
    check_ends(make, {transfer({flow(0, 1, 2e9)}), transfer({flow(0, 2, 1e9)}, 0.1)}, {0.3, 0.3});
}

TEST_CASE("engine: activities share the compute of a rank", "[sim][engine]") {
    const MakeEngine make = this_engine();
    // Two of 1 s together: 2 s. On two ranks: 1 s.
    check_ends(make, {computation(0, 1), computation(0, 1)}, {2.0, 2.0});
    check_ends(make, {computation(0, 1), computation(1, 1)}, {1.0, 1.0});
    // The second comes at 0.5 s; half a second of each other's work is left to the first, which
    // takes 1 s more; then 0.5 s of the second is left, alone.
    check_ends(make, {computation(0, 1), computation(0, 1, 0.5)}, {1.5, 2.0});
    // Three: 0.1 s of each by 0.3 s, then two with 0.1 s more by 0.5 s, then 0.1 s alone.
    check_ends(make, {computation(0, 0.1), computation(0, 0.2), computation(0, 0.3)},
               {0.3, 0.5, 0.6});
}

TEST_CASE("engine: an activity ends with the last of its parts", "[sim][engine]") {
    const MakeEngine make = this_engine();
    Activity both = computation(0, 0.3, 0.1);
    both.flows = {flow(0, 1, 1e9), flow(2, 3, 2e9)};
    check_ends(make, {both}, {0.4});  // 0.1 + max(0.3, 0.1, 0.2)
    both.flows = {flow(0, 1, 1e9), flow(2, 3, 5e9)};
    check_ends(make, {both}, {0.6});  // 0.1 + max(0.3, 0.1, 0.5)
    // Its two flows share the up link: 0.1 + 2 * 2e9 / C.
    both.flows = {flow(0, 1, 2e9), flow(0, 2, 2e9)};
    check_ends(make, {both}, {0.5});
}

TEST_CASE("engine: nothing to do takes no time", "[sim][engine]") {
    const MakeEngine make = this_engine();
    check_ends(make,
               {transfer({}), transfer({flow(0, 1, 0)}), transfer({flow(0, 0, 0, 7)}),
                computation(0, 0), transfer({flow(0, 1, 0), flow(0, 1, 1e9)})},
               {0, 0, 0, 0, 0.1});

    const auto engine = make(small_network());
    int completed = 0;
    engine->start(0, {});
    CHECK(completed == 0);
    engine->run([&](ActivityId id, TimePs now) {
        const int before = ++completed;
        if (id < 5000) engine->start(id + 1, {});  // deep, but never inside start()
        CHECK(completed == before);
        CHECK(now == 0);
    });
    CHECK(completed == 5001);
    CHECK(engine->counts().activities == 5001);
}

TEST_CASE("engine: on_complete starts what comes next", "[sim][engine]") {
    const MakeEngine make = this_engine();
    // A chain of 100 messages of 1 MB: 100 us each; every tenth forks a computation of 1 ms.
    const auto engine = make(small_network());
    std::map<ActivityId, TimePs> ends;
    engine->start(1, transfer({flow(0, 1, 1e6)}));
    engine->run([&](ActivityId id, TimePs now) {
        ends[id] = now;
        if (id >= 1000) return;
        if (id < 100) engine->start(id + 1, transfer({flow(id % 4, (id + 1) % 4, 1e6)}));
        if (id % 10 == 0) engine->start(1000 + id, computation((id / 10) % 2, 1e-3));
    });
    for (ActivityId id = 1; id <= 100; ++id) CHECK(ends.at(id) == 100'000'000 * TimePs(id));
    // Computations on one rank start 2 ms apart: they do not meet.
    for (ActivityId id = 10; id <= 100; id += 10) {
        CHECK(ends.at(1000 + id) == ends.at(id) + 1'000'000'000);
    }
    CHECK(ends.size() == 110);
    CHECK(engine->counts().activities == 110);
    CHECK(engine->counts().flows == 100);

    // A second run goes on from where the first ended.
    const TimePs begin = engine->now();
    engine->start(1, computation(0, 0.5));
    engine->run([&](ActivityId, TimePs now) { CHECK(now == begin + 500'000'000'000); });
    engine->run([&](ActivityId, TimePs) { FAIL("nothing was started"); });
}

TEST_CASE("engine: what on_complete throws reaches the caller", "[sim][engine]") {
    const MakeEngine make = this_engine();
    {
        // Ten end together at 10 s, and the first throws; a flow of 50 s is under way.
        const auto engine = make(small_network());
        for (ActivityId id = 0; id < 10; ++id) engine->start(id, computation(0, 1.0));
        engine->start(10, transfer({flow(0, 1, 500e9)}));
        int calls = 0;
        const auto throws = [&](ActivityId, TimePs) {
            ++calls;
            throw std::out_of_range("mine");
        };
        CHECK_THROWS_AS(engine->run(throws), std::out_of_range);
        CHECK(calls == 1);
    }
    check_ends(make, {computation(0, 1)}, {1.0});  // and the next engine is not affected
}

TEST_CASE("engine: flows share a trunk behind their own links", "[sim][engine]") {
    const MakeEngine make = this_engine();
    // Endpoints of 10 GB/s; 0 and 1 share 8 GB/s up and 5 GB/s down.
    EngineNetwork network = small_network();
    network.trunks.push_back({"leaf", gb_per_s(8), gb_per_s(5)});
    network.endpoints[0].trunks = network.endpoints[1].trunks = {TrunkId(std::size_t{0})};
    const auto crossing = [](Flow f) {
        const TrunkId trunk(std::size_t{0});
        (f.from.index() < 2 ? f.trunks.up : f.trunks.down) = trunk;
        return f;
    };
    // Up: two flows of 8 GB at 4 GB/s each. Below the leaf all of the link's 10 GB/s, less the 4
    // that endpoint 0 sends up: 12 GB in 2 s. Then all the same.
    check_ends(make,
               {transfer({crossing(flow(0, 2, 8e9))}), transfer({crossing(flow(1, 3, 8e9))}),
                transfer({flow(0, 1, 12e9)})},
               {2.0, 2.0, 2.0}, network);
    // Three equal flows up weigh as much as three: (3 + 1) x 2 GB over 8 GB/s.
    check_ends(make,
               {transfer({crossing(flow(0, 2, 2e9, 3))}), transfer({crossing(flow(1, 3, 2e9))})},
               {1.0, 1.0}, network);
    // Down, 5 GB/s.
    check_ends(make, {transfer({crossing(flow(2, 0, 5e9))}), transfer({crossing(flow(3, 1, 5e9))})},
               {2.0, 2.0}, network);
}

TEST_CASE("engine: misuse is a bug of ours, and found", "[sim][engine]") {
    const MakeEngine make = this_engine();
    EngineNetwork unknown_trunk = small_network();
    unknown_trunk.endpoints[0].trunks = {TrunkId(std::size_t{0})};
    CHECK_THROWS_AS(make(unknown_trunk), InternalError);
    EngineNetwork broken = small_network();
    broken.endpoints[0].up = BytesPerSecond(0);
    CHECK_THROWS_AS(make(broken), InternalError);

    const auto engine = make(small_network());
    if (make == make_simgrid_engine) {
        CHECK_THROWS_AS(make(small_network()), InternalError);  // one at a time
    }
    CHECK_THROWS_AS(engine->start(1, transfer({flow(0, 6, 1)})), InternalError);
    CHECK_THROWS_AS(engine->start(1, transfer({flow(0, 1, 1, 0)})), InternalError);
    Flow astray = flow(0, 1, 1);
    astray.trunks.up = TrunkId(std::size_t{0});  // none of endpoint 0's
    CHECK_THROWS_AS(engine->start(1, transfer({astray})), InternalError);
    CHECK_THROWS_AS(engine->start(1, transfer({flow(0, 1, -1)})), InternalError);
    CHECK_THROWS_AS(engine->start(1, computation(2, 1)), InternalError);
    CHECK_THROWS_AS(engine->start(1, computation(0, 1, -1)), InternalError);
    CHECK(engine->counts().activities == 0);
    engine->start(1, {});
    if (make == make_simgrid_engine) {
        CHECK_THROWS_AS(engine->start(1, {}), InternalError);  // live already
    }
    CHECK(engine->counts().activities == 1);
}

TEST_CASE("engine: doubling every bandwidth halves every time", "[sim][engine]") {
    const MakeEngine make = this_engine();
    const std::vector<Activity> activities = {
        transfer({flow(0, 0, 1e9, 7)}), transfer({flow(0, 1, 3e9), flow(2, 5, 1e9)}),
        transfer({flow(3, 5, 2e9)}), transfer({flow(4, 1, 1e9, 3)})};
    const std::vector<double> slow = ends_of(make, activities, small_network(1));
    const std::vector<double> fast = ends_of(make, activities, small_network(2));
    for (std::size_t i = 0; i < slow.size(); ++i) {
        CHECK(std::abs(fast[i] - slow[i] / 2) <= kToleranceS);
    }
}  // namespace

}  // namespace
}  // namespace r1
