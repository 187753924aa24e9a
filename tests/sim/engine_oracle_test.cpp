// Both engines against a small max-min simulator on random networks, and against themselves.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/base/check.hpp"
#include "tests/sim/engine_cases.hpp"
#include "tests/sim/random_load.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Completion;
using test::computation;
using test::Dag;
using test::flow;
using test::MakeEngine;
using test::small_network;
using test::this_engine;
using test::transfer;

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
        first_trunk_ = capacity_.size();
        for (const auto& trunk : network.trunks) {
            capacity_.push_back(trunk.up.value());
            capacity_.push_back(trunk.down.value());
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
            std::vector<std::size_t>& resources = parts_.back().resources;
            if (f.trunks.up.valid()) {
                resources.push_back(first_trunk_ + 2 * f.trunks.up.index());
            }
            if (f.trunks.down.valid()) {
                resources.push_back(first_trunk_ + 2 * f.trunks.down.index() + 1);
            }
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

    std::vector<double> capacity_;  // of up and down links of endpoints and trunks, of computes
    std::size_t first_trunk_ = 0;
    std::size_t first_compute_ = 0;
    std::vector<Part> parts_;
    std::map<ActivityId, Live> live_;
    double time_ = 0;
    EngineCounts counts_;
};

TEST_CASE("engine: agrees with a small max-min simulator on random networks", "[sim][engine]") {
    const MakeEngine make = this_engine();
    const auto seed = GENERATE(1u, 2u, 3u, 4u);
    Dag::Shape shape{seed, 2500};
    shape.trunks = seed % 2 == 0 ? 3 : 0;
    const Dag dag(shape);
    const auto engine = make(dag.network);
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
    const MakeEngine make = this_engine();
    Dag dag({7, 1500});
    // Full of ties: everything twice or more, at the same instants.
    for (std::size_t i = 0; i < dag.activities.size(); ++i) {
        dag.activities[i] =
            i % 3 == 0 ? computation(i % 2, 1e-4) : transfer({flow(i % 4, (i + 1) % 4, 1e6)});
    }
    dag.network = small_network();
    const auto once = [&] { return replay(*make(dag.network), dag); };
    const std::vector<Completion> first = once();
    REQUIRE(first.size() == dag.activities.size());
    for (std::size_t i = 1; i < first.size(); ++i) CHECK(first[i - 1].time <= first[i].time);
    const std::vector<Completion> second = once();
    REQUIRE(second.size() == first.size());
    bool same = true;
    for (std::size_t i = 0; i < first.size(); ++i) {
        same = same && first[i].id == second[i].id && first[i].time == second[i].time;
    }
    CHECK(same);
}

}  // namespace
}  // namespace r1
