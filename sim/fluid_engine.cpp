#include "sim/fluid_engine.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "model/base/check.hpp"
#include "sim/fluid_parts.hpp"

namespace r1 {

namespace {

// Links of the solver: the SMs of every compute, then up and down of every endpoint and trunk.
std::vector<double> capacities_of(const EngineNetwork& network) {
    std::vector<double> capacities(network.compute.size(), 1.0);
    for (const EngineNetwork::Endpoint& endpoint : network.endpoints) {
        capacities.push_back(endpoint.up.value());
        capacities.push_back(endpoint.down.value());
    }
    for (const EngineNetwork::Trunk& trunk : network.trunks) {
        capacities.push_back(trunk.up.value());
        capacities.push_back(trunk.down.value());
    }
    return capacities;
}

class FluidEngine final : public ReplayEngine {
public:
    explicit FluidEngine(const EngineNetwork& network)
        : limits_(network),
          first_endpoint_(network.compute.size()),
          first_trunk_(first_endpoint_ + 2 * network.endpoints.size()),
          parts_(capacities_of(network)) {}

    void start(ActivityId id, Activity activity) override;
    void run(const std::function<void(ActivityId, TimePs)>& on_complete) override;
    TimePs now() const override { return replay_time(Seconds(now_)); }
    EngineCounts counts() const override { return counts_; }

private:
    struct Running {
        ActivityId id = 0;
        std::uint64_t order = 0;  // of its start
        Activity activity;
    };
    // The end of an activity's delay, or of parts.
    struct Event {
        FluidParts::Deadline deadline;
        std::uint64_t order;
        bool delay = false;
    };
    struct Later {
        bool operator()(const Event& a, const Event& b) const {
            return a.deadline.time != b.deadline.time ? a.deadline.time > b.deadline.time
                                                      : a.order > b.order;
        }
    };

    [[nodiscard]] FairFlow::Links links_of(const Flow& flow) const {
        FairFlow::Links links = FairFlow().links;
        std::size_t count = 0;
        const auto add = [&](auto id, std::size_t first, std::size_t direction) {
            if (id.valid()) {
                links.at(count++) = static_cast<std::uint32_t>(first + 2 * id.index() + direction);
            }
        };
        add(flow.from, first_endpoint_, 0);
        add(flow.to, first_endpoint_, 1);
        add(flow.trunks.up, first_trunk_, 0);
        add(flow.trunks.down, first_trunk_, 1);
        return links;
    }

    void push_event(const FluidParts::Deadline& deadline, bool delay);
    void begin(std::uint32_t slot);
    void drain(const std::function<void(ActivityId, TimePs)>& on_complete);
    void settle();

    ActivityLimits limits_;
    std::size_t first_endpoint_;  // links of the solver
    std::size_t first_trunk_;
    FluidParts parts_;
    double now_ = 0;
    std::uint64_t started_ = 0;
    std::uint64_t events_pushed_ = 0;
    std::size_t live_ = 0;
    EngineCounts counts_;

    Slots<Running> running_;
    std::vector<Event> events_;                // a heap, the next first
    std::vector<std::uint32_t> started_now_;   // activities whose delay is over
    std::vector<std::uint32_t> complete_now_;  // activities
};

void FluidEngine::push_event(const FluidParts::Deadline& deadline, bool delay) {
    events_.push_back({deadline, events_pushed_++, delay});
    std::push_heap(events_.begin(), events_.end(), Later{});
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
    running_[slot] = {id, started_++, std::move(activity)};
    if (delay > 0) {
        push_event({now_ + delay, true, slot, 0}, true);
    } else {
        started_now_.push_back(slot);
    }
}

// The delay is over.
void FluidEngine::begin(std::uint32_t slot) {
    const Activity activity = std::move(running_[slot].activity);
    if (activity.compute.valid() && activity.compute_time.value() > 0) {
        const auto link = static_cast<std::uint32_t>(activity.compute.index());
        FairFlow part;
        part.links[0] = link;
        parts_.add(slot, part, activity.compute_time.value(), now_);
    }
    for (const Flow& flow : activity.flows) {
        if (flow.bytes.value() > 0) {
            const double copies = flow.multiplicity;
            parts_.add(slot, {links_of(flow), copies, copies * flow.rate_max.value()},
                       copies * flow.bytes.value(), now_);
        }
    }
    if (parts_.idle(slot)) {
        complete_now_.push_back(slot);
    }
}

// All that begins and completes at this instant, and what that starts in turn.
void FluidEngine::drain(const std::function<void(ActivityId, TimePs)>& on_complete) {
    std::vector<std::uint32_t> batch;
    while (!started_now_.empty() || !complete_now_.empty() || !parts_.idle_now().empty()) {
        batch.clear();
        batch.swap(started_now_);
        for (const std::uint32_t slot : batch) {
            begin(slot);
        }
        batch.clear();
        batch.swap(complete_now_);
        batch.insert(batch.end(), parts_.idle_now().begin(), parts_.idle_now().end());
        parts_.idle_now().clear();
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

void FluidEngine::settle() {
    parts_.settle(now_);
    for (const FluidParts::Deadline& deadline : parts_.deadlines()) {
        push_event(deadline, false);
    }
    parts_.deadlines().clear();
}

void FluidEngine::run(const std::function<void(ActivityId, TimePs)>& on_complete) {
    drain(on_complete);
    settle();
    while (!events_.empty()) {
        now_ = std::max(now_, events_.front().deadline.time);
        while (!events_.empty() && events_.front().deadline.time <= now_ + kFluidInstant.value()) {
            std::pop_heap(events_.begin(), events_.end(), Later{});
            const Event event = events_.back();
            events_.pop_back();
            if (event.delay) {
                started_now_.push_back(event.deadline.index);
            } else {
                parts_.end(event.deadline, now_);
            }
        }
        drain(on_complete);
        settle();
    }
    R1_CHECK(live_ == 0);
}

}  // namespace

std::unique_ptr<ReplayEngine> make_fluid_engine(const EngineNetwork& network) {
    return std::make_unique<FluidEngine>(network);
}

}  // namespace r1
