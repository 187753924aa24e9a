// Replays of Chakra traces on a cluster on which times are worked out by hand: NIC 64 B/s and
// 0.5 s, NVLink 128 B/s and 0.25 s (toy_cluster.hpp).
#include <cmath>

#include "sim/chakra/export.hpp"
#include "sim/chakra/replay.hpp"
#include "sim/fluid_engine.hpp"
#include "tests/sim/chakra_fixture.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/sim/toy_cluster.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"

namespace r1 {
namespace {

using test::chakra_files;
using test::chakra_sample;
using test::compute_node;
using test::contains;
using test::input_error_of;
using test::job_of;
using test::message;
using test::toy_topology;

Timeline replayed(const ChakraJob& job, const Topology& topology) {
    const Fabric fabric = generate_fabric(topology);
    const ReplayDag dag = lower_chakra(job, topology, fabric, 0);
    return replay(dag, *make_fluid_engine(dag.network));
}
double step_s(const ChakraJob& job, const Topology& topology) {
    return from_ps(replayed(job, topology).makespan()).value();
}

std::vector<ChakraFile> exported(const Setting& setting, const Simulation& simulation) {
    std::vector<ChakraFile> files;
    export_chakra(setting, simulation, [&](RankId rank, const ChakraTrace& trace) {
        const std::string name = std::to_string(rank.value) + ".et";
        files.push_back({name, read_chakra(chakra_bytes(trace), name)});
    });
    return files;
}

// The ring of the samples has two of its eight files: the others are like the first.
std::vector<ChakraFile> whole_ring() {
    const std::string bytes = read_file(chakra_sample("ring/custom_allreduce.0.et"));
    const ChakraFile first{"ring.et", read_chakra(bytes, "ring.et")};
    std::vector<ChakraFile> files;
    for (std::int32_t rank = 0; rank < 8; ++rank) {
        files.push_back(first);
        for (chakra::Node& node : files.back().trace.nodes) {
            for (chakra::AttributeProto& attribute : *node.mutable_attr()) {
                if (attribute.name() == attribute::kCommSrc ||
                    attribute.name() == attribute::kCommDst) {
                    attribute.set_int32_val((attribute.int32_val() + rank) % 8);
                }
            }
        }
    }
    return files;
}

}  // namespace

TEST_CASE("chakra: an all-reduce takes what its ring takes", "[sim][chakra]") {
    const ChakraJob job = read_chakra_job(chakra_sample("all_reduce"));
    REQUIRE(job.ranks.size() == 4);
    // Each passes on 2 x 3/4 of 1 MiB; 2 x log2(4) latencies.
    CHECK(step_s(job, toy_topology(1, 4)) == Approx(1.5 * 1048576 / 128 + 4 * 0.25));
    CHECK(step_s(job, toy_topology(4, 1)) == Approx(1.5 * 1048576 / 64 + 4 * 0.5));
}

TEST_CASE("chakra: an all-to-all takes what its most loaded link takes", "[sim][chakra]") {
    const ChakraJob job = read_chakra_job(chakra_sample("all_to_all"));
    REQUIRE(job.ranks.size() == 8);
    // An eighth of 1 MiB to each: on two nodes four go over the NIC, which takes longest.
    CHECK(step_s(job, toy_topology(2, 4)) == Approx(4 * 131072.0 / 64 + 0.5));
    CHECK(step_s(job, toy_topology(1, 8)) == Approx(7 * 131072.0 / 128 + 0.25));
}

TEST_CASE("chakra: a ring of messages takes all its hops", "[sim][chakra]") {
    const ChakraJob job = job_of(whole_ring());
    // 14 messages of 128 KiB one after the other, and 7 reductions of 7 us.
    CHECK(step_s(job, toy_topology(8, 1)) == Approx(14 * (131072.0 / 64 + 0.5) + 49e-6));
    CHECK(contains(input_error_of([&] { read_chakra_job(chakra_sample("ring")); }),
                   "custom_allreduce.0.et: node 1: comm_src is rank 7"));
}

TEST_CASE("chakra: computation hides a message, and two at once share the SMs", "[sim][chakra]") {
    // Rank 0 computes 1 s, then sends 64 B (1.5 s) beside 4 s of computation.
    const ChakraJob hidden = job_of(chakra_files(
        {{compute_node(0, 1'000'000), message(1, chakra::COMM_SEND_NODE, 1, 64, {0}),
          compute_node(2, 4'000'000, {0})},
         {message(0, chakra::COMM_RECV_NODE, 0, 64), compute_node(1, 1'000'000, {0})}}));
    const Timeline timeline = replayed(hidden, toy_topology(2, 1));
    CHECK(from_ps(timeline.makespan()).value() == Approx(5));
    CHECK(from_ps(timeline.find({1, 1, 0})->end).value() == Approx(3.5));

    const ChakraJob shared =
        job_of(chakra_files({{compute_node(0, 1'000'000), compute_node(1, 1'000'000)}}));
    CHECK(step_s(shared, toy_topology(1, 1)) == Approx(2));
    std::vector<ChakraFile> on_cpu =
        chakra_files({{compute_node(0, 1'000'000), compute_node(1, 1'000'000)}});
    add_attribute(on_cpu[0].trace.nodes[1], attribute::kIsCpuOp).set_bool_val(true);
    CHECK(step_s(job_of(on_cpu), toy_topology(1, 1)) == Approx(1));
}

TEST_CASE("chakra: the call of a collective takes its time on the CPU", "[sim][chakra]") {
    chakra::Node call = test::chakra_node(0, chakra::COMM_COLL_NODE);
    call.set_duration_micros(2'000'000);
    add_attribute(call, attribute::kIsCpuOp).set_bool_val(true);
    const std::vector<chakra::Node> rank = {call,
                                            test::collective(1, chakra::BROADCAST, 64, "", {0})};
    // The kernel behind it: 64 B over a NIC of 64 B/s, one latency.
    CHECK(step_s(job_of(chakra_files({rank, rank})), toy_topology(2, 1)) == Approx(2 + 1 + 0.5));
}

TEST_CASE("chakra: a job larger than the cluster is refused", "[sim][chakra]") {
    const ChakraJob job = read_chakra_job(chakra_sample("all_reduce"));
    CHECK(contains(input_error_of([&] { step_s(job, toy_topology(1, 2)); }),
                   "traces are of 4 ranks"));
}

// Times are doubles on both sides, cut into ops instead of segments on one: some picoseconds.
TEST_CASE("chakra: a simulated step replays in the same time, however it was folded",
          "[sim][chakra][slow]") {
    const std::vector<std::string> alone = {"workload.global_batch_sequences=96"};
    // Collectives within nodes, which take what NCCL was measured to.
    const std::vector<std::string> shared = {"workload.global_batch_sequences=48",
                                             "plan.tensor_parallel=2", "plan.data_parallel=8"};
    for (const auto& [schedule, more] :
         {std::pair<std::string, std::vector<std::string>>("dualpipe", alone),
          {"1f1b", alone},
          {"1f1b", shared}}) {
        for (const std::string fold : {"stage", "ep_group", "none"}) {
            INFO(schedule << ", " << fold);
            std::vector<std::string> overrides = more;
            overrides.push_back("replay.fold=" + fold);
            const Setting setting = test::tiny_h800_setting(schedule, 2, overrides);
            const Simulation simulation = test::simulated(setting);
            const ChakraJob job = job_of(exported(setting, simulation));
            CHECK(chakra_warnings(job, setting.topology).empty());
            const TimePs step = replayed(job, setting.topology).makespan();
            CHECK(std::abs(step - simulation.timeline.makespan()) <= 100);
        }
    }
}

TEST_CASE("chakra: on other nodes, expert all-to-alls go straight, and a warning says so",
          "[sim][chakra]") {
    const Setting setting = test::tiny_h800_setting("1f1b", 2);
    const Simulation simulation = test::simulated(setting);
    const ChakraJob job = job_of(exported(setting, simulation));
    Topology topology = toy_topology(16, 4);
    const std::vector<std::string> warnings = chakra_warnings(job, topology);
    REQUIRE(warnings.size() == 1);
    CHECK(contains(warnings.front(), "nodes of 8 GPUs"));
    CHECK(step_s(job, topology) > 0);
}

}  // namespace r1
