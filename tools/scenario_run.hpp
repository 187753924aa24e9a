// A scenario executed for what it measures: `r1sim run`, its files in a folder that is gone
// afterwards.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/base/json.hpp"

namespace r1 {

class RunFolder {
public:
    // Throws InputError if there is no place for it.
    RunFolder();
    ~RunFolder();
    RunFolder(const RunFolder&) = delete;
    RunFolder& operator=(const RunFolder&) = delete;

    [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

struct RunFiles {
    std::string timeline;
    std::string binding;  // empty if no tokens were exchanged: it says nothing of routing then
};

// `arguments` of `r1sim run`, but for files. nullopt in the processes of an MPI job that are not
// the first: they have no timeline.
std::optional<RunFiles> run_scenario(std::vector<std::string> arguments, const RunFolder& folder);

// What lets a scenario route as the run did that wrote the binding; nothing for an empty one.
std::vector<Override> routed_as(const std::string& binding);

}  // namespace r1
