// The communicator over NCCL with ranks that are threads: only the emulation of tests/emulation
// allows several on one device.
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "model/base/index.hpp"
#include "model/base/rng.hpp"
#include "runtime/cuda_device.hpp"
#include "runtime/expert_exchange.hpp"
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

// Which messages of an exchange are empty differs from rank to rank: where the two tokens of each
// rank go. In the first choice only the messages from 4 to 0 cross nodes, by way of 1; in the
// second some ranks have no partial sums for or from others, of those that wait for each other in a
// circle.
TEST_CASE("nccl: exchanges of which ranks take part in some phases only", "[cuda][communicator]") {
    constexpr int kRanks = 6;
    constexpr int kRanksPerNode = 3;
    constexpr std::int64_t kWidth = 4;
    constexpr std::int64_t kTokens = 2;
    constexpr std::size_t kExchanges = 24;
    std::vector<std::vector<std::int32_t>> choices{{1, 1, 0, 0, 2, 2, 4, 4, 0, 0, 3, 3},
                                                   {1, 3, 0, 4, 3, 3, 0, 4, 3, 1, 1, 1}};
    while (choices.size() < kExchanges) {
        const Rng rng(choices.size());
        for (std::vector<std::int32_t>& choice = choices.emplace_back();
             choice.size() < kRanks * kTokens;) {
            choice.push_back(static_cast<std::int32_t>(rng.uniform(choice.size()) * kRanks));
        }
    }
    const DeviceKind cuda = cuda_devices(0);
    ThreadWorld world(kRanks, kRanksPerNode);
    std::array<std::vector<float>, kRanks> sums;
    REQUIRE_NOTHROW(world.run([&](Communicator& host) {
        const auto nccl = connect_by_nccl(host, *cuda.memory, {});
        const auto device = cuda.make(test::model_config(test::small_model()));
        device->attach(Stream::comm);
        const auto self = static_cast<std::size_t>(host.rank());
        const ExpertExchange exchange(*nccl, *device,
                                      {{0, 1, 2, 3, 4, 5}, host.rank(), kRanksPerNode, kRanks, 1});
        const std::vector<float> tokens(kTokens * kWidth, static_cast<float>(self + 1));
        const DeviceArray<float> x(*cuda.memory, tokens);
        const DeviceArray<float> weights(*cuda.memory, tokens);
        for (const std::vector<std::int32_t>& choice : choices) {
            const auto own = std::span(choice).subspan(self * kTokens, kTokens);
            const DeviceArray<std::int32_t> indices(*cuda.memory, own);
            ExchangePlan plan = exchange.plan(own);
            exchange.notify(plan, 0);
            DeviceArray<float> received(*cuda.memory, at(plan.received * kWidth));
            exchange.dispatch(
                plan,
                {{kWidth * sizeof(float), reinterpret_cast<const std::byte*>(x.data()),
                  reinterpret_cast<std::byte*>(received.data())}},
                indices.data(), weights.data(), 1);
            DeviceArray<float> back(*cuda.memory, kTokens * kWidth);
            const CombinedRows combined{
                kWidth, {received.data(), DType::f32, kWidth}, {back.data(), DType::f32, kWidth}};
            exchange.combine(plan, std::span(&combined, 1), 1 + kChannelsPerExchange);
            const std::vector<float> got = back.on_host();
            sums[self].insert(sums[self].end(), got.begin(), got.end());
        }
    }));
    for (std::size_t rank = 0; rank < kRanks; ++rank) {
        CHECK(sums[rank] ==
              std::vector<float>(choices.size() * kTokens * kWidth, static_cast<float>(rank + 1)));
    }
}

}  // namespace r1
