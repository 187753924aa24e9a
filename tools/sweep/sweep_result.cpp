#include "tools/sweep/sweep_result.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "tools/sweep/sweep_line.hpp"

namespace r1 {

namespace {

bool beats(const Objectives& a, const Objectives& b) {
    const bool no_worse = a.time <= b.time && a.cost <= b.cost && a.memory <= b.memory;
    return no_worse && (a.time < b.time || a.cost < b.cost || a.memory < b.memory);
}

bool same(const Objectives& a, const Objectives& b) {
    return a.time == b.time && a.cost == b.cost && a.memory == b.memory;
}

double time_of(const Json& line) { return line.at("step").at("time_s").get<double>(); }
double cost_of(const Json& line) { return line.at("cost").at("usd").get<double>(); }

// Of a step; 0 for parts of one.
std::int64_t tokens_of(const Json& line) {
    const Json& rate = line.at("step").at("tokens_per_s");
    return rate.is_null() ? 0 : std::llround(rate.get<double>() * time_of(line));
}

bool tokens_differ(const std::vector<const Json*>& lines) {
    return std::any_of(lines.begin(), lines.end(), [&](const Json* line) {
        return tokens_of(*line) != tokens_of(*lines.front());
    });
}

std::vector<Objectives> objectives_of(const std::vector<const Json*>& lines) {
    const bool per_token = tokens_differ(lines);
    std::vector<Objectives> objectives;
    for (const Json* line : lines) {
        const double tokens =
            per_token ? static_cast<double>(std::max<std::int64_t>(1, tokens_of(*line))) : 1;
        objectives.push_back(
            {time_of(*line) / tokens, cost_of(*line) / tokens, memory_of_fullest(*line)});
    }
    return objectives;
}

Json point_json(const Json& line) {
    return {{"point", line.at("point")},    {"axes", line.at("axes")},
            {"step_time_s", time_of(line)}, {"tokens_per_s", line.at("step").at("tokens_per_s")},
            {"usd", cost_of(line)},         {"memory_bytes", memory_of_fullest(line)}};
}

Json spread_of(const std::vector<double>& values) {
    const auto [min, max] = std::minmax_element(values.begin(), values.end());
    return {{"mean", std::accumulate(values.begin(), values.end(), 0.0) /
                         static_cast<double>(values.size())},
            {"min", *min},
            {"max", *max}};
}

struct ValueGroup {
    Json value;
    std::vector<const Json*> lines;
};

// Over the points that have the value, whatever their other axes.
Json effect_of(const std::string& axis, const std::vector<const Json*>& lines) {
    std::vector<ValueGroup> groups;  // in the order of the points
    std::map<Json, std::size_t> group_of;
    for (const Json* line : lines) {
        const Json& axes = line->at("axes");
        if (!axes.contains(axis)) {
            continue;  // a list's point that leaves the base as it is
        }
        const Json& value = axes.at(axis);
        const auto [found, is_new] = group_of.try_emplace(value, groups.size());
        if (is_new) {
            groups.push_back({value, {}});
        }
        groups[found->second].lines.push_back(line);
    }
    Json values = Json::array();
    for (const ValueGroup& group : groups) {
        const auto spread = [&](double (*of)(const Json&)) {
            std::vector<double> numbers;
            for (const Json* line : group.lines) {
                numbers.push_back(of(*line));
            }
            return spread_of(numbers);
        };
        values.push_back({{"value", group.value},
                          {"points", group.lines.size()},
                          {"step_time_s", spread(time_of)},
                          {"usd", spread(cost_of)},
                          {"memory_bytes", spread(memory_of_fullest)}});
    }
    return {{"axis", axis}, {"values", values}};
}

// What an error is about: its first line, with a '#' for each number.
std::string cause_of(const std::string& error) {
    std::string cause;
    for (const char c : error.substr(0, error.find('\n'))) {
        if (c < '0' || c > '9') {
            cause += c;
        } else if (cause.empty() || cause.back() != '#') {
            cause += '#';
        }
    }
    return cause;
}

// How many lines ended with each exit code but 0 and for each cause, and what the first of them
// said.
Json refusals_of(const Json& lines) {
    Json refusals = Json::array();  // in the order of the points
    std::map<std::pair<int, std::string>, std::size_t> place_of;
    for (const Json& line : lines) {
        if (is_simulated(line)) {
            continue;
        }
        const int code = line.at("exit_code").get<int>();
        const auto error = line.at("error").get<std::string>();
        const auto [place, is_new] = place_of.try_emplace({code, cause_of(error)}, refusals.size());
        if (is_new) {
            refusals.push_back({{"exit_code", code},
                                {"points", 0},
                                {"first", line.at("point")},
                                {"error", error}});
        }
        Json& points = refusals[place->second]["points"];
        points = points.get<int>() + 1;
    }
    return refusals;
}

}  // namespace

double memory_of_fullest(const Json& line) {
    double bytes = 0;
    for (const Json& rank : line.at("memory").at("per_rank")) {
        bytes = std::max(bytes, rank.at("total").get<double>());
    }
    return bytes;
}

std::vector<std::size_t> pareto_front(const std::vector<Objectives>& points) {
    std::vector<std::size_t> order(points.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto key = [&](std::size_t i) {
        return std::tuple(points[i].time, points[i].cost, points[i].memory, i);
    };
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
    // Whoever beats a point comes before it.
    std::vector<std::size_t> front;
    for (const std::size_t i : order) {
        if (std::none_of(front.begin(), front.end(), [&](std::size_t better) {
                return beats(points[better], points[i]) || same(points[better], points[i]);
            })) {
            front.push_back(i);
        }
    }
    return front;
}

Json sweep_result(const std::string& name, const std::string& hash,
                  const std::vector<std::string>& axes, const Json& lines) {
    std::vector<const Json*> simulated;
    std::vector<const Json*> fitting;
    for (const Json& line : lines) {
        if (is_simulated(line)) {
            simulated.push_back(&line);
            if (line.at("memory").at("fits").get<bool>()) {
                fitting.push_back(&line);
            }
        }
    }
    Json front = Json::array();
    for (const std::size_t place : pareto_front(objectives_of(fitting))) {
        front.push_back(point_json(*fitting[place]));
    }
    Json effects = Json::array();
    for (const std::string& axis : axes) {
        effects.push_back(effect_of(axis, simulated));
    }
    return {{"schema", "r1sim.sweep_result/1"},
            {"name", name},
            {"sweep", hash},
            {"points", lines.size()},
            {"simulated", simulated.size()},
            {"without_room", simulated.size() - fitting.size()},
            {"refused", refusals_of(lines)},
            {"compared_per", tokens_differ(fitting) ? "token" : "step"},
            {"best", front.empty() ? Json() : front.front()},
            {"pareto_front", front},
            {"effects", effects},
            {"lines", lines}};
}

}  // namespace r1
