#include "sim/fluid_engine.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "model/base/check.hpp"
#include "sim/max_min.hpp"

namespace r1 {

namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

// Links of the solver: the SMs of every compute, then up and down of every endpoint.
std::vector<double> capacities_of(const EngineNetwork& network) {
    std::vector<double> capacities(network.compute.size(), 1.0);
    for (const EngineNetwork::Endpoint& endpoint : network.endpoints) {
        capacities.push_back(endpoint.up.value());
        capacities.push_back(endpoint.down.value());
    }
    return capacities;
}

// Numbered slots that are used again.
template <class T>
class Slots {
public:
    std::uint32_t take() {
        if (free_.empty()) {
            values_.emplace_back();
            return static_cast<std::uint32_t>(values_.size() - 1);
        }
        const std::uint32_t slot = free_.back();
        free_.pop_back();
        return slot;
    }
    void give_back(std::uint32_t slot) { free_.push_back(slot); }
    T& operator[](std::uint32_t slot) { return values_[slot]; }

private:
    std::vector<T> values_;
    std::vector<std::uint32_t> free_;
};

class FluidEngine final : public ReplayEngine {
public:
    explicit FluidEngine(const EngineNetwork& network)
        : limits_(network),
          computes_(network.compute.size()),
          solver_(capacities_of(network)),
          component_of_(computes_ + 2 * network.endpoints.size(), kNone),
          root_of_(component_of_.size(), kNone) {}

    void start(ActivityId id, Activity activity) override;
    void run(const std::function<void(ActivityId, TimePs)>& on_complete) override;
    TimePs now() const override { return replay_time(Seconds(now_)); }
    EngineCounts counts() const override { return counts_; }

private:
    struct Running {
        ActivityId id = 0;
        std::uint64_t order = 0;  // of its start
        std::uint32_t parts = 0;  // that have not ended
        Activity activity;
    };
    struct Part {
        FairFlow flow;
        double left = 0;  // bytes, or seconds of compute
        std::uint32_t running = 0;
    };
    // Parts that share links, directly or through others. Their rates hold from `since` until
    // the first of them ends.
    struct Component {
        std::vector<std::uint32_t> parts;  // in the order of their start
        double since = 0;
        std::uint32_t version = 0;  // events of older ones are stale
        bool touched = false;
    };
    struct Event {
        double time;
        std::uint64_t order;
        std::uint32_t slot;     // an activity whose delay is over, or a component
        std::uint32_t version;  // kNone: an activity
    };
    static bool later(const Event& a, const Event& b) {
        return a.time != b.time ? a.time > b.time : a.order > b.order;
    }

    // The first is there always.
    [[nodiscard]] std::array<std::uint32_t, 2> links_of(const Flow& flow) const {
        const auto link = [&](EndpointId end, std::size_t direction) {
            return end.valid() ? static_cast<std::uint32_t>(computes_ + 2 * end.index() + direction)
                               : kNone;
        };
        const std::array<std::uint32_t, 2> links{link(flow.from, 0), link(flow.to, 1)};
        return flow.from.valid() ? links : std::array<std::uint32_t, 2>{links[1], kNone};
    }

    void push_event(double time, std::uint32_t slot, std::uint32_t version);
    void begin(std::uint32_t slot);
    void add_part(std::uint32_t running, const FairFlow& flow, double amount);
    void touch(std::uint32_t component);
    void advance(Component& component);
    void end_parts(std::uint32_t component);
    void drain(const std::function<void(ActivityId, TimePs)>& on_complete);
    void settle();
    std::vector<std::uint32_t> take_loose_parts();
    std::vector<std::uint32_t> divide(const std::vector<std::uint32_t>& parts);
    void solve(std::uint32_t component);
    std::uint32_t root(std::uint32_t link);

    ActivityLimits limits_;
    std::size_t computes_;
    MaxMinSolver solver_;
    double now_ = 0;
    std::uint64_t started_ = 0;
    std::uint64_t events_pushed_ = 0;
    std::size_t live_ = 0;
    EngineCounts counts_;

