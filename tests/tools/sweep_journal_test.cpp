// The journal of a sweep: what survives a kill, and what is refused.
#include <filesystem>
#include <fstream>
#include <string>

#include "model/base/json.hpp"
#include "sim/hardware/presets.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tools/sweep/journal.hpp"
#include "tools/sweep/sweep_line.hpp"

namespace r1 {
namespace {

Sweep journal_sweep(const test::TemporaryFolder& folder, const std::string& values = "[1, 2, 3]") {
    std::ofstream(folder / "s.json")
        << R"({"schema": "r1sim.sweep/1", "axes": {"/seed": )" << values << R"(}, "base": ")"
        << (data_root() / "scenarios" / "tiny_train_cpu.json").string() << "\"}";
    return read_sweep(folder / "s.json", {});
}

std::string line_of(const Sweep& sweep, std::size_t point) {
    return failed_line(sweep, point, {kInternalError, "as a test"}).dump();
}

std::string refusal(const std::filesystem::path& file, const Sweep& sweep,
                    const std::string& part = "all") {
    try {
        const Journal journal(file, sweep, part, false);
        return "";
    } catch (const InputError& error) {
        return error.diagnostics().front().message;
    }
}

}  // namespace

TEST_CASE("journal: goes on after its last whole line", "[tools][sweep]") {
    const test::TemporaryFolder folder("journal");
    const Sweep sweep = journal_sweep(folder);
    const auto file = folder / "j";
    {
        Journal journal(file, sweep, "all", false);
        CHECK(journal.lines().empty());
        journal.append(2, line_of(sweep, 2));
        journal.append(0, line_of(sweep, 0));
    }
    const std::string whole = read_file(file);
    // Cut off anywhere in the last line, or in the header: what stands before is kept.
    const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
    for (const std::size_t size : {whole.size() - 1, last + 1, last, std::size_t{3}}) {
        INFO(size);
        std::filesystem::remove(file);
        std::ofstream(file) << whole.substr(0, size);
        Journal journal(file, sweep, "all", false);
        CHECK(journal.lines().count(0) == 0);
        CHECK(journal.lines().count(2) == (size < last ? 0 : 1));
        journal.append(1, line_of(sweep, 1));
        CHECK(read_file(file).ends_with("\n" + line_of(sweep, 1) + "\n"));
    }
}

TEST_CASE("journal: of another sweep, part or writer is refused, --restart drops it",
          "[tools][sweep]") {
    const test::TemporaryFolder folder("journal");
    const auto file = folder / "j";
    const Sweep other = journal_sweep(folder, "[4]");
    const Sweep sweep = journal_sweep(folder);
    {
        Journal journal(file, sweep, "0/2", false);
        journal.append(0, line_of(sweep, 0));
        CHECK(refusal(file, sweep, "0/2").find("by another r1sim") != std::string::npos);
    }
    CHECK(refusal(file, sweep, "0/2").empty());
    CHECK(refusal(file, other, "0/2").find("of another sweep") != std::string::npos);
    CHECK(refusal(file, sweep).find("part \"0/2\" of the sweep, not \"all\"") != std::string::npos);
    std::ofstream(folder / "text") << "something else\n";
    CHECK(refusal(folder / "text", sweep).find("is no journal") != std::string::npos);
    CHECK(read_file(folder / "text") == "something else\n");
    Journal restarted(file, other, "all", true);
    CHECK(restarted.lines().empty());
}

TEST_CASE("journal: a file of something else keeps its bytes", "[tools][sweep]") {
    const test::TemporaryFolder folder("journal");
    const Sweep sweep = journal_sweep(folder);
    for (const std::string text : {"my notes\nand an unfinished line", "one line, not ended"}) {
        write_file_atomically(folder / "notes", text);
        CHECK(refusal(folder / "notes", sweep).find("is no journal") != std::string::npos);
        CHECK(read_file(folder / "notes") == text);
    }
}

TEST_CASE("journal: a damaged or doubled line is refused", "[tools][sweep]") {
    const test::TemporaryFolder folder("journal");
    const auto file = folder / "j";
    const Sweep sweep = journal_sweep(folder);
    { Journal(file, sweep, "all", false).append(0, line_of(sweep, 0)); }
    const std::string good = read_file(file);
    std::ofstream(file, std::ios::app) << line_of(sweep, 0) << "\n";
    CHECK(refusal(file, sweep).find("a second time") != std::string::npos);
    std::ofstream(file) << good << "{\n";
    CHECK(refusal(file, sweep).find("is no line of a sweep") != std::string::npos);
    Json half = Json::parse(line_of(sweep, 1));
    half["step"] = {{"time_s", 1.5}};
    std::ofstream(file) << good << half.dump() << "\n";
    CHECK(refusal(file, sweep).find("point 1 lacks a part") != std::string::npos);
    Json wrong = Json::parse(line_of(sweep, 1));
    wrong["axes"]["/seed"] = 3;
    std::ofstream(file) << good << wrong.dump() << "\n";
    CHECK(refusal(file, sweep).find("point 1 is none of the sweep") != std::string::npos);
}

}  // namespace r1
