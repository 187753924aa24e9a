// A scenario file with everything that it names, and --set (declared in scenario.hpp).
#include "model/scenario/named_members.hpp"
#include "model/scenario/scenario.hpp"

namespace r1 {

namespace {

// The cluster and the calibration below `prefix`.
void put_hardware_in_place(Document& document, const std::string& prefix,
                           const std::filesystem::path& base, const ScenarioLoaders& loaders,
                           std::vector<Diagnostic>& problems) {
    const std::string cluster = prefix + "/cluster";
    const Json* value = document.find(cluster);
    if (value != nullptr && value->is_object()) {
        try_load(document, cluster + "/device", problems,
                 [&] { loaders.inline_cluster(document, cluster, base); });
    }
    put_in_place(document, cluster, base, problems, loaders.cluster);
    put_in_place(document, prefix + "/calibration", base, problems, loaders.calibration);
}

// When an override counts: a whole member ("cluster=h100_256x8_mpft") before its file is loaded, a
// field inside it after; the baseline's members before all, see complete_baseline().
enum class Moment { baseline, members, fields };

Moment moment_of(const std::string& pointer) {
    if (pointer == "/baseline" || pointer == "/baseline/cluster" ||
        pointer == "/baseline/calibration") {
        return Moment::baseline;
    }
    const bool whole = pointer == "/model" || pointer == "/cluster" || pointer == "/calibration";
    return whole ? Moment::members : Moment::fields;
}

// What a baseline does not name is the scenario's own as its file says: --set changes one of them.
void complete_baseline(Document& document) {
    const Json* baseline = document.find("/baseline");
    if (baseline == nullptr || !baseline->is_object()) {
        return;
    }
    for (const std::string member : {"/cluster", "/calibration"}) {
        const Json* own = document.find(member);
        const Json* given = document.find("/baseline" + member);
        if (own != nullptr && (given == nullptr || given->is_null())) {
            document.set("/baseline" + member, Json(*own), document.location(member));
        }
    }
}

// Some files could not be loaded: says so, with whatever else is wrong.
[[noreturn]] void refuse(const Document& document, std::vector<Diagnostic> problems) {
    Diagnostics others;
    try {
        read_scenario(document, others);
    } catch (const FeatureError&) {
        // The missing files come first.
    }
    const std::vector<Diagnostic> causes = problems;
    for (const Diagnostic& other : others.errors()) {
        if (!lies_below(other.pointer, causes)) {
            problems.push_back(other);
        }
    }
    throw InputError(std::move(problems));
}

}  // namespace

Document complete_scenario_document(Document document, const std::filesystem::path& base,
                                    const std::vector<Override>& overrides,
                                    const ScenarioLoaders& loaders) {
    if (!document.root().is_object()) {
        return document;
    }
    std::vector<Diagnostic> problems;
    const auto apply = [&](Moment moment) {
        for (const Override& override : overrides) {
            if (moment_of(override.pointer) == moment) {
                apply_override(document, override, problems);
            }
        }
    };
    apply(Moment::baseline);
    complete_baseline(document);
    apply(Moment::members);
    put_in_place(document, "/model", base, problems, load_model_document);
    for (const std::string prefix : {"", "/baseline"}) {
        put_hardware_in_place(document, prefix, base, loaders, problems);
    }
    apply(Moment::fields);
    if (!problems.empty()) {
        refuse(document, std::move(problems));
    }
    return document;
}

}  // namespace r1
