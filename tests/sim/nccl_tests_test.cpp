// Logs of nccl-tests from the field, of all layouts so far, against facts taken from them with
// another reader; and what is wrong with others.
#include "sim/cost/nccl_tests.hpp"

#include <filesystem>
#include <iostream>
#include <string>

#include "model/base/json.hpp"
#include "sim/hardware/presets.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/data_dir.hpp"

namespace r1 {
namespace {

NcclTestsLog read_log(const std::filesystem::path& file) {
    return read_nccl_tests(read_file(file), file.string());
}

NcclTestsLog log_copy(const std::string& name) {
    return read_log(data_root() / "tests" / "sim" / "data" / "nccl_tests" / name);
}

std::string problems_of(const std::string& text) {
    try {
        read_nccl_tests(text, "log.txt");
        return "";
    } catch (const InputError& error) {
        return error.what();
    }
}

constexpr const char* kHeader =
    "#       size         count      type   redop    root     time   algbw   busbw #wrong     time "
    "  algbw   busbw #wrong\n";

}  // namespace

TEST_CASE("nccl-tests: an old log, without root column and operation", "[sim][import]") {
    const NcclTestsLog log = log_copy("a100_8_alltoall_old_format.log");
    CHECK(log.test.empty());
    CHECK(log.ranks == 8);
    CHECK(log.hosts == 1);
    CHECK(log.device == "A100-SXM4-40GB");
    REQUIRE(log.rows.size() == 29);  // of 34, five of no bytes
    CHECK(log.rows.back().bytes == 8589934592);
    CHECK(log.rows.back().time_us == 33508);
    CHECK(log.rows.back().line == 49);
    const NcclTestsLog reduce = log_copy("a100_8_allreduce_old_format.log");
    CHECK(reduce.rows.back().time_us == 63896);
}

TEST_CASE("nccl-tests: a log of two hosts, and one behind prefixes of mpirun", "[sim][import]") {
    const NcclTestsLog two = log_copy("h100_2x8_oci.log");
    CHECK(two.ranks == 16);
    CHECK(two.hosts == 2);
    REQUIRE(two.rows.size() == 5);
    CHECK(two.rows[0].time_us == 4478.8);
    const NcclTestsLog prefixed = log_copy("h100_p5_mpirun_prefix.log");
    CHECK(prefixed.ranks == 0);
    REQUIRE(prefixed.rows.size() == 6);
    CHECK(prefixed.rows.back().bytes == 2147483648);
    CHECK(prefixed.rows.back().time_us == 9197.5);
}

TEST_CASE("nccl-tests: every log of the formats pack has the rows and ranks that it should",
          "[sim][import]") {
    const std::filesystem::path folder = test::data_dir() / "formats" / "nccl_tests";
    if (!std::filesystem::exists(folder)) {
        std::cout << "r1 test skipped: no formats pack beside the golden data\n";
        return;
    }
    const Document expected = Document::from_file(folder / "expected.json");
    for (const auto& [name, facts] : expected.root().items()) {
        INFO(name);
        if (!facts.is_object() || !facts.contains("first")) {
            continue;
        }
        const NcclTestsLog log = read_log(folder / name);
        CHECK(log.ranks == facts.at("ranks_listed").get<int>());
        CHECK(log.rows.back().bytes == facts.at("last").at("size").get<std::int64_t>());
        CHECK(log.rows.back().time_us ==
              std::stod(facts.at("last").at("out_of_place").at(0).get<std::string>()));
        const Json& test = facts.at("test_name_in_log");
        CHECK(log.test == (test.is_null() ? "" : test.get<std::string>()));
    }
    const NcclTestsLog json = read_log(folder / "constructed_alltoall_v3.json");
    const NcclTestsLog text = read_log(folder / "rtx6000d_2x8_alltoall_2.18.log");
    CHECK(json.test == text.test);
    CHECK(json.ranks == 16);
    CHECK(json.hosts == 2);
    REQUIRE(json.rows.size() == text.rows.size());
    for (std::size_t i = 0; i < json.rows.size(); ++i) {
        CHECK(json.rows[i].bytes == text.rows[i].bytes);
        CHECK(json.rows[i].time_us == text.rows[i].time_us);
    }
}

TEST_CASE("nccl-tests: what is wrong with a log, all at once", "[sim][import]") {
    using test::contains;
    CHECK(contains(problems_of("hello\n"), "log.txt: holds no row of nccl-tests' table"));
    CHECK(contains(problems_of(""), "holds no row"));
    CHECK(contains(problems_of("# Rank 0 Group 0 Pid 1 on host\n"), "holds no row"));
    CHECK(contains(problems_of(std::string(kHeader) +
                               "  0 0 float sum -1 10.0 0.00 0.00 0 10.0 0.00 0.00 0\n"),
                   "log.txt: holds no row of nccl-tests' table with bytes"));
    CHECK(contains(problems_of("{\"results\": []}"), "holds no row"));
    const std::string problems = problems_of(std::string(kHeader) +
                                             "  1024 256 float sum -1 10.0 0.10 0.18 3 10.0 0.10 "
                                             "0.18 0\n  2048 512 float sum -1 10.0\n");
    CHECK(contains(problems, "log.txt:2:1: 3 values came out wrong"));
    CHECK(contains(problems, "log.txt:3:1: is no whole row"));
    CHECK(contains(problems_of("{\"results\": 1}"), "has no results"));
    CHECK(
        contains(problems_of("{\"results\": [{\"size\": 4}]}"), "/results/0: has no size, or no"));
    CHECK(contains(problems_of("{"), "log.txt:"));
}

}  // namespace r1
