// The communicator over NCCL with ranks that are threads: only the emulation of tests/emulation
// allows several on one device.
#include <cmath>
#include <vector>

#include "runtime/cuda_device.hpp"
#include "runtime/nccl_communicator.hpp"
#include "runtime/thread_communicator.hpp"
#include "tests/cuda_runtime/staged_communicator.hpp"
#include "tests/cuda_runtime/trained.hpp"
#include "tests/runtime/communicator_conformance.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

namespace {

DeviceLinks all_links(int ranks) {
    DeviceLinks links;
    for (int from = 0; from < ranks; ++from) {
        for (int to = 0; to < ranks; ++to) {
            links.pipeline.emplace_back(from, to);
        }
    }
    return links;
}

}  // namespace

TEST_CASE("nccl: announced messages conform", "[cuda][communicator]") {
    const DeviceKind cuda = cuda_devices(0);
    const int ranks = GENERATE(1, 2, 4);
    for (const testing::ConformanceCase& conformance : testing::conformance_cases()) {
        INFO(ranks << " ranks: " << conformance.name);
        ThreadWorld world(ranks, 2);
        REQUIRE_NOTHROW(world.run([&](Communicator& host) {
            const auto nccl = connect_by_nccl(host, *cuda.memory, all_links(ranks));
            test::StagedCommunicator staged(*nccl, *cuda.memory);
            conformance.run(staged);
        }));
    }
}

TEST_CASE("nccl: ranks train as on the CPU", "[cuda][communicator]") {
    const test::Spread spread{"", ScheduleKind::one_f_one_b, 2, 2, 2};
    const TrainingJob job = test::short_job(spread);
    DeviceKind cuda = cuda_devices(0);
    cuda.connect = [&](Communicator& host, const DeviceLinks& links) {
        return connect_by_nccl(host, *cuda.memory, links);
    };
    const test::Trained got = test::train(job, cuda, 2, true);
    const test::Trained cpu = test::train(job, cpu_devices(), 2);
    for (std::size_t step = 0; step < cpu.losses.size(); ++step) {
        CHECK(std::abs(got.losses[step] - cpu.losses[step]) < 1e-5 * cpu.losses[step]);
    }
}

}  // namespace r1
