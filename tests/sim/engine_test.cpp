// The SimGrid engine against cases solved by hand (the algebra is above each), then against a small
// max-min simulator on random networks. B is bytes, C the capacity of a link.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/base/check.hpp"
#include "sim/simgrid_engine.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

// Four endpoints of 10 GB/s both ways, two of 20 GB/s up and 5 GB/s down, and two computes.
EngineNetwork small_network(double scale = 1.0) {
    EngineNetwork network;
    network.compute = {"a", "b"};
    for (int i = 0; i < 4; ++i) {
        network.endpoints.push_back({"even", gb_per_s(10 * scale), gb_per_s(10 * scale)});
    }
    for (int i = 0; i < 2; ++i) {
        network.endpoints.push_back({"uneven", gb_per_s(20 * scale), gb_per_s(5 * scale)});
    }
    return network;
}

Flow flow(std::size_t from, std::size_t to, double bytes, int multiplicity = 1,
          BytesPerSecond rate_max = BytesPerSecond(0)) {
    return {EndpointId(from), EndpointId(to), Bytes(bytes), multiplicity, rate_max};
}

Activity transfer(std::vector<Flow> flows, double delay_s = 0) {
    return {Seconds(delay_s), ComputeId(), Seconds(0), std::move(flows)};
}

Activity computation(std::size_t compute, double time_s, double delay_s = 0) {
    return {Seconds(delay_s), ComputeId(compute), Seconds(time_s), {}};
}

