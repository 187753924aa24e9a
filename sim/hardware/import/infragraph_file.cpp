#include "sim/hardware/import/infragraph_file.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "model/base/index.hpp"
#include "sim/hardware/device.hpp"

namespace r1 {
namespace {

constexpr std::size_t kInfraNamesMax = 1000;  // devices, or components, links, instances of one
constexpr int kInfraCountMax = 1 << 20;
constexpr std::size_t kInfraStepsMax = 32;
constexpr double kGigabitsPerGigabyte = 8;

const char* const kOldDraft =
    "this is the old draft of InfraGraph ('connections', 'type'); the current schema has 'edges' "
    "with ep1 and ep2, and 'choice'";

class InfraReader {
public:
    InfraReader(const Document& document, Diagnostics& diagnostics)
        : document_(document), diagnostics_(diagnostics) {}

    InfraFile read();

private:
    void container(ObjectReader& reader, InfraContainer& out);
    void component(ObjectReader& reader, InfraContainer& out);
    void instance(ObjectReader& reader);
    void link(ObjectReader& reader, InfraContainer& out);
    void bandwidth(ObjectReader& reader, InfraLink& out);
    void latency(ObjectReader& reader, InfraLink& out);
    void edge(ObjectReader& reader, InfraContainer& out);
    std::vector<InfraStep> endpoint(ObjectReader& edge, const char* key);
    std::optional<InfraStep> step(std::string_view text, const std::string& pointer);
    void resolve_devices(InfraContainer& container);
    void refuse_cycles();
    bool reaches(int device, std::vector<int>& state);
    template <class Items>
    bool is_new(const Items& items, ObjectReader& reader, const std::string& name);
    void error(const std::string& pointer, std::string message) {
        diagnostics_.error(document_.diagnostic(pointer, std::move(message)));
    }

