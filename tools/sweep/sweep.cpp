#include "tools/sweep/sweep.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "model/base/content_hash.hpp"
#include "model/scenario/named_members.hpp"
#include "sim/simulate.hpp"

namespace r1 {

namespace {

constexpr std::size_t kPointsMax = 100'000;

enum class Mode { grid, list, paired };

// An axis as the file has it.
struct Axis {
    std::string pointer;
    std::string place;  // of its values in the file
    const Json* values = nullptr;
};

class SweepReader {
public:
    SweepReader(const Document& document, Diagnostics& diagnostics)
        : document_(document), diagnostics_(diagnostics), reader_(document, "", diagnostics) {}

    void read(Sweep& sweep) {
        if (!reader_.is_object()) {
            return;
        }
        reader_.accept_header("sweep");
        reader_.optional("name", sweep.name);
        int mode = 0;
        reader_.optional_choice("mode", {"grid", "list", "paired"}, mode);
        mode_ = static_cast<Mode>(mode);
        check_base();
        const char* other = mode_ == Mode::list ? "axes" : "points";
        if (reader_.has(other)) {
            reader_.error(other, mode_ == Mode::list
                                     ? "mode list takes points, not axes"
                                     : "only mode list takes points, the others take axes");
        }
        if (mode_ == Mode::list) {
            read_list(sweep);
        } else {
            read_axes(sweep);
        }
        reader_.accept("axes");
        reader_.accept("points");
        reader_.finish();
    }

private:
    void check_base() {
        const Json* base = reader_.raw("base");
        if (base == nullptr || (!base->is_string() && !base->is_object())) {
            reader_.error(base == nullptr ? "" : "base",
                          base == nullptr ? "lacks \"base\": a scenario, as a file or inline"
                                          : "must be a scenario, as a file or inline");
        }
    }

    void error(const std::string& place, std::string message) {
        diagnostics_.error(document_.diagnostic(place, std::move(message)));
    }

    // Whether it points into a scenario.
    bool check_pointer(const std::string& pointer, const std::string& place) {
        const bool is_dotted = !pointer.empty() && pointer.find('/') == std::string::npos;
        if (is_dotted) {
            std::string meant = "/" + pointer;
            std::replace(meant.begin(), meant.end(), '.', '/');
            error(place,
                  fmt::format("{} is no JSON pointer, did you mean '{}'?", quote(pointer), meant));
            return false;
        }
        try {
            const Json::json_pointer parsed(pointer);
            if (parsed.empty() || pointer.back() == '/') {
                error(place, quote(pointer) + " names no field of a scenario");
                return false;
            }
        } catch (const Json::exception&) {
            error(place, quote(pointer) + " is no JSON pointer, such as /plan/comm_sms");
            return false;
        }
        return true;
    }

    [[nodiscard]] Override change(const std::string& pointer, const Json& value,
                                  const std::string& place) const {
        return {pointer, value, pointer + "=" + value.dump(), document_.location(place)};
    }

    void read_list(Sweep& sweep) {
        const Json* points = reader_.raw("points");
        if (points == nullptr || !points->is_array() || points->empty()) {
            error("/points", "must be a list of points: [{\"/plan/comm_sms\": 20}, ...]");
            return;
        }
        if (!check_count(points->size(), "/points")) {
            return;
        }
        std::set<std::string> axes;
        for (std::size_t i = 0; i < points->size(); ++i) {
            const std::string place = fmt::format("/points/{}", i);
            if (!(*points)[i].is_object()) {
                error(place, "must be an object of pointers and values");
                continue;
            }
            std::vector<Override> point;
            for (const auto& [pointer, value] : (*points)[i].items()) {
                const std::string at = join_pointer(place, pointer);
                if (check_pointer(pointer, at)) {
                    point.push_back(change(pointer, value, at));
                    if (axes.insert(pointer).second) {
                        sweep.axes.push_back(pointer);
                    }
                }
            }
            sweep.points.push_back(std::move(point));
        }
    }

    void read_axes(Sweep& sweep) {
        const Json* axes = reader_.raw("axes");
        if (axes == nullptr || !axes->is_object() || axes->empty()) {
            error("/axes",
                  "must be an object of pointers and their values: "
                  "{\"/plan/comm_sms\": [10, 20]}");
            return;
        }
        std::vector<Axis> list;
        for (const auto& [pointer, values] : axes->items()) {
            const Axis axis{pointer, join_pointer("/axes", pointer), &values};
            if (check_pointer(pointer, axis.place) && check_values(axis)) {
                list.push_back(axis);
                sweep.axes.push_back(pointer);
            }
        }
        if (list.size() != axes->size()) {
            return;  // some are wrong
        }
        mode_ == Mode::grid ? add_grid(list, sweep) : add_pairs(list, sweep);
    }

    bool check_values(const Axis& axis) {
        const Json& values = *axis.values;
        if (!values.is_array() || values.empty()) {
            error(axis.place, "must be a list of values");
            return false;
        }
        if (!check_count(values.size(), axis.place)) {
            return false;
        }
        bool is_good = true;
        std::set<Json> seen;
        for (std::size_t i = 0; mode_ == Mode::grid && i < values.size(); ++i) {
            if (!seen.insert(values[i]).second) {
                error(fmt::format("{}/{}", axis.place, i),
                      values[i].dump() + " is there twice, and would give each point twice");
                is_good = false;
            }
        }
        return is_good;
    }