// Starts the activities together, under their indices, and returns when each ends, in seconds.
std::vector<double> ends_of(const std::vector<Activity>& activities,
                            const EngineNetwork& network = small_network()) {
    const auto engine = make_simgrid_engine(network);
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

void check_ends(const std::vector<Activity>& activities, const std::vector<double>& expected) {
    const std::vector<double> ends = ends_of(activities);
    REQUIRE(ends.size() == expected.size());
    for (std::size_t i = 0; i < ends.size(); ++i) {
        INFO("activity " << i);
        CHECK(std::abs(ends[i] - expected[i]) <= kToleranceS);
    }
}

TEST_CASE("engine: a flow alone takes bytes over bandwidth", "[sim][engine]") {
    // B / C = 5e9 / 10e9.
    check_ends({transfer({flow(0, 1, 5e9)})}, {0.5});
    // 1 MB: 100 us. A fraction of a byte counts: 0.5 B / 10 GB/s = 50 ps, below the tolerance.
    check_ends({transfer({flow(0, 1, 1e6)})}, {100e-6});
    const std::vector<double> ends = ends_of({transfer({flow(0, 1, 0.5)})});
    CHECK(to_ps(Seconds(ends[0])) == 50);
    // 5 B more end half a nanosecond later: no merging of near ties.
    const std::vector<double> near =
        ends_of({transfer({flow(0, 1, 1e6)}), transfer({flow(2, 3, 1'000'005)})});
    CHECK(to_ps(Seconds(near[1] - near[0])) == 500);
}

TEST_CASE("engine: two flows share an up link", "[sim][engine]") {
    // Each at C / 2 until the shorter is done, at 2 * 1e9 / C = 0.2 s; then the other has C for
    // the 2e9 that are left: 0.2 + 2e9 / C = 0.4 s.
    check_ends({transfer({flow(0, 1, 1e9)}), transfer({flow(0, 2, 3e9)})}, {0.2, 0.4});
}

TEST_CASE("engine: up and down links bind on their own", "[sim][engine]") {
    // 20 GB/s up into 10 GB/s down; 10 GB/s up into 5 GB/s down; 5 GB/s down to itself.
    check_ends({transfer({flow(4, 0, 1e9)}), transfer({flow(1, 5, 1e9)})}, {0.1, 0.2});
    check_ends({transfer({flow(4, 4, 1e9)})}, {0.2});
    // No reverse traffic: the two directions between a pair do not slow each other.
    check_ends({transfer({flow(0, 1, 1e9)}), transfer({flow(1, 0, 1e9)})}, {0.1, 0.1});
}

TEST_CASE("engine: multiplicity is weight in the fair share", "[sim][engine]") {
    // Seven flows of 1e9 folded onto endpoint 0 and one of 1e9 from 0 to 1: C / 8 each, so all
    // eight end at 8e9 / C.
    check_ends({transfer({flow(0, 0, 1e9, 7)}), transfer({flow(0, 1, 1e9)})}, {0.8, 0.8});
    // The foreign flow has 3e9: it has moved 1e9 at 0.8 s, and has C for the other 2e9.
    check_ends({transfer({flow(0, 0, 1e9, 7)}), transfer({flow(0, 1, 3e9)})}, {0.8, 1.0});
    // The foreign flow has 0.5e9: it ends at 8 * 0.5e9 / C = 0.4 s; 7 * 0.5e9 are left, with C.
    check_ends({transfer({flow(0, 0, 1e9, 7)}), transfer({flow(0, 1, 0.5e9)})}, {0.75, 0.4});
}

TEST_CASE("engine: a flow of multiplicity m is m flows", "[sim][engine]") {
    const std::vector<Activity> others = {transfer({flow(0, 1, 2e9)}),
                                          transfer({flow(2, 0, 1e9, 3)}, 0.1),
                                          transfer({flow(3, 1, 4e9, 2)}, 0.05)};
    std::vector<Activity> folded = others;
    folded.push_back(transfer({flow(0, 0, 1e9, 7, gb_per_s(1.2))}));
    std::vector<Activity> expanded = others;
    for (int i = 0; i < 7; ++i) {
        expanded.push_back(transfer({flow(0, 0, 1e9, 1, gb_per_s(1.2))}));
    }
    const std::vector<double> folded_ends = ends_of(folded);
    const std::vector<double> expanded_ends = ends_of(expanded);
    for (std::size_t i = 0; i < expanded_ends.size(); ++i) {
        CHECK(std::abs(expanded_ends[i] - folded_ends[std::min<std::size_t>(i, 3)]) <= kToleranceS);
    }
}

TEST_CASE("engine: rate_max caps each flow", "[sim][engine]") {
    // B / rate_max = 1e9 / 1e9; what it leaves, 9 GB/s, is the other's: 4.5e9 / 9e9.
    check_ends({transfer({flow(0, 1, 1e9, 1, gb_per_s(1))}), transfer({flow(0, 2, 4.5e9)})},
               {1.0, 0.5});
    // Three flows of at most 2 GB/s leave 4 GB/s of 10.
    check_ends({transfer({flow(0, 1, 2e9, 3, gb_per_s(2))}), transfer({flow(0, 2, 4e9)})},
               {1.0, 1.0});
    // A million flows of at most C / 1e6, less one, leave C / 1e6 = 10 kB/s: 1000 / 10e3.
    check_ends(
        {transfer({flow(0, 1, 1e4, 999'999, BytesPerSecond(1e4))}), transfer({flow(0, 2, 1e3)})},
        {1.0, 0.1});
    // A cap above the share binds nobody: C / 2 each.
    check_ends({transfer({flow(0, 1, 1e9, 1, gb_per_s(8))}), transfer({flow(0, 2, 1e9)})},
               {0.2, 0.2});
}

TEST_CASE("engine: max-min gives what one link cannot use to the next", "[sim][engine]") {
    // Down link 5 has 5 GB/s for two flows, 2.5 each; that from 0 leaves 7.5 for 0 -> 1.
    // 0 -> 1: 1.5e9 / 7.5e9 = 0.2 s; the other two: 2.5e9 / 2.5e9 = 1 s.
    check_ends({transfer({flow(0, 1, 1.5e9)}), transfer({flow(0, 5, 2.5e9)}),
                transfer({flow(2, 5, 2.5e9)})},
               {0.2, 1.0, 1.0});
}

TEST_CASE("engine: a delay comes before the work", "[sim][engine]") {
    check_ends({transfer({flow(0, 1, 1e9)}, 0.25), transfer({}, 3e-6), computation(0, 0.5, 0.125)},
               {0.35, 3e-6, 0.625});
    // The second flow starts at 0.1 s, when the first has 1e9 left: both need 2e9 / C more.
    check_ends({transfer({flow(0, 1, 2e9)}), transfer({flow(0, 2, 1e9)}, 0.1)}, {0.3, 0.3});
}

TEST_CASE("engine: activities share the compute of a rank", "[sim][engine]") {
    // Two of 1 s together: 2 s. On two ranks: 1 s.
    check_ends({computation(0, 1), computation(0, 1)}, {2.0, 2.0});
    check_ends({computation(0, 1), computation(1, 1)}, {1.0, 1.0});
    // The second comes at 0.5 s; half a second of each other's work is left to the first, which
    // takes 1 s more; then 0.5 s of the second is left, alone.
    check_ends({computation(0, 1), computation(0, 1, 0.5)}, {1.5, 2.0});
    // Three: 0.1 s of each by 0.3 s, then two with 0.1 s more by 0.5 s, then 0.1 s alone.
    check_ends({computation(0, 0.1), computation(0, 0.2), computation(0, 0.3)}, {0.3, 0.5, 0.6});
}

TEST_CASE("engine: an activity ends with the last of its parts", "[sim][engine]") {
    Activity both = computation(0, 0.3, 0.1);
    both.flows = {flow(0, 1, 1e9), flow(2, 3, 2e9)};
    check_ends({both}, {0.4});  // 0.1 + max(0.3, 0.1, 0.2)
    both.flows = {flow(0, 1, 1e9), flow(2, 3, 5e9)};
    check_ends({both}, {0.6});  // 0.1 + max(0.3, 0.1, 0.5)
    // Its two flows share the up link: 0.1 + 2 * 2e9 / C.
    both.flows = {flow(0, 1, 2e9), flow(0, 2, 2e9)};
    check_ends({both}, {0.5});
}

TEST_CASE("engine: nothing to do takes no time", "[sim][engine]") {
    check_ends({transfer({}), transfer({flow(0, 1, 0)}), transfer({flow(0, 0, 0, 7)}),
                computation(0, 0), transfer({flow(0, 1, 0), flow(0, 1, 1e9)})},
               {0, 0, 0, 0, 0.1});

    const auto engine = make_simgrid_engine(small_network());
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
    // A chain of 100 messages of 1 MB: 100 us each; every tenth forks a computation of 1 ms.
    const auto engine = make_simgrid_engine(small_network());
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
    {
        // Ten end together at 10 s, and the first throws; a flow of 50 s is under way.
        const auto engine = make_simgrid_engine(small_network());
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
    check_ends({computation(0, 1)}, {1.0});  // and the next engine is not affected
}

TEST_CASE("engine: misuse is a bug of ours, and found", "[sim][engine]") {
    EngineNetwork broken = small_network();
    broken.endpoints[0].up = BytesPerSecond(0);
    CHECK_THROWS_AS(make_simgrid_engine(broken), InternalError);

    const auto engine = make_simgrid_engine(small_network());
    CHECK_THROWS_AS(make_simgrid_engine(small_network()), InternalError);  // one at a time
    CHECK_THROWS_AS(engine->start(1, transfer({flow(0, 6, 1)})), InternalError);
    CHECK_THROWS_AS(engine->start(1, transfer({flow(0, 1, 1, 0)})), InternalError);
    CHECK_THROWS_AS(engine->start(1, transfer({flow(0, 1, -1)})), InternalError);
    CHECK_THROWS_AS(engine->start(1, computation(2, 1)), InternalError);
    CHECK_THROWS_AS(engine->start(1, computation(0, 1, -1)), InternalError);
    engine->start(1, {});
    CHECK_THROWS_AS(engine->start(1, {}), InternalError);  // live already
    CHECK(engine->counts().activities == 1);
}

// Endpoint and compute chosen at random; amounts such that activities last 1 to 300 us.
class RandomLoad {
public:
    explicit RandomLoad(std::uint64_t seed) : random_(seed) {}

    EngineNetwork network() {
        EngineNetwork network;
        network.compute.resize(kComputes, "compute");
        for (std::size_t i = 0; i < kEndpoints; ++i) {
            network.endpoints.push_back(
                {"endpoint", gb_per_s(real(10, 100)), gb_per_s(real(10, 100))});
        }
        return network;
    }

    Activity activity() {
        Activity activity;
        if (chance(0.3)) activity.delay = microseconds(real(0, 50));
        if (chance(0.4)) {
            activity.compute = ComputeId(index(kComputes));
            activity.compute_time = microseconds(real(0, 100));
        }
        for (std::size_t left = index(4); left > 0; --left) {
            const int multiplicity = chance(0.3) ? static_cast<int>(1 + index(9)) : 1;
            const auto cap = chance(0.2) ? gb_per_s(real(1, 20)) : BytesPerSecond(0);
            activity.flows.push_back(
                flow(index(kEndpoints), index(kEndpoints), real(1e3, 1e6), multiplicity, cap));
        }
        return activity;
    }

    std::size_t index(std::size_t count) { return random_() % count; }

private:
    static constexpr std::size_t kEndpoints = 6;
    static constexpr std::size_t kComputes = 3;

    double real(double low, double high) {
        return low + (high - low) * static_cast<double>(random_() >> 11) * 0x1p-53;
    }
    bool chance(double probability) { return real(0, 1) < probability; }

    std::mt19937_64 random_;
};

// Forks and joins: an activity starts when all its parents, among the few before it, are done.
struct Dag {
    EngineNetwork network;
    std::vector<Activity> activities;
    std::vector<std::vector<std::size_t>> children;
    std::vector<int> parents;

    Dag(std::uint64_t seed, std::size_t size) : children(size), parents(size) {
        RandomLoad load(seed);
        network = load.network();
        for (std::size_t i = 0; i < size; ++i) {
            activities.push_back(load.activity());
            const std::size_t parent_count = i < 8 ? 0 : 1 + load.index(2);
            for (std::size_t k = 0; k < parent_count; ++k) {
                children[i - 1 - load.index(std::min<std::size_t>(i, 24))].push_back(i);
                ++parents[i];
            }
        }
    }
};

struct Completion {
    ActivityId id;
    TimePs time;
    bool operator==(const Completion&) const = default;
};

std::vector<Completion> replay(ReplayEngine& engine, const Dag& dag) {
    std::vector<Completion> completions;
    std::vector<int> waits_for = dag.parents;
    for (std::size_t i = 0; i < dag.activities.size(); ++i) {
        if (waits_for[i] == 0) engine.start(i, dag.activities[i]);
    }
    engine.run([&](ActivityId id, TimePs now) {
        completions.push_back({id, now});
        for (const std::size_t child : dag.children[id]) {
            if (--waits_for[child] == 0) engine.start(child, dag.activities[child]);
        }
    });
    return completions;
}

// The oracle: a part of an activity has an amount for each of its copies, and moves at the rate of
// its fair share; delays and caps are limits, links and computes are resources. All shares are
// solved anew by progressive filling at every event.
class MaxMinOracle final : public ReplayEngine {
public:
    explicit MaxMinOracle(const EngineNetwork& network) {
        for (const auto& endpoint : network.endpoints) {
            capacity_.push_back(endpoint.up.value());
            capacity_.push_back(endpoint.down.value());
        }
        first_compute_ = capacity_.size();
        capacity_.resize(first_compute_ + network.compute.size(), 1.0);
    }

    void start(ActivityId id, Activity activity) override {
        ++counts_.activities;
        parts_.push_back({id, activity.delay.value(), 1, 1.0, {}, 0});
        live_[id] = {std::move(activity), 1, true};
    }

    void run(const std::function<void(ActivityId, TimePs)>& on_complete) override {
        while (!parts_.empty()) {
            solve_rates();
            double step = std::numeric_limits<double>::infinity();
            for (const Part& part : parts_) step = std::min(step, part.left / part.rate);
            time_ += step;
            std::vector<ActivityId> ended;
            for (Part& part : parts_) {
                // Within a femtosecond is now: rounding would otherwise take ever smaller steps.
                const bool ends = part.left / part.rate <= step + 1e-15;
                part.left = ends ? -1.0 : part.left - part.rate * step;
                if (ends) ended.push_back(part.id);
            }
            std::erase_if(parts_, [](const Part& part) { return part.left < 0; });
            for (const ActivityId id : ended) end_part(id, on_complete);
        }
    }

    TimePs now() const override { return to_ps(Seconds(time_)); }
    EngineCounts counts() const override { return counts_; }

private:
    struct Part {
        ActivityId id;
        double left;
        double weight;
        double cap;
        std::vector<std::size_t> resources;
        double rate;
    };
    struct Live {
        Activity activity;
        int parts_left;
        bool delayed;
    };

    void end_part(ActivityId id, const std::function<void(ActivityId, TimePs)>& on_complete) {
        Live& live = live_.at(id);
        if (--live.parts_left > 0) return;
        if (std::exchange(live.delayed, false)) {
            add_work(id, live);
            if (live.parts_left > 0) return;
        }
        live_.erase(id);
        on_complete(id, now());
    }

    void add_work(ActivityId id, Live& live) {
        const double no_cap = std::numeric_limits<double>::infinity();
        const Activity& activity = live.activity;
        if (activity.compute.valid()) {
            parts_.push_back({id,
                              activity.compute_time.value(),
                              1,
                              no_cap,
                              {first_compute_ + activity.compute.index()},
                              0});
            ++live.parts_left;
        }
        for (const Flow& f : activity.flows) {
            const double cap = f.rate_max.value() > 0 ? f.rate_max.value() : no_cap;
            parts_.push_back({id,
                              f.bytes.value(),
                              static_cast<double>(f.multiplicity),
                              cap,
                              {2 * f.from.index(), 2 * f.to.index() + 1},
                              0});
            ++live.parts_left;
        }
    }

    void solve_rates() {
        std::vector<double> free = capacity_;
        std::vector<Part*> open;
        for (Part& part : parts_) open.push_back(&part);
        while (!open.empty()) {
            std::vector<double> weight(capacity_.size(), 0.0);
            for (const Part* part : open) {
                for (const std::size_t r : part->resources) weight[r] += part->weight;
            }
            const auto limit = [&](const Part& part) {
                double rate = part.cap;
                for (const std::size_t r : part.resources) {
                    rate = std::min(rate, free[r] / weight[r]);
                }
                return rate;
            };
            double level = std::numeric_limits<double>::infinity();
            for (const Part* part : open) level = std::min(level, limit(*part));
            // Decided before capacity is taken away, which would move the limits of the rest.
            const auto bound = std::stable_partition(
                open.begin(), open.end(),
                [&](const Part* part) { return limit(*part) > level * (1 + 1e-12); });
            for (auto it = bound; it != open.end(); ++it) {
                (*it)->rate = level;
                for (const std::size_t r : (*it)->resources) free[r] -= level * (*it)->weight;
            }
            open.erase(bound, open.end());
        }
    }

    std::vector<double> capacity_;  // of up and down link in turn, then of the computes
    std::size_t first_compute_ = 0;
    std::vector<Part> parts_;
    std::map<ActivityId, Live> live_;
    double time_ = 0;
    EngineCounts counts_;
};

TEST_CASE("engine: agrees with a small max-min simulator on random networks", "[sim][engine]") {
    const auto seed = GENERATE(1u, 2u, 3u, 4u);
    const Dag dag(seed, 2500);
    const auto engine = make_simgrid_engine(dag.network);
    MaxMinOracle oracle(dag.network);
    const std::vector<Completion> simulated = replay(*engine, dag);
    REQUIRE(simulated.size() == dag.activities.size());

    std::map<ActivityId, double> expected;
    for (const Completion& c : replay(oracle, dag)) expected[c.id] = static_cast<double>(c.time);
    REQUIRE(expected.size() == simulated.size());
    double error_max = 0;
    for (const Completion& c : simulated) {
        const double error = std::abs(static_cast<double>(c.time) - expected.at(c.id));
        error_max = std::max(error_max, error / std::max(1.0, expected.at(c.id)));
    }
    INFO("seed " << seed);
    CHECK(error_max < 1e-6);
}

TEST_CASE("engine: equal runs give equal sequences", "[sim][engine]") {
    Dag dag(7, 1500);
    // Full of ties: everything twice or more, at the same instants.
    for (std::size_t i = 0; i < dag.activities.size(); ++i) {
        dag.activities[i] =
            i % 3 == 0 ? computation(i % 2, 1e-4) : transfer({flow(i % 4, (i + 1) % 4, 1e6)});
    }
    dag.network = small_network();
    const auto once = [&] { return replay(*make_simgrid_engine(dag.network), dag); };
    const std::vector<Completion> first = once();
    REQUIRE(first.size() == dag.activities.size());
    for (std::size_t i = 1; i < first.size(); ++i) CHECK(first[i - 1].time <= first[i].time);
    // Times to a picosecond: SimGrid's clock goes on from one engine to the next, which may round
    // differently.
    const std::vector<Completion> second = once();
    REQUIRE(second.size() == first.size());
    bool same_order = true;
    TimePs difference_max = 0;
    for (std::size_t i = 0; i < first.size(); ++i) {
        same_order = same_order && first[i].id == second[i].id;
        difference_max = std::max(difference_max, std::abs(first[i].time - second[i].time));
    }
    CHECK(same_order);
    CHECK(difference_max <= 1);
}

TEST_CASE("engine: doubling every bandwidth halves every time", "[sim][engine]") {
    const std::vector<Activity> activities = {
        transfer({flow(0, 0, 1e9, 7)}), transfer({flow(0, 1, 3e9), flow(2, 5, 1e9)}),
        transfer({flow(3, 5, 2e9)}), transfer({flow(4, 1, 1e9, 3)})};
    const std::vector<double> slow = ends_of(activities, small_network(1));
    const std::vector<double> fast = ends_of(activities, small_network(2));
    for (std::size_t i = 0; i < slow.size(); ++i) {
        CHECK(std::abs(fast[i] - slow[i] / 2) <= kToleranceS);
    }
}

}  // namespace
}  // namespace r1
