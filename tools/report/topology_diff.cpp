#include "tools/report/topology_diff.hpp"

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "tools/report/topology_view.hpp"

namespace r1 {

namespace {

std::vector<HardwareChange> changes_between(const Topology& from, const Topology& to) {
    return hardware_changes({from, {}}, {to, {}});
}

std::string text_of(const Json& value) {
    if (value.is_null()) {
        return "none";
    }
    if (value.is_array()) {
        std::string list;
        for (const Json& item : value) {
            list += (list.empty() ? "" : ", ") + text_of(item);
        }
        return list;
    }
    return value.is_number()   ? number_text(value.get<double>())
           : value.is_string() ? value.get<std::string>()
                               : value.dump();
}

std::string ratio_of(const HardwareChange& change) {
    const bool comparable =
        change.from.is_number() && change.to.is_number() && change.from.get<double>() != 0;
    return comparable
               ? fmt::format(" ({:.3g} times)", change.to.get<double>() / change.from.get<double>())
               : "";
}

}  // namespace

Json changes_json(const std::vector<HardwareChange>& changes) {
    Json list = Json::array();
    for (const HardwareChange& change : changes) {
        list.push_back({{"resource", name(change.resource)},
                        {"what", change.what},
                        {"from", change.from},
                        {"to", change.to}});
    }
    return list;
}

Json topology_diff_json(const Topology& from, const Topology& to) {
    return changes_json(changes_between(from, to));
}

std::string topology_diff_text(const Topology& from, const Topology& to) {
    const std::vector<HardwareChange> changes = changes_between(from, to);
    std::string text = fmt::format("\n{} against {}: ", to.name, from.name);
    if (changes.empty()) {
        return text + "nothing differs that a replay would feel\n";
    }
    text += fmt::format("{} difference{}\n", changes.size(), changes.size() == 1 ? "" : "s");
    for (const HardwareChange& change : changes) {
        text += fmt::format("  {:8} {} is {} instead of {}{}\n", name(change.resource), change.what,
                            text_of(change.to), text_of(change.from), ratio_of(change));
    }
    return text;
}

}  // namespace r1
