#include "model/checkpoint/checksum.hpp"

#include "tests/model/checkpoint_fixture.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace r1;

TEST_CASE("checksum: of a file is that of its bytes", "[model][checkpoint]") {
    // XXH3-128 of no bytes with seed 0, as xxhsum -H2 prints it.
    CHECK(checksum("") == "99aa06d3014798d86001c324468d497f");
    const test::TemporaryFolder folder("checksum");
    std::string bytes(3'000'001, 'a');  // several blocks
    bytes[2'999'999] = 'b';
    test::write_bytes(folder / "file", bytes);
    CHECK(file_checksum(folder / "file") == checksum(bytes));
    CHECK(checksum(bytes) != checksum(std::string(3'000'001, 'a')));
    CHECK(test::contains(test::input_error([&] { file_checksum(folder / "none"); }),
                         "cannot be read (No such file or directory)"));
}