    const Document& document_;
    Diagnostics& diagnostics_;
    InfraFile file_;
};

template <class Items>
std::vector<std::string> names_in(const Items& items) {
    std::vector<std::string> names;
    for (const auto& item : items) names.push_back(item.name);
    return names;
}

template <class Items>
int index_of(const Items& items, const std::string& name) {
    const auto found = std::find_if(items.begin(), items.end(),
                                    [&](const auto& item) { return item.name == name; });
    return found == items.end() ? -1 : static_cast<int>(found - items.begin());
}

template <class Items>
bool InfraReader::is_new(const Items& items, ObjectReader& reader, const std::string& name) {
    if (items.size() == kInfraNamesMax) {
        reader.error({}, fmt::format("more than {} of them", kInfraNamesMax));
        return false;
    }
    if (name.empty() || index_of(items, name) < 0) return true;
    reader.error("name", quote(name) + " stands here twice");
    return false;
}

void InfraReader::component(ObjectReader& reader, InfraContainer& out) {
    static const std::vector<std::string> kinds{"custom", "device", "cpu",  "xpu",
                                                "nic",    "memory", "port", "switch"};
    InfraComponent item;
    int kind = 0;
    item.pointer = reader.pointer();
    if (reader.has("type") && !reader.has("choice")) {
        reader.error("type", kOldDraft);
        return;
    }
    reader.required("name", item.name);
    reader.optional("description", item.description);
    reader.required("count", item.count, Range{1, kInfraCountMax});
    reader.required_choice("choice", kinds, kind);
    reader.accept("custom");
    reader.finish(Keys::foreign);
    item.kind = static_cast<InfraKind>(kind);
    if (is_new(out.components, reader, item.name)) out.components.push_back(std::move(item));
}

void InfraReader::instance(ObjectReader& reader) {
    InfraComponent item;
    std::string device;
    item.pointer = reader.pointer();
    item.kind = InfraKind::device;
    reader.required("name", item.name);
    reader.optional("description", item.description);
    reader.required("device", device);
    reader.required("count", item.count, Range{1, kInfraCountMax});
    reader.finish(Keys::foreign);
    item.device = index_of(file_.devices, device);
    if (item.device < 0 && !device.empty()) {
        reader.error("device", "there is no device " + quote(device) +
                                   did_you_mean(device, names_in(file_.devices)));
    }
    if (is_new(file_.root.components, reader, item.name)) {
        file_.root.components.push_back(std::move(item));
    }
}

void InfraReader::bandwidth(ObjectReader& reader, InfraLink& out) {
    static const std::vector<std::string> units{"gigabits_per_second", "gigabytes_per_second",
                                                "gigatransfers_per_second"};
    int unit = 0;
    double value = 0;
    reader.required_choice("choice", units, unit);
    reader.required(units[at(unit)], value, kRate);
    reader.finish(Keys::foreign);
    // Transfers are bytes only with lanes and a line code, which the file does not have.
    if (unit < 2) out.gb_per_s = unit == 0 ? value / kGigabitsPerGigabyte : value;
}

void InfraReader::latency(ObjectReader& reader, InfraLink& out) {
    static const std::vector<std::string> units{"ms", "us", "ns"};
    constexpr double kMicroseconds[]{1e3, 1, 1e-3};
    int unit = 0;
    double value = 0;
    reader.required_choice("choice", units, unit);
    reader.required(units[at(unit)], value, kLatencyUs);
    reader.finish(Keys::foreign);
    out.latency_us = value * kMicroseconds[unit];
}

void InfraReader::link(ObjectReader& reader, InfraContainer& out) {
    InfraLink item;
    item.pointer = reader.pointer();
    if (reader.has("bandwidth")) {
        reader.error("bandwidth", kOldDraft);
        return;
    }
    reader.required("name", item.name);
    reader.accept("description");
    if (auto physical = reader.object("physical", false)) {
        if (auto rate = physical->object("bandwidth", false)) bandwidth(*rate, item);
        if (auto delay = physical->object("latency", false)) latency(*delay, item);
        physical->finish(Keys::foreign);
    }
    reader.finish(Keys::foreign);
    if (is_new(out.links, reader, item.name)) out.links.push_back(std::move(item));
}

// "name", "name[2]", "name[0:2]", "name[:2]", "name[2:]".
std::optional<InfraStep> InfraReader::step(std::string_view text, const std::string& pointer) {
    InfraStep result;
    const std::size_t bracket = std::min(text.find('['), text.size());
    result.name = text.substr(0, bracket);
    std::string_view slice = text.substr(bracket);
    bool is_good = !result.name.empty();
    if (is_good && !slice.empty()) {
        const bool is_closed = slice.size() > 2 && slice.back() == ']';
        slice = is_closed ? slice.substr(1, slice.size() - 2) : std::string_view();
        const std::size_t colon = slice.find(':');
        const auto number = [&](std::string_view digits, int otherwise) {
            int value = otherwise;
            const char* end = digits.data() + digits.size();
            const auto [stop, code] = std::from_chars(digits.data(), end, value);
            is_good = is_good && (digits.empty() || (code == std::errc() && stop == end)) &&
                      value >= 0 && value <= kInfraCountMax;
            return is_good ? value : 0;
        };
        is_good = is_closed;
        result.begin = number(slice.substr(0, colon), 0);
        if (colon == std::string_view::npos) {
            is_good = is_good && !slice.empty();
            result.end = result.begin + 1;
        } else if (colon + 1 < slice.size()) {
            result.end = number(slice.substr(colon + 1), 0);
        }
    }
    if (is_good) return result;
    error(pointer, "expects a name, name[2] or name[0:2], found " + quote(text));
    return std::nullopt;
}

std::vector<InfraStep> InfraReader::endpoint(ObjectReader& edge, const char* key) {
    std::vector<InfraStep> steps;
    auto reader = edge.object(key, true);
    if (!reader) return steps;
    for (const char* part : {"instance", "device", "component"}) {
        std::string text;
        if (std::string_view(part) == "component") {
            reader->required(part, text);
        } else {
            reader->optional(part, text);
        }
        for (std::size_t begin = 0; begin < text.size();) {
            const std::size_t dot = std::min(text.find('.', begin), text.size());
            if (auto next = step(std::string_view(text).substr(begin, dot - begin),
                                 reader->pointer(part))) {
                steps.push_back(std::move(*next));
            }
            begin = dot + 1;
        }
    }
    reader->finish(Keys::foreign);
    if (steps.size() > kInfraStepsMax) {
        error(reader->pointer(), fmt::format("more than {} names in a row", kInfraStepsMax));
        steps.clear();
    }
    return steps;
}

void InfraReader::edge(ObjectReader& reader, InfraContainer& out) {
    static const std::vector<std::string> schemes{"one2one", "many2many", "ring"};
    InfraEdge item;
    int scheme = 0;
    std::string link;
    item.pointer = reader.pointer();
    item.ends[0] = endpoint(reader, "ep1");
    item.ends[1] = endpoint(reader, "ep2");
    reader.optional_choice("scheme", schemes, scheme);
    reader.required("link", link);
    reader.finish(Keys::foreign);
    item.scheme = static_cast<InfraScheme>(scheme);
    item.link = index_of(out.links, link);
    if (item.link < 0 && !link.empty()) {
        reader.error("link", "there is no link " + quote(link) + " here" +
                                 did_you_mean(link, names_in(out.links)));
    }
    if (!item.ends[0].empty() && !item.ends[1].empty()) out.edges.push_back(std::move(item));
}

void InfraReader::container(ObjectReader& reader, InfraContainer& out) {
    out.pointer = reader.pointer();
    if (reader.has("connections")) {
        reader.error("connections", kOldDraft);
        reader.accept("connections");
    }
    reader.optional("name", out.name);
    reader.accept("description");
    for (ObjectReader& item : reader.objects("links", false)) {
        if (item.is_object()) link(item, out);
    }
    for (ObjectReader& item : reader.objects("edges", false)) {
        if (item.is_object()) edge(item, out);
    }
}

// A component of kind device is the device of its name.
void InfraReader::resolve_devices(InfraContainer& container) {
    for (InfraComponent& item : container.components) {
        if (item.kind != InfraKind::device) continue;
        item.device = index_of(file_.devices, item.name);
        if (item.device < 0) {
            error(item.pointer + "/name", "there is no device " + quote(item.name) +
                                              did_you_mean(item.name, names_in(file_.devices)));
        }
    }
}

// state: 0 not seen, 1 on the way, 2 done. Recursion ends with the devices: 1000 of them.
bool InfraReader::reaches(int device, std::vector<int>& state) {
    if (state[at(device)] != 0) return state[at(device)] == 1;
    state[at(device)] = 1;
    for (const InfraComponent& item : file_.devices[at(device)].components) {
        if (item.device >= 0 && reaches(item.device, state)) {
            error(item.pointer, "device " + quote(file_.devices[at(device)].name) +
                                    " is made of itself, by way of " + quote(item.name));
            state[at(device)] = 2;
            return false;
        }
    }
    state[at(device)] = 2;
    return false;
}

void InfraReader::refuse_cycles() {
    std::vector<int> state(file_.devices.size(), 0);
    for (std::size_t i = 0; i < file_.devices.size(); ++i) reaches(static_cast<int>(i), state);
}

InfraFile InfraReader::read() {
    ObjectReader reader(document_, "", diagnostics_);
    if (!reader.is_object()) return std::move(file_);
    if (reader.has("infrastructure")) {
        reader.error("infrastructure", kOldDraft);
        return std::move(file_);
    }
    file_.is_device = reader.has("components") && !reader.has("instances");
    std::vector<ObjectReader> devices = reader.objects("devices", false);
    if (file_.is_device) devices = {ObjectReader(document_, "", diagnostics_)};
    for (ObjectReader& item : devices) {
        if (!item.is_object()) continue;
        InfraContainer device;
        item.required("name", device.name);
        const bool is_kept = is_new(file_.devices, item, device.name);
        for (ObjectReader& part : item.objects("components", true)) {
            if (part.is_object()) component(part, device);
        }
        container(item, device);
        item.finish(Keys::foreign);
        if (is_kept) file_.devices.push_back(std::move(device));
    }
    for (InfraContainer& device : file_.devices) resolve_devices(device);
    refuse_cycles();
    if (file_.is_device) {
        file_.root.components.push_back(
            {"node", "", "", InfraKind::device, 1, static_cast<int>(file_.devices.size()) - 1});
        return std::move(file_);
    }
    for (ObjectReader& item : reader.objects("instances", true)) {
        if (item.is_object()) instance(item);
    }
    container(reader, file_.root);
    reader.finish(Keys::foreign);
    return std::move(file_);
}

bool has_line(std::string_view text, std::string_view key) {
    for (std::size_t found = text.find(key); found != std::string_view::npos;
         found = text.find(key, found + 1)) {
        const std::size_t start = text.rfind('\n', found) + 1;  // npos + 1: the first line
        const std::string_view before = text.substr(start, found - start);
        if (before.find_first_not_of(" -") == std::string_view::npos) return true;
    }
    return false;
}

}  // namespace

InfraFile read_infragraph(const Document& document, Diagnostics& diagnostics) {
    return InfraReader(document, diagnostics).read();
}

void refuse_old_infragraph(std::string_view text, const std::string& file) {
    if (text.find_first_not_of(" \t\r\n\xEF\xBB\xBF") == text.find('{')) return;
    if (has_line(text, "connections:")) {
        throw InputError(file, std::string(kOldDraft) + "; and it is JSON that is read, not YAML");
    }
    if (has_line(text, "devices:") || has_line(text, "instances:") ||
        has_line(text, "components:") || has_line(text, "infrastructure:")) {
        throw InputError(file,
                         "this is YAML; InfraGraph is read as JSON, which has the same shape");
    }
}

}  // namespace r1
