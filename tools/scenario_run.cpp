#include "tools/scenario_run.hpp"

#include <cstdlib>

#include "tools/cli.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

bool has_exchanges(const std::string& binding) {
    const Document document = Document::from_file(binding);
    const Json* exchanges = document.find("/steps/0/exchanges");
    return exchanges != nullptr && !exchanges->empty();
}

}  // namespace

RunFolder::RunFolder() {
    std::string name = (fs::temp_directory_path() / "r1sim_run_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
        throw InputError(name, "cannot be made: the timeline of the run needs a place");
    }
    path_ = name;
}

RunFolder::~RunFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

std::optional<RunFiles> run_scenario(std::vector<std::string> arguments, const RunFolder& folder) {
    RunFiles files{folder.file("measured.json"), folder.file("binding.json")};
    arguments.insert(arguments.end(), {"--timeline", files.timeline, "--binding", files.binding});
    const Command run = run_command();
    run.run(parse_arguments(run, arguments).silenced());
    if (!fs::exists(files.timeline)) {
        return std::nullopt;
    }
    if (!has_exchanges(files.binding)) {
        files.binding.clear();
    }
    return files;
}

std::vector<Override> routed_as(const std::string& binding) {
    if (binding.empty()) {
        return {};
    }
    return {{"/routing/source", Json("captured"), "--binding"},
            {"/routing/binding", Json(fs::absolute(binding).string()), "--binding"}};
}

}  // namespace r1
