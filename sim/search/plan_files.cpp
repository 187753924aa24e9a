#include "sim/search/plan_files.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "model/config/model_config.hpp"
#include "model/scenario/named_members.hpp"
#include "sim/hardware/topology.hpp"
#include "sim/search/run_prices.hpp"

namespace r1 {

namespace {

constexpr std::string_view kClusters = "/candidates/clusters";

// Overridden before files are loaded; all else is a field, perhaps of a file.
bool is_whole_member(const std::string& pointer) {
    if (!pointer.starts_with(std::string(kClusters) + "/")) {
        return pointer == "/prices" || pointer == "/model" || pointer == "/candidates" ||
               pointer == kClusters;
    }
    const std::size_t entry_end = pointer.find('/', kClusters.size() + 1);
    return entry_end == std::string::npos || pointer.substr(entry_end) == "/cluster";
}

// Makes room for fields of the cluster: a name becomes an object that has it.
void open_cluster(Document& document, const std::string& entry, const std::filesystem::path& base,
                  const std::vector<Override>& overrides, std::vector<Diagnostic>& problems) {
    const auto is_entered = [&](const std::string& pointer) {
        return std::any_of(overrides.begin(), overrides.end(), [&](const Override& override) {
            return override.pointer.starts_with(pointer + "/");
        });
    };
    if (is_entered(entry) && document.find(entry)->is_string()) {
        const Document name = document.part(entry);
        document.set(entry, Json::object(), document.location(entry));
        document.graft(entry + "/cluster", name);
    }
    const std::string cluster = entry + "/cluster";
    if (is_entered(cluster)) {
        put_in_place(document, cluster, base, problems, load_topology);
        try_load(document, cluster, problems, [&] { graft_device(document, cluster, base); });
    }
}

}  // namespace

Document complete_plan_document(Document document, const std::filesystem::path& base,
                                const std::vector<Override>& overrides,
                                std::vector<Diagnostic>& problems) {
    const auto apply = [&](bool whole_members) {
        for (const Override& override : overrides) {
            if (is_whole_member(override.pointer) == whole_members) {
                apply_override(document, override, problems);
            }
        }
    };
    apply(true);
    put_in_place(document, "/prices", base, problems, load_run_prices);
    if (std::any_of(overrides.begin(), overrides.end(), [](const Override& override) {
            return override.pointer.starts_with("/model/");
        })) {
        put_in_place(document, "/model", base, problems, load_model_document);
    }
    const Json* clusters = document.find(std::string(kClusters));
    const std::size_t count = clusters != nullptr && clusters->is_array() ? clusters->size() : 0;
    for (std::size_t i = 0; i < count; ++i) {
        open_cluster(document, fmt::format("{}/{}", kClusters, i), base, overrides, problems);
    }
    apply(false);
    return document;
}

std::string seen_from_here(const std::string& name, const std::filesystem::path& base) {
    const bool is_file = name.find('/') != std::string::npos || name.ends_with(".json");
    const std::filesystem::path path(name);
    return is_file && !path.is_absolute() ? (base / path).lexically_normal().string() : name;
}

}  // namespace r1
