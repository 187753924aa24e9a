// Chakra traces as files, and what is wrong with them.
#include <string>

#include "tests/sim/chakra_fixture.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"

namespace r1 {
namespace {

using test::chakra_files;
using test::chakra_sample;
using test::collective;
using test::compute_node;
using test::contains;
using test::input_error_of;
using test::job_of;
using test::message;

std::string problem_of(const std::vector<ChakraFile>& files) {
    return input_error_of([&] { job_of(files); });
}

}  // namespace

TEST_CASE("chakra: files of other programs come out as they went in", "[sim][chakra]") {
    for (const char* name : {"all_reduce/all_reduce.0.et", "all_reduce/all_reduce.3.et",
                             "all_to_all/all_to_all.7.et", "ring/custom_allreduce.1.et"}) {
        INFO(name);
        const std::string bytes = read_file(chakra_sample(name));
        CHECK(chakra_bytes(read_chakra(bytes, name)) == bytes);
    }
}

// Tag bytes are field number x 8 + wire type; all worked out from the table of the format.
TEST_CASE("chakra: the bytes of a file, worked out by hand", "[sim][chakra]") {
    ChakraTrace trace;
    trace.metadata.set_version("0.0.4");
    trace.nodes.push_back(test::chakra_node(300, chakra::COMM_SEND_NODE, {1, 2}));
    trace.nodes.back().set_duration_micros(7);
    add_attribute(trace.nodes.back(), attribute::kCommSize).set_int64_val(5);
    const std::string metadata =
        "\x0a\x05"
        "0.0.4";
    const std::string attribute =
        "\x0a\x09"
        "comm_size"
        "\x48\x05";
    const std::string node =
        std::string("\x08\xac\x02\x18\x05\x2a\x02\x01\x02\x38\x07\x52\x0d") + attribute;
    CHECK(chakra_bytes(trace) == "\x07" + metadata + static_cast<char>(node.size()) + node);
}

TEST_CASE("chakra: fields of a later schema are kept", "[sim][chakra]") {
    const std::string unknown = "\xa2\x06\x02hi";  // field 100, a text
    const std::string node = "\x08\x01\x18\x04" + unknown;
    const std::string bytes =
        "\x07\x0a\x05"
        "0.0.4" +
        std::string(1, static_cast<char>(node.size())) + node;
    const ChakraTrace trace = read_chakra(bytes, "later.et");
    CHECK(trace.nodes.at(0).type() == chakra::COMP_NODE);
    CHECK(chakra_bytes(trace) == bytes);
}

TEST_CASE("chakra: a file that was cut off is refused with the byte, wherever the cut is",
          "[sim][chakra]") {
    const std::string damaged = read_file(chakra_sample("truncated.et"));
    CHECK(contains(input_error_of([&] { read_chakra(damaged, "truncated.et"); }), "truncated.et"));
    CHECK(
        contains(input_error_of([&] { read_chakra(damaged, "truncated.et"); }), "node 4 at byte"));
    CHECK(contains(input_error_of([&] { read_chakra(damaged, "truncated.et"); }), "cut off"));
    const std::string whole = read_file(chakra_sample("all_reduce/all_reduce.1.et"));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const bool between = size == 8;  // metadata alone is a trace of no nodes
        INFO(size);
        if (between) {
            CHECK(read_chakra(whole.substr(0, size), "cut.et").nodes.empty());
        } else {
            CHECK_THROWS_AS(read_chakra(whole.substr(0, size), "cut.et"), InputError);
        }
    }
}

TEST_CASE("chakra: a length beyond the file, or beyond all, is refused", "[sim][chakra]") {
    for (const std::string length : {"\xff\xff\xff\x7f", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                                     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}) {
        CHECK(contains(input_error_of([&] { read_chakra(length, "huge.et"); }),
                       "huge.et: the metadata"));
    }
}

TEST_CASE("chakra: traces as JSON are refused by name", "[sim][chakra]") {
    const std::string text = R"({"workload_graph": ")" + std::string(200, 'x') + R"("})";
    CHECK(contains(input_error_of([&] { read_chakra(text, "0.json"); }), "0.json: is JSON"));
}

TEST_CASE("chakra: what is wrong with a job names the file and the node", "[sim][chakra]") {
    const auto send = chakra::COMM_SEND_NODE;
    const auto receive = chakra::COMM_RECV_NODE;
    CHECK(contains(problem_of(chakra_files({{compute_node(5, 1), compute_node(5, 2)}})),
                   "0.et: node 5: is there twice"));
    CHECK(contains(problem_of(chakra_files({{message(3, send, 1, 8)}, {}})),
                   "0.et: node 3: sends to rank 1 with tag 0, which never receives"));
    CHECK(contains(problem_of(chakra_files({{}, {message(3, receive, 0, 8)}})),
                   "1.et: node 3: receives from rank 0"));
    CHECK(contains(problem_of(chakra_files({{message(3, send, 7, 8)}})),
                   "0.et: node 3: comm_dst is rank 7, of which there is no trace"));
    CHECK(
        contains(problem_of(chakra_files({{message(1, send, 1, 8)}, {message(2, receive, 0, 9)}})),
                 "1.et: node 2: receives 9 bytes"));
    CHECK(contains(problem_of(chakra_files({{collective(4, chakra::ALL_REDUCE, 8)}, {}})),
                   "0.et: node 4: 1 of 2 ranks"));
    CHECK(contains(problem_of(chakra_files({{collective(4, chakra::ALL_REDUCE, 8, "g")},
                                            {collective(6, chakra::ALL_GATHER, 8, "g")}})),
                   "1.et: node 6: is ALL_GATHER of the group 'g', but node 4 of rank 0"));
    CHECK(contains(problem_of(chakra_files({{test::chakra_node(9, chakra::INVALID_NODE)}})),
                   "0.et: node 9: has no type"));
}

TEST_CASE("chakra: nodes that wait in a circle are refused, over ranks too", "[sim][chakra]") {
    CHECK(contains(problem_of(chakra_files({{compute_node(1, 1, {2}), compute_node(2, 1, {1})}})),
                   "0.et: node 1 never runs"));
    CHECK(contains(problem_of(chakra_files({{compute_node(1, 1, {1})}})), "node 1 never runs"));
    // Each receives before it sends.
    const auto send = chakra::COMM_SEND_NODE;
    const auto receive = chakra::COMM_RECV_NODE;
    CHECK(contains(
        problem_of(chakra_files({{message(1, receive, 1, 8), message(2, send, 1, 8, {1})},
                                 {message(1, receive, 0, 8), message(2, send, 0, 8, {1})}})),
        "0.et: node 1 never runs"));
    // Two groups that meet in opposite orders.
    const auto all_reduce = [](std::uint64_t id, const char* group,
                               const std::vector<std::uint64_t>& before) {
        return collective(id, chakra::ALL_REDUCE, 8, group, before);
    };
    CHECK(contains(problem_of(chakra_files({{all_reduce(1, "a", {}), all_reduce(2, "b", {1})},
                                            {all_reduce(1, "b", {}), all_reduce(2, "a", {1})}})),
                   "never runs"));
}

TEST_CASE("chakra: dependencies on nodes that a cut left out are counted", "[sim][chakra]") {
    const ChakraJob job = job_of(chakra_files({{compute_node(1, 1, {77, 78})}}));
    CHECK(job.missing_dependencies == 2);
    CHECK(job.ranks[0][0].before.empty());
}

}  // namespace r1
