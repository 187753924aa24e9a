// The part of a fluid engine that shares links: what activities do on a few links, how fast each
// part goes beside the others, and when the next of them ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/base/units.hpp"
#include "sim/fluid_engine.hpp"
#include "sim/max_min.hpp"

namespace r1 {

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

// Times never go back from call to call. Owners are small numbers, chosen by the caller.
class FluidParts {
public:
    // When end() has something to do, unless that has changed by then.
    struct Deadline {
        double time = 0;
        bool of_owner = false;  // of its lone parts; else of a component
        std::uint32_t index = 0;
        std::uint32_t version = 0;
    };

    // By link, each > 0.
    explicit FluidParts(const std::vector<double>& capacities);

    // `amount` in what the links' capacities are made of a second. Its rate follows in settle().
    void add(std::uint32_t owner, const FairFlow& flow, double amount, double now);
    // Ends what is over.
    void end(const Deadline& deadline, double now);
    // Finds new rates for what has changed; the deadlines that follow are in deadlines().
    void settle(double now);

    [[nodiscard]] bool idle(std::uint32_t owner) const {
        return owner >= owners_.size() || owners_[owner].parts == 0;
    }
    // Owners whose last part has ended, and deadlines that are new: for the caller to take away.
    std::vector<std::uint32_t>& idle_now() { return idle_now_; }
    std::vector<Deadline>& deadlines() { return deadlines_; }

private:
    // A part that shares its links with no other. When it ends matters to its owner alone, so there
    // is one deadline for all that became alone at an instant, when the last of them ends. A part
    // that comes to its links finds out whether it has ended by then.
    struct Lone {
        std::uint32_t part = 0;
        std::uint32_t version = 0;
    };
    struct Owner {
        std::uint32_t parts = 0;  // that have not ended
        double lone_end = 0;      // of its parts that became alone at this instant; 0: none
        std::vector<Lone> lone;   // its lone parts, and some that no longer are
    };
    struct Part {
        FairFlow flow;
        double left = 0;   // bytes, or seconds of compute
        double since = 0;  // of a lone part: it has its rate since then
        std::uint32_t owner = 0;
        std::uint32_t version = 0;  // lone parts of older ones have ended, or are alone no longer
    };
    // Parts that share links, directly or through others. Their rates hold from `since` until
    // the first of them ends.
    struct Component {
        std::vector<std::uint32_t> parts;  // in the order of their start
        double since = 0;
        std::uint32_t version = 0;  // deadlines of older ones are stale
        bool touched = false;
    };
    static constexpr std::uint32_t kNone = FairFlow::kNoLink;
    static constexpr std::uint32_t kAlone = 1U << 31U;

    [[nodiscard]] double instant() const { return kFluidInstant.value() + 4e-16 * now_; }
    [[nodiscard]] bool over(const Part& part) const {
        return part.left <= instant() * part.flow.rate;
    }

    void touch(std::uint32_t component);
    void wake(std::uint32_t lone_part);
    void advance(Part& lone);
    void advance(Component& component);
    void disown(const Part& part);
    void end_part(std::uint32_t part);
    void end_of_component(std::uint32_t component);
    void end_lone(Owner& owner);
    void take_loose();
    void settle_lone();
    void await_end(std::uint32_t lone_part);
    std::uint32_t root(std::uint32_t link);
    std::vector<std::uint32_t> divide();
    void solve(std::uint32_t component);

    MaxMinSolver solver_;
    double now_ = 0;
    std::vector<Owner> owners_;
    Slots<Part> parts_;
    Slots<Component> components_;
    std::vector<std::uint32_t> idle_now_;
    std::vector<Deadline> deadlines_;
    std::vector<std::uint32_t> added_;     // parts without a component
    std::vector<std::uint32_t> touched_;   // components whose rates no longer hold
    std::vector<std::uint32_t> loose_;     // parts whose rates are to be found
    std::vector<std::uint32_t> lone_now_;  // owners some of whose parts became alone
    std::vector<std::uint32_t> holder_;    // by link: a component, or kAlone and a part, or kNone
    std::vector<std::uint32_t> root_of_;   // by link, while components are divided
    std::vector<std::uint32_t> loose_on_;  // by link: how many parts, while they are settled
    std::vector<FairFlow*> flows_;         // of the component that is solved
};

}  // namespace r1
