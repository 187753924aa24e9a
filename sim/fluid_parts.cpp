#include "sim/fluid_parts.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace r1 {

FluidParts::FluidParts(const std::vector<double>& capacities)
    : solver_(capacities),
      holder_(capacities.size(), kNone),
      root_of_(capacities.size(), kNone),
      loose_on_(capacities.size()) {}

void FluidParts::add(std::uint32_t owner, const FairFlow& flow, double amount, double now) {
    now_ = now;
    if (owner >= owners_.size()) {
        owners_.resize(owner + 1);
    }
    ++owners_[owner].parts;
    const std::uint32_t slot = parts_.take();
    Part& part = parts_[slot];
    part.flow = flow;
    part.left = amount;
    part.owner = owner;
    added_.push_back(slot);
    part.flow.for_links([this](std::uint32_t link) {
        const std::uint32_t holder = holder_[link];
        if (holder == kNone) {
            return;
        }
        if ((holder & kAlone) != 0) {
            wake(holder & ~kAlone);
        } else {
            touch(holder);
        }
    });
}

void FluidParts::end(const Deadline& deadline, double now) {
    now_ = now;
    if (deadline.of_owner) {
        end_lone(owners_[deadline.index]);
    } else if (components_[deadline.index].version == deadline.version) {
        end_of_component(deadline.index);
    }
}

void FluidParts::touch(std::uint32_t component) {
    if (!components_[component].touched) {
        components_[component].touched = true;
        touched_.push_back(component);
    }
}

void FluidParts::advance(Part& part) {
    part.left -= (now_ - part.since) * part.flow.rate;
    part.since = now_;
}

void FluidParts::advance(Component& component) {
    const double elapsed = now_ - component.since;
    for (const std::uint32_t part : component.parts) {
        parts_[part].left -= elapsed * parts_[part].flow.rate;
    }
    component.since = now_;
}

void FluidParts::disown(const Part& part) {
    part.flow.for_links([this](std::uint32_t link) { holder_[link] = kNone; });
}

void FluidParts::end_part(std::uint32_t slot) {
    Part& part = parts_[slot];
    disown(part);
    ++part.version;
    parts_.give_back(slot);
    Owner& owner = owners_[part.owner];
    if (--owner.parts == 0) {
        idle_now_.push_back(part.owner);
    }
}

// Ends those that have nothing left, but for what an instant, or the rounding of the clock, makes.
void FluidParts::end_of_component(std::uint32_t index) {
    Component& component = components_[index];
    advance(component);
    std::size_t kept = 0;
    for (const std::uint32_t part : component.parts) {
        if (over(parts_[part])) {
            end_part(part);
        } else {
            component.parts[kept++] = part;
        }
    }
    component.parts.resize(kept);
    touch(index);
}

// Those of its lone parts that have nothing left.
void FluidParts::end_lone(Owner& owner) {
    std::size_t kept = 0;
    for (const Lone entry : owner.lone) {
        Part& part = parts_[entry.part];
        if (part.version != entry.version) {
            continue;
        }
        advance(part);
        if (over(part)) {
            end_part(entry.part);
        } else {
            owner.lone[kept++] = entry;  // alone since later than others
        }
    }
    owner.lone.resize(kept);
}

// Another part comes to its links.
void FluidParts::wake(std::uint32_t slot) {
    Part& part = parts_[slot];
    advance(part);
    if (over(part)) {
        end_part(slot);
        return;
    }
    disown(part);
    ++part.version;
    loose_.push_back(slot);
}

void FluidParts::settle(double now) {
    now_ = now;
    if (added_.empty() && touched_.empty()) {
        return;
    }
    take_loose();
    settle_lone();
    for (const std::uint32_t component : divide()) {
        solve(component);
    }
    loose_.clear();
    for (const std::uint32_t owner : lone_now_) {
        deadlines_.push_back({std::exchange(owners_[owner].lone_end, 0), true, owner, 0});
    }
    lone_now_.clear();
}

// Woken parts are loose already: now those of touched components, and new ones.
void FluidParts::take_loose() {
    for (const std::uint32_t index : touched_) {
        Component& component = components_[index];
        advance(component);
        for (const std::uint32_t part : component.parts) {
            disown(parts_[part]);
        }
        loose_.insert(loose_.end(), component.parts.begin(), component.parts.end());
        component.parts.clear();
        component.touched = false;
        ++component.version;
        components_.give_back(index);
    }
    loose_.insert(loose_.end(), added_.begin(), added_.end());
    touched_.clear();
    added_.clear();
}

// Most parts are alone on their links: there is nothing to divide or share.
void FluidParts::settle_lone() {
    for (const std::uint32_t part : loose_) {
        parts_[part].flow.for_links([this](std::uint32_t link) { ++loose_on_[link]; });
    }
    std::size_t kept = 0;
    for (const std::uint32_t slot : loose_) {
        Part& part = parts_[slot];
        bool alone = true;
        part.flow.for_links([&](std::uint32_t link) { alone = alone && loose_on_[link] == 1; });
        if (!alone) {
            loose_[kept++] = slot;
            continue;
        }
        part.flow.for_links([&](std::uint32_t link) {
            loose_on_[link] = 0;
            holder_[link] = slot | kAlone;
        });
        solver_.solve_alone(part.flow);
        await_end(slot);
    }
    loose_.resize(kept);
    for (const std::uint32_t part : loose_) {
        parts_[part].flow.for_links([this](std::uint32_t link) { loose_on_[link] = 0; });
    }
}

std::uint32_t FluidParts::root(std::uint32_t link) {
    while (root_of_[link] != link) {
        root_of_[link] = root_of_[root_of_[link]];
        link = root_of_[link];
    }
    return link;
}

// The loose parts, by the links that they share.
std::vector<std::uint32_t> FluidParts::divide() {
    for (const std::uint32_t part : loose_) {
        const std::uint32_t first = parts_[part].flow.links[0];
        parts_[part].flow.for_links([&](std::uint32_t link) {
            if (root_of_[link] == kNone) {
                root_of_[link] = link;
            }
            if (link != first) {
                root_of_[root(link)] = root(first);
            }
        });
    }
    std::vector<std::uint32_t> found;
    for (const std::uint32_t part : loose_) {
        std::uint32_t& component = holder_[root(parts_[part].flow.links[0])];
        if (component == kNone) {
            component = components_.take();
            found.push_back(component);
        }
        components_[component].parts.push_back(part);
    }
    for (const std::uint32_t component : found) {
        for (const std::uint32_t part : components_[component].parts) {
            parts_[part].flow.for_links([&](std::uint32_t link) {
                holder_[link] = component;
                root_of_[link] = kNone;
            });
        }
    }
    return found;
}

void FluidParts::solve(std::uint32_t index) {
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
    deadlines_.push_back({now_ + std::max(shortest, 0.0), false, index, component.version});
}

void FluidParts::await_end(std::uint32_t slot) {
    Part& part = parts_[slot];
    part.since = now_;
    Owner& owner = owners_[part.owner];
    if (owner.lone_end == 0) {
        lone_now_.push_back(part.owner);
    }
    owner.lone_end = std::max(owner.lone_end, now_ + std::max(part.left / part.flow.rate, 0.0));
    owner.lone.push_back({slot, part.version});
}

}  // namespace r1
