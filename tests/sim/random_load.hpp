// Random networks, and random graphs of activities on them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "sim/engine.hpp"
#include "tests/sim/engine_cases.hpp"

namespace r1::test {

// Endpoint and compute chosen at random; amounts such that activities last 1 to 300 us. Endpoints
// with the same remainder by `trunks` share one, which most of their flows to others pass.
class RandomLoad {
public:
    RandomLoad(std::uint64_t seed, std::size_t endpoints, std::size_t computes, std::size_t trunks)
        : endpoints_(endpoints), computes_(computes), trunks_(trunks), random_(seed) {}

    EngineNetwork network() {
        EngineNetwork network;
        network.compute.resize(computes_, "compute");
        for (std::size_t i = 0; i < endpoints_; ++i) {
            network.endpoints.push_back(
                {"endpoint", gb_per_s(real(10, 100)), gb_per_s(real(10, 100))});
            if (trunks_ > 0) network.endpoints.back().trunks = {TrunkId(i % trunks_)};
        }
        for (std::size_t i = 0; i < trunks_; ++i) {
            network.trunks.push_back({"trunk", gb_per_s(real(20, 200)), gb_per_s(real(20, 200))});
        }
        return network;
    }

    Activity activity() {
        Activity activity;
        if (chance(0.3)) activity.delay = microseconds(real(0, 50));
        if (chance(0.4)) {
            activity.compute = ComputeId(index(computes_));
            activity.compute_time = microseconds(real(0, 100));
        }
        for (std::size_t left = index(4); left > 0; --left) {
            const int multiplicity = chance(0.3) ? static_cast<int>(1 + index(9)) : 1;
            const auto cap = chance(0.2) ? gb_per_s(real(1, 20)) : BytesPerSecond(0);
            activity.flows.push_back(
                flow(index(endpoints_), index(endpoints_), real(1e3, 1e6), multiplicity, cap));
            pass_trunks(activity.flows.back());
        }
        return activity;
    }

    std::size_t index(std::size_t count) { return random_() % count; }

private:
    double real(double low, double high) {
        return low + (high - low) * static_cast<double>(random_() >> 11) * 0x1p-53;
    }
    bool chance(double probability) { return real(0, 1) < probability; }
    void pass_trunks(Flow& flow) {
        if (trunks_ == 0 || flow.from.index() % trunks_ == flow.to.index() % trunks_) return;
        if (chance(0.8)) flow.trunks.up = TrunkId(flow.from.index() % trunks_);
        if (chance(0.8)) flow.trunks.down = TrunkId(flow.to.index() % trunks_);
    }

    std::size_t endpoints_;
    std::size_t computes_;
    std::size_t trunks_;
    std::mt19937_64 random_;
};

// Forks and joins: an activity starts when all its parents, among the few before it, are done.
struct Dag {
    EngineNetwork network;
    std::vector<Activity> activities;
    std::vector<std::vector<std::size_t>> children;
    std::vector<int> parents;

    struct Shape {
        std::uint64_t seed = 0;
        std::size_t activities = 0;
        std::size_t endpoints = 6;
        std::size_t computes = 3;
        std::size_t width = 8;  // how many have no parents; about as many run at once
        std::size_t trunks = 0;
    };

    explicit Dag(const Shape& shape) : children(shape.activities), parents(shape.activities) {
        RandomLoad load(shape.seed, shape.endpoints, shape.computes, shape.trunks);
        network = load.network();
        for (std::size_t i = 0; i < shape.activities; ++i) {
            activities.push_back(load.activity());
            const std::size_t parent_count = i < shape.width ? 0 : 1 + load.index(2);
            for (std::size_t k = 0; k < parent_count; ++k) {
                children[i - 1 - load.index(std::min<std::size_t>(i, 3 * shape.width))].push_back(
                    i);
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

inline std::vector<Completion> replay(ReplayEngine& engine, const Dag& dag) {
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

}  // namespace r1::test
