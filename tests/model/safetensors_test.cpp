// Reading and writing safetensors files: round trips, the format by hand, malformed files.
#include <iostream>
#include <limits>

#include "model/checkpoint/safetensors.hpp"
#include "tests/model/checkpoint_fixture.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/safetensors.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fs = std::filesystem;
using namespace r1;
using test::contains;

namespace {

constexpr const char* kFile = "some.safetensors";

std::string file_of(const std::string& header, const std::string& data) {
    std::string bytes(8, '\0');
    const std::uint64_t length = header.size();
    std::memcpy(bytes.data(), &length, 8);
    return bytes + header + data;
}

SafetensorsContent parse_content(const std::string& file) {
    return parse_safetensors(std::as_bytes(std::span(file.data(), file.size())), kFile);
}

// The error of a file; it must name the file.
std::string problem(const std::string& file) {
    std::string text = test::input_error([&] { parse_content(file); });
    REQUIRE(contains(text, kFile));
    return text;
}

std::string one(const std::string& entry, const std::string& data = std::string(8, 'x')) {
    return file_of(R"({"t":)" + entry + "}", data);
}

test::TensorSet some_tensors() {
    test::TensorSet set;
    set.add("b.weight", StoredType::bf16, {2, 3}, std::vector<std::uint16_t>{1, 2, 3, 4, 5, 6});
    set.add("a.weight", StoredType::f8_e4m3, {3}, std::vector<std::uint8_t>{7, 8, 9});
    set.add("scalar", StoredType::i64, {}, std::vector<std::int64_t>{-5});
    set.add("nothing", StoredType::f32, {4, 0}, std::vector<float>{});
    set.add("a.scale \"quoted\"", StoredType::f32, {1, 2}, std::vector<float>{1.5F, -2});
    return set;
}

}  // namespace

TEST_CASE("safetensors: what is written is read back", "[model][checkpoint]") {
    const test::TemporaryFolder folder("safetensors");
    const test::TensorSet set = some_tensors();
    write_safetensors(folder / "x.safetensors", set.views(), {{"format", "pt"}});
    const SafetensorsFile file(folder / "x.safetensors");
    CHECK(file.metadata() == SafetensorsMetadata{{"format", "pt"}});
    REQUIRE(file.tensors().size() == set.views().size());
    for (const TensorView& written : set.views()) {
        const TensorView& read = file.at(written.name);
        CHECK(read.dtype == written.dtype);
        CHECK(read.shape == written.shape);
        CHECK(std::equal(read.data.begin(), read.data.end(), written.data.begin(),
                         written.data.end()));
    }
    CHECK(file.at("scalar").count() == 1);
    CHECK(file.at("nothing").count() == 0);
    CHECK(file.find("b.weigh") == nullptr);
    CHECK(contains(test::input_error([&] { (void)file.at("missing"); }), "'missing'"));
}

TEST_CASE("safetensors: the file is laid out as the official library does", "[model][checkpoint]") {
    const test::TemporaryFolder folder("safetensors");
    test::TensorSet set;
    set.add("y", StoredType::u8, {3}, std::vector<std::uint8_t>{65, 66, 67});
    set.add("x", StoredType::f32, {1}, std::vector<float>{2});
    write_safetensors(folder / "x.safetensors", set.views());
    // Larger types first; blanks fill the header up to a multiple of 8.
    const std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                               R"("y":{"dtype":"U8","shape":[3],"data_offsets":[4,7]}})";
    const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
    CHECK(test::read_bytes(folder / "x.safetensors") ==
          file_of(padded, std::string("\0\0\0\x40", 4) + "ABC"));
}

TEST_CASE("safetensors: equal tensors give equal bytes in any order", "[model][checkpoint]") {
    const test::TemporaryFolder folder("safetensors");
    const test::TensorSet set = some_tensors();
    std::vector<TensorView> views = set.views();
    write_safetensors(folder / "a", views);
    std::reverse(views.begin(), views.end());
    write_safetensors(folder / "b", views);
    CHECK(test::read_bytes(folder / "a") == test::read_bytes(folder / "b"));
    // Nothing but the two files is left behind.
    CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);
}

