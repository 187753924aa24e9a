// A scenario file with everything that it names, and --set (declared in scenario.hpp).
#include <algorithm>

#include "model/scenario/scenario.hpp"

namespace r1 {

namespace {

// Runs `load`, which puts the file of a member in place. A file that cannot be read becomes a
// problem of the member that names it, and loading goes on.
template <class Load>
void try_load(const Document& document, const std::string& pointer,
              std::vector<Diagnostic>& problems, Load load) {
    try {
        load();
    } catch (const InputError& error) {
        problems.push_back(document.diagnostic(pointer, "cannot be loaded:"));
        problems.insert(problems.end(), error.diagnostics().begin(), error.diagnostics().end());
    }
}

// A member that is a file or a preset, by its name; an inline object stays.
template <class Load>
void put_in_place(Document& document, const std::string& pointer, std::vector<Diagnostic>& problems,
                  Load load) {
    const Json* value = document.find(pointer);
    if (value != nullptr && value->is_string()) {
        const std::string name = value->get<std::string>();
        try_load(document, pointer, problems, [&] { document.graft(pointer, load(name)); });
    }
}

// Without its file, what is said about a member only follows.
bool lies_below(const std::string& pointer, const std::vector<Diagnostic>& causes) {
    return std::any_of(causes.begin(), causes.end(), [&](const Diagnostic& cause) {
        return !cause.pointer.empty() && (pointer + "/").starts_with(cause.pointer + "/");
    });
}

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
    put_in_place(document, cluster, problems,
                 [&](const std::string& name) { return loaders.cluster(name, base); });
    put_in_place(document, prefix + "/calibration", problems,
                 [&](const std::string& name) { return loaders.calibration(name, base); });
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

Document load_scenario_document(const std::filesystem::path& file,
                                const std::vector<Override>& overrides,
                                const ScenarioLoaders& loaders) {
    return complete_scenario_document(Document::from_file(file), file.parent_path(), overrides,
                                      loaders);
}

Document complete_scenario_document(Document document, const std::filesystem::path& base,
                                    const std::vector<Override>& overrides,
                                    const ScenarioLoaders& loaders) {
    if (!document.root().is_object()) {
        return document;
    }
    std::vector<Diagnostic> problems;
    const auto apply = [&](Moment moment) {
        for (const Override& override : overrides) {
            if (moment_of(override.pointer) == moment && !lies_below(override.pointer, problems) &&
                !document.set(override.pointer, override.value, {"--set", 0, 0})) {
                problems.push_back(
                    {{"--set", 0, 0},
                     override.pointer,
                     "runs through a value that is not an object, or past the end of an array",
                     ""});
            }
        }
    };
    apply(Moment::baseline);
    complete_baseline(document);
    apply(Moment::members);
    put_in_place(document, "/model", problems,
                 [&](const std::string& name) { return load_model_document(name, base); });
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
