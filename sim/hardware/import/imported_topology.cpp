#include "sim/hardware/import/imported_topology.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/tokenizer/utf8.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {
namespace {

// What no foreign file holds: measured fractions and latencies, and the switches of a cluster that
// --set makes of one node.
const std::vector<std::string>& defaulted_fields() {
    static const std::vector<std::string> fields{
        "nvlink.achievable_fraction",  "nvlink.latency_us",       "nic.achievable_fraction",
        "fabric.switch_ports",         "fabric.oversubscription", "fabric.same_leaf_latency_us",
        "fabric.cross_leaf_latency_us"};
    return fields;
}

std::string pointer_of(std::string field) {
    std::replace(field.begin(), field.end(), '.', '/');
    return "/" + field;
}

std::string field_of(const std::string& pointer) {
    std::string field = pointer.substr(1);
    std::replace(field.begin(), field.end(), '/', '.');
    return field;
}

bool is_open(const Document& document, const std::string& field) {
    const Json* value = document.find(pointer_of(field));
    return value == nullptr || value->is_null();
}

bool is_within(const std::string& field, const std::string& parent) {
    return field == parent || field.starts_with(parent + ".");
}

std::string file_name(const std::string& path) {
    std::string name = std::filesystem::path(path).filename().string();
    return utf8_error(name) ? "file" : name;
}

// All keys in the order in which people read them; null: nobody has said yet.
Json skeleton(const ImportedTopology& imported) {
    const auto mentions = [&](const std::string& section) {
        const auto within = [&](const auto& entry) { return is_within(entry.field, section); };
        return std::any_of(imported.values.begin(), imported.values.end(), within) ||
               std::any_of(imported.missing.begin(), imported.missing.end(), within);
    };
    Json root{{"schema", "r1sim.topology/1"},
              {"name", std::filesystem::path(file_name(imported.file)).stem().string()},
              {"comment", imported.comment},
              {"device", nullptr},
              {"nodes", nullptr},
              {"gpus_per_node", nullptr}};
    if (mentions("nvlink")) {
        root["nvlink"] = {{"bandwidth_gb_per_s", nullptr},
                          {"achievable_fraction", nullptr},
                          {"latency_us", nullptr},
                          {"switches", 0}};
    }
    if (mentions("nic")) {
        root["nic"] = {{"per_node", nullptr},
                       {"bandwidth_gb_per_s", nullptr},
                       {"achievable_fraction", nullptr},
                       {"affinity", nullptr}};
    }
    root["fabric"] = {{"kind", nullptr},
                      {"switch_ports", nullptr},
                      {"oversubscription", nullptr},
                      {"same_leaf_latency_us", nullptr},
                      {"cross_leaf_latency_us", nullptr}};
    root["overrides"] = Json::array();
    return root;
}

using FieldSources = std::map<std::string, std::string>;

void apply_overrides(Document& document, const std::vector<Override>& overrides,
                     FieldSources& sources) {
    for (const Override& override_ : overrides) {
        set_topology_field(document, override_);
        const std::string field = field_of(override_.pointer);
        std::erase_if(sources, [&](const auto& entry) { return is_within(entry.first, field); });
        for (const char* cited : {"device", "nodes", "gpus_per_node", "nvlink", "nic", "fabric"}) {
            if (is_within(field, cited)) sources[field] = "--set " + override_.text;
        }
    }
}

// Of the preset whose device it is; else of the H100's, which is measured as well as any.
std::string preset_for(const Document& document) {
    const Json* device = document.find("/device/name");
    return device != nullptr && *device == "h800" ? "h800_8x8" : "h100_8x8";
}

void fill_defaults(Document& document, const ImportedTopology& imported, FieldSources& sources) {
    const std::string preset_name = preset_for(document);
    const Document preset = load_topology(preset_name);
    for (const std::string& field : defaulted_fields()) {
        const std::string section = pointer_of(field.substr(0, field.find('.')));
        const Json* parent = document.find(section);
        const auto other = imported.defaults.find(field);
        const std::string& of = other == imported.defaults.end() ? field : other->second;
        const Json* value = preset.find(pointer_of(of));
        if (parent == nullptr || !parent->is_object() || !is_open(document, field)) continue;
        R1_CHECK(value != nullptr);
        document.set(pointer_of(field), *value, preset.location(pointer_of(of)));
        const Json* source = preset.find("/sources/" + of);
        sources[field] = fmt::format("default of {}, as {} does not say: {}", preset_name,
                                     file_name(imported.file),
                                     source == nullptr ? "" : source->get<std::string>());
    }
}

}  // namespace

void ImportedTopology::put(std::string field, Json value, Location location, std::string source) {
    values.push_back({std::move(field), std::move(value), std::move(location), std::move(source)});
}

void ImportedTopology::need(std::string field, const std::string& hint, Diagnostic problem) {
    problem.message += ": --set " + field + "=" + hint;
    missing.push_back({std::move(field), std::move(problem)});
}

std::string source_place(const Location& location) {
    const std::string name = file_name(location.file);
    return location.line > 0 ? fmt::format("{} line {}", name, location.line) : name;
}

Document topology_document(const ImportedTopology& imported,
                           const std::vector<Override>& overrides) {
    Document document = Document::from_json(skeleton(imported), imported.file);
    FieldSources sources;
    for (const ImportedValue& value : imported.values) {
        const bool is_set = document.set(pointer_of(value.field), value.value, value.location);
        R1_CHECK(is_set);
        sources[value.field] = value.source;
    }
    graft_device(document, "", {});
    apply_overrides(document, overrides, sources);
    fill_defaults(document, imported, sources);
    Diagnostics diagnostics;
    for (const MissingValue& missing : imported.missing) {
        if (is_open(document, missing.field)) diagnostics.error(missing.problem);
    }
    diagnostics.throw_if_errors();
    for (const auto& [field, source] : sources) {
        const std::string pointer = "/sources/" + field;
        if (document.find(pointer) == nullptr) document.set(pointer, source, {imported.file, 0, 0});
    }
    return document;
}

}  // namespace r1