TEST_CASE("safetensors: a failed write leaves the old file", "[model][checkpoint]") {
    const test::TemporaryFolder folder("safetensors");
    const test::TensorSet set = some_tensors();
    fs::create_directory(folder / "taken");
    CHECK(contains(test::input_error([&] { write_safetensors(folder / "taken", set.views()); }),
                   "not a regular file"));
    CHECK(fs::is_directory(folder / "taken"));
    CHECK(contains(
        test::input_error([&] { write_safetensors(folder.path() / "none" / "x", set.views()); }),
        "cannot be written"));
}

TEST_CASE("safetensors: malformed files are told apart", "[model][checkpoint]") {
    CHECK(contains(problem(""), "only 0 bytes"));
    CHECK(contains(problem(file_of("", "")), "does not start with '{'"));
    CHECK(contains(problem(std::string(8, '\xFF') + "{}"), "100000000"));
    CHECK(contains(problem(file_of("{}", "").replace(0, 1, "\x09")), "truncated"));
    CHECK(contains(problem(file_of("{\"a\":", "")), "in the safetensors header"));
    CHECK(contains(problem(file_of("{}{}", "")), "in the safetensors header"));
    CHECK(contains(problem(file_of("{}", "x")), "the last 1 bytes belong to no tensor"));
    CHECK(contains(problem(file_of(R"({"__metadata__":{"a":1}})", "")), "'a' is not a string"));
    CHECK(contains(problem(file_of(R"({"__metadata__":[]})", "")), "metadata"));
    CHECK(contains(problem(one("[]")), "'t'"));
    CHECK(contains(problem(one(R"({"shape":[2],"data_offsets":[0,8]})")), "dtype"));
    CHECK(contains(problem(one(R"({"dtype":"F23","shape":[2],"data_offsets":[0,8]})")),
                   "unknown dtype 'F23', did you mean 'F32'?"));
    CHECK(contains(problem(one(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})")), "shape"));
    CHECK(contains(problem(one(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})")), "shape"));
    CHECK(contains(problem(one(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})")), "shape"));
    CHECK(contains(problem(one(R"({"dtype":"F32","shape":[2],"data_offsets":[8]})")), "pair"));
    CHECK(contains(problem(one(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})")), "outside"));
    CHECK(contains(problem(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,9]})")), "outside"));
    CHECK(contains(problem(one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})")),
                   "takes 12 bytes, data_offsets give 8"));
    CHECK(contains(problem(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})")),
                   "unknown key 'x'"));
    // 2^62 * 4 * 4 is 0 in 64 bits.
    CHECK(contains(
        problem(one(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]})")),
        "too large"));
    CHECK(contains(
        problem(one(R"({"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8]})")),
        "shape"));
}

TEST_CASE("safetensors: overlaps, holes and duplicate names are errors", "[model][checkpoint]") {
    const auto entry = [](const std::string& name, int begin, int end) {
        return "\"" + name + R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) +
               R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
    };
    const std::string data(8, 'x');
    const auto two = [&](const std::string& a, const std::string& b) {
        return file_of("{" + a + "," + b + "}", data);
    };
    CHECK(parse_content(two(entry("b", 4, 8), entry("a", 0, 4))).tensors.front().name == "a");
    CHECK(contains(problem(two(entry("a", 0, 5), entry("b", 4, 8))), "overlaps that of 'a'"));
    CHECK(contains(problem(two(entry("a", 0, 8), entry("b", 2, 4))), "'b'"));
    CHECK(contains(problem(two(entry("a", 0, 3), entry("b", 4, 8))), "1 bytes before its data"));
    CHECK(contains(problem(two(entry("a", 1, 4), entry("b", 4, 8))), "1 bytes before its data"));
    CHECK(contains(problem(two(entry("a", 0, 4), entry("b", 4, 7))), "the last 1 bytes"));
    CHECK(contains(problem(two(entry("a", 0, 4), entry("a", 4, 8))), "a"));
    // All at once.
    const std::string both = problem(two(R"("p":{"dtype":"?"})", R"("q":3)"));
    CHECK(contains(both, "'p'"));
    CHECK(contains(both, "'q'"));
}

TEST_CASE("safetensors: every truncation is an error that names the file", "[model][checkpoint]") {
    const test::TemporaryFolder folder("safetensors");
    const test::TensorSet set = some_tensors();
    write_safetensors(folder / "whole", set.views());
    const std::string whole = test::read_bytes(folder / "whole");
    REQUIRE(parse_content(whole).tensors.size() == 5);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        INFO("the first " << length << " bytes");
        CHECK(!problem(whole.substr(0, length)).empty());
    }
    test::write_bytes(folder / "cut", whole.substr(0, whole.size() - 1));
    CHECK(contains(test::input_error([&] { SafetensorsFile file(folder / "cut"); }),
                   (folder / "cut").string()));
    for (const char* name : {"missing", "."}) {
        CHECK(contains(test::input_error([&] { SafetensorsFile file(folder / name); }),
                       folder.path().string()));
    }
    test::write_bytes(folder / "empty", "");
    CHECK(contains(test::input_error([&] { SafetensorsFile file(folder / "empty"); }), "0 bytes"));
}

TEST_CASE("safetensors: damaged bytes give an error or a well-formed result",
          "[model][checkpoint]") {
    const test::TemporaryFolder folder("safetensors");
    const test::TensorSet set = some_tensors();
    write_safetensors(folder / "whole", set.views(), {{"format", "pt"}});
    const std::string whole = test::read_bytes(folder / "whole");
    const Rng rng(11);
    std::size_t refused = 0;
    for (std::uint64_t round = 0; round < 4'000; ++round) {
        std::string damaged = whole;
        const std::uint64_t changes = 1 + rng.bits(round * 16) % 3;
        for (std::uint64_t i = 0; i < changes; ++i) {
            const std::uint64_t bits = rng.bits(round * 16 + 1 + i);
            damaged[bits % damaged.size()] ^= static_cast<char>(1U << (bits >> 32) % 8);
        }
        std::string text;
        try {
            for (const TensorView& tensor : parse_content(damaged).tensors) {
                to_f32(tensor);
            }
        } catch (const InputError& error) {
            text = error.what();
            CHECK(contains(text, kFile));
            ++refused;
        }
    }
    CHECK(refused > 2'000);  // the header is most of this file
}

TEST_CASE("safetensors: golden files are read as an independent reader does",
          "[model][checkpoint][golden]") {
    std::size_t files = 0;
    if (fs::exists(test::golden_dir())) {
        for (const auto& item : fs::recursive_directory_iterator(test::golden_dir())) {
            if (item.path().extension() != ".safetensors") {
                continue;
            }
            INFO(item.path());
            ++files;
            const SafetensorsFile file(item.path());
            const test::SafeTensors expected(item.path());
            CHECK(file.tensors().size() == expected.tensors().size());
            for (const auto& [name, tensor] : expected.tensors()) {
                const TensorView& view = file.at(name);
                CHECK(r1::name(view.dtype) == tensor.dtype);
                CHECK(view.shape == tensor.shape);
                CHECK(view.data.size() == tensor.bytes.size());
                CHECK(std::equal(
                    tensor.bytes.begin(), tensor.bytes.end(), view.data.begin(), view.data.end(),
                    [](std::uint8_t byte, std::byte value) { return std::byte{byte} == value; }));
            }
        }
    }
    if (files == 0) {
        std::cout << "r1 test skipped: no safetensors files in " << test::golden_dir() << "\n";
    }
}
