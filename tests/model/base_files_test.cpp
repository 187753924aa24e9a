// Reading and writing whole files.
#include <algorithm>
#include <fstream>

#include "model/base/json.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fs = std::filesystem;
using namespace r1;
using test::TemporaryFolder;

namespace {

std::ptrdiff_t entries(const TemporaryFolder& folder) {
    return std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator());
}

}  // namespace

TEST_CASE("files: what is written is read back byte by byte", "[model][base]") {
    const TemporaryFolder folder("files");
    std::string content(200'000, '\0');
    for (std::size_t i = 0; i < content.size(); ++i) {
        content[i] = static_cast<char>(i * 31 % 256);
    }
    for (const std::string& text : {std::string(), std::string("x"), content}) {
        write_file_atomically(folder / "out", text);
        CHECK(read_file(folder / "out") == text);
    }
    CHECK(entries(folder) == 1);
}

TEST_CASE("files: a missing file and a folder cannot be read", "[model][base]") {
    const TemporaryFolder folder("files");
    CHECK_THROWS_AS(read_file(folder / "none"), InputError);
    CHECK_THROWS_AS(read_file(folder / ""), InputError);
    CHECK_THROWS_AS(Document::from_file(folder / "none"), InputError);
    try {
        (void)read_file(folder / "none");
    } catch (const InputError& error) {
        CHECK(std::string(error.what()) ==
              (folder / "none").string() + ": cannot be read (No such file or directory)");
    }
}

TEST_CASE("files: a limit holds for files and for endless streams", "[model][base]") {
    const TemporaryFolder folder("files");
    write_file_atomically(folder / "out", "12345");
    CHECK(read_file(folder / "out", 5) == "12345");
    CHECK_THROWS_AS(read_file(folder / "out", 4), InputError);
    if (fs::exists("/dev/zero")) {
        CHECK_THROWS_AS(read_file("/dev/zero", 1 << 20), InputError);
    }
}

TEST_CASE("files: a failed write leaves nothing behind", "[model][base]") {
    const TemporaryFolder folder("files");
    CHECK_THROWS_AS(write_file_atomically(folder / "no/such/folder", "x"), InputError);
    fs::create_directory(folder / "target");
    CHECK_THROWS_AS(write_file_atomically(folder / "target", "x"), InputError);
    // The temporary file can be made here, but not renamed: the name is too long.
    CHECK_THROWS_AS(write_file_atomically(folder / std::string(300, 'n'), "x"), InputError);
    CHECK(entries(folder) == 1);
}

TEST_CASE("files: names of the greatest length can be written", "[model][base]") {
    const TemporaryFolder folder("files");
    write_file_atomically(folder / std::string(255, 'n'), "x");
    CHECK(read_file(folder / std::string(255, 'n')) == "x");
}

TEST_CASE("files: a link stays a link, and the file keeps its permissions", "[model][base]") {
    const TemporaryFolder folder("files");
    write_file_atomically(folder / "real", "old");
    fs::permissions(folder / "real", fs::perms::owner_read | fs::perms::owner_write);
    fs::create_symlink("real", folder / "link");
    write_file_atomically(folder / "link", "new");
    CHECK(fs::is_symlink(folder / "link"));
    CHECK(read_file(folder / "real") == "new");
    CHECK(fs::status(folder / "real").permissions() ==
          (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("files: devices are written directly, and a full one is an error", "[model][base]") {
    if (fs::exists("/dev/null")) {
        CHECK_NOTHROW(write_file_atomically("/dev/null", "x"));
        CHECK(fs::is_character_file("/dev/null"));
    }
    if (fs::exists("/dev/full")) {
        CHECK_THROWS_AS(write_file_atomically("/dev/full", "x"), InputError);
    }
}

TEST_CASE("files: a document names its file in every location", "[model][base]") {
    const TemporaryFolder folder("files");
    write_file_atomically(folder / "a.json", "{\"x\": [1]}");
    const Document document = Document::from_file(folder / "a.json");
    CHECK(document.file() == (folder / "a.json").string());
    CHECK(document.location("/x/0").file == document.file());
}