    bool check_count(std::size_t count, const std::string& place) {
        if (count > kPointsMax) {
            error(place, fmt::format("more than {} points", kPointsMax));
        }
        return count <= kPointsMax;
    }

    [[nodiscard]] Override value_of(const Axis& axis, std::size_t index) const {
        return change(axis.pointer, (*axis.values)[index], fmt::format("{}/{}", axis.place, index));
    }

    void add_grid(const std::vector<Axis>& axes, Sweep& sweep) {
        std::size_t count = 1;
        for (const Axis& axis : axes) {
            count *= axis.values->size();
            if (!check_count(count, "/axes")) {
                return;
            }
        }
        for (std::size_t i = 0; i < count; ++i) {
            std::vector<Override> point;
            std::size_t rest = i;
            std::size_t block = count;
            for (const Axis& axis : axes) {
                block /= axis.values->size();
                point.push_back(value_of(axis, rest / block));
                rest %= block;
            }
            sweep.points.push_back(std::move(point));
        }
    }

    void add_pairs(const std::vector<Axis>& axes, Sweep& sweep) {
        const std::size_t count = axes.front().values->size();
        bool is_good = check_count(count, "/axes");
        for (const Axis& axis : axes) {
            if (axis.values->size() != count) {
                error(axis.place, fmt::format("has {} values and {} has {}: paired axes need as "
                                              "many of each",
                                              axis.values->size(), axes.front().pointer, count));
                is_good = false;
            }
        }
        for (std::size_t i = 0; is_good && i < count; ++i) {
            std::vector<Override> point;
            for (const Axis& axis : axes) {
                point.push_back(value_of(axis, i));
            }
            sweep.points.push_back(std::move(point));
        }
    }

    const Document& document_;
    Diagnostics& diagnostics_;
    ObjectReader reader_;
    Mode mode_ = Mode::grid;
};

std::string hash_of(const Sweep& sweep) {
    Json content = {{"base", load_scenario(sweep.base, sweep.folder, sweep.overrides).root()}};
    for (std::size_t i = 0; i < sweep.points.size(); ++i) {
        content["points"].push_back(changes_of(sweep, i));
    }
    return content_hash(content.dump());
}

// Whether a graph may depend on the field. A wrong answer costs time and changes nothing.
bool may_change_graph(const std::string& pointer) {
    const std::string below = pointer + "/";
    return below != "/plan/comm_sms/" &&
           (below.starts_with("/model/") || below.starts_with("/workload/") ||
            below.starts_with("/plan/"));
}

}  // namespace

Sweep read_sweep(const std::filesystem::path& file, const std::vector<Override>& overrides) {
    const Document document = Document::from_file(file);
    Diagnostics diagnostics;
    Sweep sweep;
    sweep.overrides = overrides;
    SweepReader(document, diagnostics).read(sweep);
    diagnostics.throw_if_errors();
    sweep.file_folder = file.parent_path();
    if (document.find("/base")->is_string()) {
        const std::filesystem::path base =
            sweep.file_folder / document.find("/base")->get<std::string>();
        std::vector<Diagnostic> problems;
        try_load(document, "/base", problems, [&] { sweep.base = Document::from_file(base); });
        if (!problems.empty()) {
            throw InputError(std::move(problems));
        }
        sweep.folder = base.parent_path();
    } else {
        sweep.base = document.part("/base");
        sweep.folder = sweep.file_folder;
    }
    if (sweep.name.empty()) {
        sweep.name = file.stem().string();
    }
    sweep.hash = hash_of(sweep);
    return sweep;
}

Document scenario_of(const Sweep& sweep, std::size_t point) {
    std::vector<Override> changes = sweep.points[point];
    // Whole members before what lies in them, whatever the order of the file.
    std::stable_sort(changes.begin(), changes.end(), [](const Override& a, const Override& b) {
        return std::count(a.pointer.begin(), a.pointer.end(), '/') <
               std::count(b.pointer.begin(), b.pointer.end(), '/');
    });
    std::vector<Override> overrides = sweep.overrides;
    overrides.insert(overrides.end(), changes.begin(), changes.end());
    return load_scenario(sweep.base, sweep.folder, overrides);
}

Json changes_of(const Sweep& sweep, std::size_t point) {
    Json changes = Json::object();
    for (const Override& change : sweep.points[point]) {
        changes[change.pointer] = change.value;
    }
    return changes;
}

std::vector<std::vector<std::size_t>> graph_groups(const Sweep& sweep,
                                                   const std::vector<std::size_t>& points) {
    std::vector<std::vector<std::size_t>> groups;
    std::map<std::string, std::size_t> group_of;
    for (const std::size_t point : points) {
        std::string key;
        for (const Override& change : sweep.points[point]) {
            key += may_change_graph(change.pointer) ? change.text + "\n" : "";
        }
        const auto [entry, is_new] = group_of.try_emplace(key, groups.size());
        if (is_new) {
            groups.emplace_back();
        }
        groups[entry->second].push_back(point);
    }
    return groups;
}

}  // namespace r1
