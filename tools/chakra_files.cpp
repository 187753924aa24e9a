#include "tools/chakra_files.hpp"

#include <filesystem>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "sim/chakra/export.hpp"

namespace r1 {

void make_chakra_folder(const Invocation& invocation) {
    std::error_code error;
    const std::filesystem::path folder = invocation.text("chakra");
    if (invocation.has("chakra")) {
        std::filesystem::create_directories(folder, error);
    }
    if (error) {
        throw InputError(folder.string(), "cannot be made (" + error.message() + ")");
    }
}

void write_chakra_files(const Invocation& invocation, const Setting& setting,
                        const Simulation& simulation) {
    const std::filesystem::path folder = invocation.text("chakra");
    const std::string name = std::filesystem::path(invocation.text("scenario")).stem().string();
    make_chakra_folder(invocation);
    export_chakra(setting, simulation, [&](RankId rank, const ChakraTrace& trace) {
        invocation.progress(fmt::format("writing the trace of rank {} …", rank.value));
        write_file_atomically(folder / fmt::format("{}.{}.et", name, rank.value),
                              chakra_bytes(trace));
    });
    invocation.progress("");
}

}  // namespace r1
