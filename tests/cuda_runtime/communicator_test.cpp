// Device memory under the conformance suite of all transports.
#include <vector>

#include "runtime/cuda_device.hpp"
#include "runtime/thread_communicator.hpp"
#include "tests/cuda_runtime/guard.hpp"
#include "tests/cuda_runtime/staged_communicator.hpp"
#include "tests/runtime/communicator_conformance.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

TEST_CASE("loopback: logical ranks of one GPU conform", "[cuda][communicator]") {
    const test::DeviceGuard guard;
    const DeviceKind cuda = cuda_devices(0);
    const int ranks = GENERATE(1, 2, 4);
    for (const testing::ConformanceCase& conformance : testing::conformance_cases()) {
        INFO(ranks << " ranks: " << conformance.name);
        ThreadWorld world(ranks, 2, *cuda.memory);
        REQUIRE_NOTHROW(world.run([&](Communicator& rank) {
            test::StagedCommunicator staged(rank, *cuda.memory);
            conformance.run(staged);
        }));
    }
}

}  // namespace r1
