#include "sim/search/nearest_scenario.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

namespace r1 {

namespace {

constexpr std::int64_t kTriedMax = 1 << 17;
constexpr int kTriesMax = 64;  // of one number; a try takes 10 ms

// A number of a candidate: its GPUs or an axis.
class Knob {
public:
    Knob() = default;  // GPUs
    explicit Knob(std::size_t axis) : axis_(axis) {}

    [[nodiscard]] std::optional<std::int64_t> value(const Candidate& candidate) const {
        if (!axis_) {
            return candidate.gpus;
        }
        const Json& value = candidate.choices[*axis_].second;
        return value.is_number() ? std::optional(value.get<std::int64_t>()) : std::nullopt;
    }
    [[nodiscard]] Candidate with(Candidate candidate, std::int64_t value) const {
        if (axis_) {
            candidate.choices[*axis_].second = value;
        } else {
            candidate.gpus = value;
        }
        return candidate;
    }

private:
    std::optional<std::size_t> axis_;  // index into Candidate::choices
};

// Sizes of parts of clusters and models have few prime factors, and small ones.
std::vector<std::int64_t> usual_numbers() {
    std::vector<std::int64_t> numbers = {0};
    for (std::int64_t fives = 1; fives <= kTriedMax; fives *= 5) {
        for (std::int64_t threes = fives; threes <= kTriedMax; threes *= 3) {
            for (std::int64_t twos = threes; twos <= kTriedMax; twos *= 2) {
                numbers.push_back(twos);
            }
        }
    }
    return numbers;
}

double distance(std::int64_t a, std::int64_t b) {
    return std::abs(std::log(static_cast<double>(a + 1) / static_cast<double>(b + 1)));
}

struct Attempt {
    std::int64_t given = 0;
    std::int64_t tried = 0;

    [[nodiscard]] double distance() const { return r1::distance(given, tried); }
};

// Usual numbers, each from the closest given one, the closest first.
std::vector<Attempt> attempts(const std::vector<std::int64_t>& given) {
    std::vector<Attempt> result;
    for (const std::int64_t tried : usual_numbers()) {
        const std::int64_t from =
            *std::min_element(given.begin(), given.end(), [&](std::int64_t a, std::int64_t b) {
                return distance(a, tried) < distance(b, tried);
            });
        if (from != tried) {
            result.push_back({from, tried});
        }
    }
    std::stable_sort(result.begin(), result.end(), [](const Attempt& a, const Attempt& b) {
        return a.distance() < b.distance();
    });
    return result;
}

std::optional<NearestAnswer> turned(const Knob& knob, const std::string& name,
                                    const std::vector<Candidate>& candidates,
                                    const CandidateScenarios& scenarios) {
    std::vector<std::int64_t> given;
    for (const Candidate& candidate : candidates) {
        if (const auto value = knob.value(candidate)) {
            given.push_back(*value);
        }
    }
    if (given.empty()) {
        return std::nullopt;
    }
    std::sort(given.begin(), given.end());
    given.erase(std::unique(given.begin(), given.end()), given.end());
    int tries = 0;
    for (const Attempt& attempt : attempts(given)) {
        for (std::size_t i = 0; i < candidates.size(); ++i) {
            const Candidate changed = knob.with(candidates[i], attempt.tried);
            if (knob.value(candidates[i]) != attempt.given || !scenarios.has_whole_nodes(changed)) {
                continue;
            }
            if (scenarios.has_setting(changed)) {
                return NearestAnswer{i,
                                     {{name, static_cast<double>(attempt.given),
                                       static_cast<double>(attempt.tried)}}};
            }
            if (++tries == kTriesMax) {
                return std::nullopt;
            }
        }
    }
    return std::nullopt;
}

}  // namespace

std::vector<NearestAnswer> nearest_scenarios(const CapacityPlan& plan,
                                             const CandidateScenarios& scenarios) {
    const std::vector<Candidate> candidates = enumerate_candidates(plan);
    std::vector<NearestAnswer> result;
    const auto add = [&](const Knob& knob, const std::string& name) {
        if (auto nearest = turned(knob, "candidates." + name, candidates, scenarios)) {
            result.push_back(*std::move(nearest));
        }
    };
    add(Knob(), "gpus");
    for (std::size_t axis = 0; axis < plan.axes.size(); ++axis) {
        const std::string& pointer = plan.axes[axis].pointer;
        add(Knob(axis), pointer.substr(pointer.rfind('/') + 1));
    }
    const auto change = [](const NearestAnswer& answer) {
        return distance(std::llround(answer.changes.front().given),
                        std::llround(answer.changes.front().needed));
    };
    std::stable_sort(
        result.begin(), result.end(),
        [&](const NearestAnswer& a, const NearestAnswer& b) { return change(a) < change(b); });
    return result;
}

}  // namespace r1