    Slots<Running> running_;
    Slots<Part> parts_;
    Slots<Component> components_;
    std::vector<Event> events_;                // a heap, the next first
    std::vector<std::uint32_t> started_now_;   // activities whose delay is over
    std::vector<std::uint32_t> complete_now_;  // activities
    std::vector<std::uint32_t> added_;         // parts without a component
    std::vector<std::uint32_t> touched_;       // components whose rates no longer hold
    std::vector<std::uint32_t> component_of_;  // by link; kNone: to be found, or there is none
    std::vector<std::uint32_t> root_of_;       // by link, while components are divided
    std::vector<FairFlow*> flows_;             // of the component that is solved
};

void FluidEngine::push_event(double time, std::uint32_t slot, std::uint32_t version) {
    events_.push_back({time, events_pushed_++, slot, version});
    std::push_heap(events_.begin(), events_.end(), later);
}

void FluidEngine::start(ActivityId id, Activity activity) {
    limits_.check(activity);
    ++counts_.activities;
    ++live_;
    for (const Flow& flow : activity.flows) {
        counts_.flows += flow.multiplicity;
    }
    const std::uint32_t slot = running_.take();
    const double delay = activity.delay.value();
    running_[slot] = {id, started_++, 0, std::move(activity)};
    if (delay > 0) {
        push_event(now_ + delay, slot, kNone);
    } else {
        started_now_.push_back(slot);
    }
}

// The delay is over.
void FluidEngine::begin(std::uint32_t slot) {
    const Activity activity = std::move(running_[slot].activity);
    if (activity.compute.valid() && activity.compute_time.value() > 0) {
        const auto link = static_cast<std::uint32_t>(activity.compute.index());
        add_part(slot, {{link, kNone}}, activity.compute_time.value());
    }
    for (const Flow& flow : activity.flows) {
        if (flow.bytes.value() > 0) {
            const double copies = flow.multiplicity;
            add_part(slot, {links_of(flow), copies, copies * flow.rate_max.value()},
                     copies * flow.bytes.value());
        }
    }
    if (running_[slot].parts == 0) {
        complete_now_.push_back(slot);
    }
}

void FluidEngine::add_part(std::uint32_t running, const FairFlow& flow, double amount) {
    const std::uint32_t part = parts_.take();
    parts_[part] = {flow, amount, running};
    ++running_[running].parts;
    added_.push_back(part);
    for (const std::uint32_t link : flow.links) {
        if (link != kNone && component_of_[link] != kNone) {
            touch(component_of_[link]);
        }
    }
}

void FluidEngine::touch(std::uint32_t component) {
    if (!components_[component].touched) {
        components_[component].touched = true;
        touched_.push_back(component);
    }
}

void FluidEngine::advance(Component& component) {
    const double elapsed = now_ - component.since;
    for (const std::uint32_t part : component.parts) {
        parts_[part].left -= elapsed * parts_[part].flow.rate;
    }
    component.since = now_;
}

// Ends those that have nothing left, but for what an instant, or the rounding of the clock, makes.
void FluidEngine::end_parts(std::uint32_t index) {
    Component& component = components_[index];
    advance(component);
    const double instant = kFluidInstant.value() + 4e-16 * now_;
    std::size_t kept = 0;
    for (const std::uint32_t slot : component.parts) {
        const Part& part = parts_[slot];
        if (part.left > instant * part.flow.rate) {
            component.parts[kept++] = slot;
            continue;
        }
        for (const std::uint32_t link : part.flow.links) {
            if (link != kNone) {
                component_of_[link] = kNone;
            }
        }
        if (--running_[part.running].parts == 0) {
            complete_now_.push_back(part.running);
        }
        parts_.give_back(slot);
    }
    component.parts.resize(kept);
    touch(index);
}

// All that begins and completes at this instant, and what that starts in turn.
void FluidEngine::drain(const std::function<void(ActivityId, TimePs)>& on_complete) {
    std::vector<std::uint32_t> batch;
    while (!started_now_.empty() || !complete_now_.empty()) {
        batch.clear();
        batch.swap(started_now_);
        for (const std::uint32_t slot : batch) {
            begin(slot);
        }
        batch.clear();
        batch.swap(complete_now_);
        std::sort(batch.begin(), batch.end(), [this](std::uint32_t a, std::uint32_t b) {
            return running_[a].order < running_[b].order;
        });
        for (const std::uint32_t slot : batch) {
            const ActivityId id = running_[slot].id;
            running_.give_back(slot);
            --live_;
            on_complete(id, now());
        }
    }
}

void FluidEngine::run(const std::function<void(ActivityId, TimePs)>& on_complete) {
    drain(on_complete);
    settle();
    while (!events_.empty()) {
        now_ = std::max(now_, events_.front().time);
        while (!events_.empty() && events_.front().time <= now_ + kFluidInstant.value()) {
            std::pop_heap(events_.begin(), events_.end(), later);
            const Event event = events_.back();
            events_.pop_back();
            if (event.version == kNone) {
                started_now_.push_back(event.slot);
            } else if (components_[event.slot].version == event.version) {
                end_parts(event.slot);
            }
        }
        drain(on_complete);
        settle();
    }
    R1_CHECK(live_ == 0);
}

// New components and rates for what has changed at this instant.
void FluidEngine::settle() {
    if (added_.empty() && touched_.empty()) {
        return;
    }
    for (const std::uint32_t component : divide(take_loose_parts())) {
        solve(component);
    }
}

// Parts of touched components and new ones.
std::vector<std::uint32_t> FluidEngine::take_loose_parts() {
    std::vector<std::uint32_t> parts;
    for (const std::uint32_t index : touched_) {
        Component& component = components_[index];
        advance(component);
        for (const std::uint32_t part : component.parts) {
            parts.push_back(part);
            for (const std::uint32_t link : parts_[part].flow.links) {
                if (link != kNone) {
                    component_of_[link] = kNone;
                }
            }
        }
        component.parts.clear();
        component.touched = false;
        ++component.version;
        components_.give_back(index);
    }
    parts.insert(parts.end(), added_.begin(), added_.end());
    touched_.clear();
    added_.clear();
    return parts;
}

std::uint32_t FluidEngine::root(std::uint32_t link) {
    while (root_of_[link] != link) {
        root_of_[link] = root_of_[root_of_[link]];
        link = root_of_[link];
    }
    return link;
}

std::vector<std::uint32_t> FluidEngine::divide(const std::vector<std::uint32_t>& parts) {
    for (const std::uint32_t part : parts) {
        const auto [a, b] = parts_[part].flow.links;
        for (const std::uint32_t link : {a, b}) {
            if (link != kNone && root_of_[link] == kNone) {
                root_of_[link] = link;
            }
        }
        if (b != kNone) {
            root_of_[root(b)] = root(a);
        }
    }
    std::vector<std::uint32_t> found;
    for (const std::uint32_t part : parts) {
        std::uint32_t& component = component_of_[root(parts_[part].flow.links[0])];
        if (component == kNone) {
            component = components_.take();
            found.push_back(component);
        }
        components_[component].parts.push_back(part);
    }
    for (const std::uint32_t component : found) {
        for (const std::uint32_t part : components_[component].parts) {
            for (const std::uint32_t link : parts_[part].flow.links) {
                if (link != kNone) {
                    component_of_[link] = component;
                    root_of_[link] = kNone;
                }
            }
        }
    }
    return found;
}

void FluidEngine::solve(std::uint32_t index) {
    Component& component = components_[index];
    flows_.clear();
    for (const std::uint32_t part : component.parts) {
        flows_.push_back(&parts_[part].flow);
    }
    solver_.solve(flows_);
    double shortest = std::numeric_limits<double>::infinity();
    for (const std::uint32_t part : component.parts) {
        shortest = std::min(shortest, parts_[part].left / parts_[part].flow.rate);
    }
    component.since = now_;
    push_event(now_ + std::max(shortest, 0.0), index, component.version);
}

}  // namespace

std::unique_ptr<ReplayEngine> make_fluid_engine(const EngineNetwork& network) {
    return std::make_unique<FluidEngine>(network);
}

}  // namespace r1
