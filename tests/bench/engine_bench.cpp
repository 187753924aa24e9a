// Wall time of the SimGrid engine on about the load of one folded step on 2048 GPUs: 16 ranks, one
// for each pipeline stage, each with a computing stream, a communicating stream and messages to
// the next stage. Usage: engine_bench [micro_steps per rank]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "sim/simgrid_engine.hpp"

namespace {

using namespace r1;

constexpr std::size_t kRanks = 16;
constexpr int kGroupPeers = 7;  // flows from a GPU to its group on each network
constexpr int kComputesPerExchange = 4;
constexpr int kExchangesPerMessage = 4;

enum class Stream : std::uint64_t { compute, exchange, message };

struct Load {
    ReplayEngine& engine;
    int exchanges_per_rank;
    std::vector<int> computes_done = std::vector<int>(kRanks);
    std::vector<int> exchanges_done = std::vector<int>(kRanks);
    std::uint64_t next_serial = 0;
    std::int64_t completions = 0;
    TimePs end = 0;

    ActivityId id_of(Stream stream, std::size_t rank) {
        return (++next_serial << 16) | (static_cast<std::uint64_t>(stream) << 8) | rank;
    }

    // A little different on every rank and turn, so that completions do not fall together.
    double jitter(std::size_t rank, int turn) const {
        return 1.0 +
               0.01 * static_cast<double>((rank * 37 + static_cast<std::size_t>(turn) * 11) % 29);
    }

    void start_compute(std::size_t rank) {
        const double scale = jitter(rank, computes_done[rank]);
        engine.start(id_of(Stream::compute, rank),
                     {Seconds(0), ComputeId(rank), microseconds(100 * scale), {}});
    }

    // Dispatch or combine: InfiniBand to the peers on the rail, NVLink to the peers in the node.
    void start_exchange(std::size_t rank) {
        const Bytes bytes(2.5e6 * jitter(rank, exchanges_done[rank]));
        const EndpointId nic(rank);
        const EndpointId nvlink(kRanks + rank);
        engine.start(id_of(Stream::exchange, rank),
                     {microseconds(5),
                      ComputeId(),
                      Seconds(0),
                      {{nic, nic, bytes, kGroupPeers, BytesPerSecond(0)},
                       {nvlink, nvlink, bytes, kGroupPeers, BytesPerSecond(0)}}});
    }

    void start_message(std::size_t rank) {
        engine.start(id_of(Stream::message, rank),
                     {microseconds(2),
                      ComputeId(),
                      Seconds(0),
                      {{EndpointId(rank), EndpointId((rank + 1) % kRanks), Bytes(14e6), 1,
                        BytesPerSecond(0)}}});
    }

    void on_complete(ActivityId id, TimePs now) {
        ++completions;
        end = now;
        const std::size_t rank = id & 0xff;
        const auto stream = static_cast<Stream>((id >> 8) & 0xff);
        if (stream == Stream::compute) {
            if (++computes_done[rank] < exchanges_per_rank * kComputesPerExchange) {
                start_compute(rank);
            }
        } else if (stream == Stream::exchange) {
            if (++exchanges_done[rank] < exchanges_per_rank) start_exchange(rank);
            if (exchanges_done[rank] % kExchangesPerMessage == 0) start_message(rank);
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    const int exchanges_per_rank = argc > 1 ? std::atoi(argv[1]) : 1940;
    EngineNetwork network;
    for (std::size_t rank = 0; rank < kRanks; ++rank) {
        network.compute.push_back("gpu" + std::to_string(rank));
    }
    for (std::size_t rank = 0; rank < kRanks; ++rank) {
        network.endpoints.push_back({"nic" + std::to_string(rank), gb_per_s(50), gb_per_s(50)});
    }
    for (std::size_t rank = 0; rank < kRanks; ++rank) {
        network.endpoints.push_back({"nvl" + std::to_string(rank), gb_per_s(200), gb_per_s(200)});
    }

    const auto begin = std::chrono::steady_clock::now();
    const auto engine = make_simgrid_engine(network);
    Load load{*engine, exchanges_per_rank};
    for (std::size_t rank = 0; rank < kRanks; ++rank) {
        load.start_compute(rank);
        load.start_exchange(rank);
    }
    engine->run([&](ActivityId id, TimePs now) { load.on_complete(id, now); });
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;

    const EngineCounts counts = engine->counts();
    std::printf("simulated   %12.6f s\n", from_ps(load.end).value());
    std::printf("activities  %12lld\n", static_cast<long long>(counts.activities));
    std::printf("flows       %12lld\n", static_cast<long long>(counts.flows));
    std::printf("wall        %12.3f s\n", wall.count());
    std::printf("activities  %12.0f /s\n", static_cast<double>(counts.activities) / wall.count());
    std::printf("flows       %12.0f /s\n", static_cast<double>(counts.flows) / wall.count());
    return load.completions == counts.activities ? 0 : 1;
}
