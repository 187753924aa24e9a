// Flows a second of the engines, every flow of two-hop all-to-alls apart: each GPU sends to the
// GPUs of its rail in the other nodes, then to the other GPUs of its node.
// Usage: bench_flows_bench [simgrid|fluid] [equal|jittered] [all-to-alls] [nodes] [gpus_per_node]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "model/base/rng.hpp"
#include "sim/fluid_engine.hpp"
#ifdef R1_HAVE_SIMGRID
#include "sim/simgrid_engine.hpp"
#endif

namespace {

using namespace r1;

struct Cluster {
    std::size_t nodes = 8;
    std::size_t per_node = 8;

    [[nodiscard]] std::size_t gpus() const { return nodes * per_node; }
    [[nodiscard]] EngineNetwork network() const {
        EngineNetwork network;
        for (const double rate : {50.0, 200.0}) {  // NICs, then NVLink ports
            network.endpoints.insert(network.endpoints.end(), gpus(),
                                     {"gpu", gb_per_s(rate), gb_per_s(rate)});
        }
        return network;
    }
};

// One activity a GPU and hop; +-30 % in the size of every flow if jittered.
class AllToAlls {
public:
    AllToAlls(const Cluster& cluster, bool jittered, ReplayEngine& engine)
        : cluster_(cluster), jittered_(jittered), engine_(engine) {}

    void start() {
        running_ = cluster_.gpus();
        for (std::size_t gpu = 0; gpu < cluster_.gpus(); ++gpu) {
            Activity activity;
            const std::size_t node = gpu / cluster_.per_node;
            const std::size_t rail = gpu % cluster_.per_node;
            const std::size_t peers = between_nodes_ ? cluster_.nodes : cluster_.per_node;
            for (std::size_t peer = 0; peer < peers; ++peer) {
                const std::size_t to = between_nodes_ ? peer * cluster_.per_node + rail
                                                      : node * cluster_.per_node + peer;
                const std::size_t network = between_nodes_ ? 0 : cluster_.gpus();
                if (to != gpu) {
                    const double size = jittered_ ? 0.7 + 0.6 * rng_.uniform(drawn_++) : 1.0;
                    activity.flows.push_back({EndpointId(network + gpu), EndpointId(network + to),
                                              Bytes(1e6 * size), 1, BytesPerSecond(0)});
                }
            }
            engine_.start(started_++, std::move(activity));
        }
    }

    void on_complete(int all_to_alls) {
        if (--running_ > 0) {
            return;
        }
        between_nodes_ = !between_nodes_;
        done_ += between_nodes_ ? 1 : 0;
        if (done_ < all_to_alls) {
            start();
        }
    }

private:
    const Cluster& cluster_;
    const bool jittered_;
    ReplayEngine& engine_;
    const Rng rng_{1, 0};
    std::uint64_t drawn_ = 0;
    ActivityId started_ = 0;
    std::size_t running_ = 0;
    bool between_nodes_ = true;
    int done_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    const bool simgrid = argc > 1 && std::strcmp(argv[1], "simgrid") == 0;
    const bool jittered = argc > 2 && std::strcmp(argv[2], "jittered") == 0;
    const int all_to_alls = argc > 3 ? std::atoi(argv[3]) : 200;
    Cluster cluster;
    cluster.nodes = argc > 4 ? std::strtoul(argv[4], nullptr, 10) : cluster.nodes;
    cluster.per_node = argc > 5 ? std::strtoul(argv[5], nullptr, 10) : cluster.per_node;
#ifdef R1_HAVE_SIMGRID
    const auto engine = (simgrid ? make_simgrid_engine : make_fluid_engine)(cluster.network());
#else
    if (simgrid) {
        std::puts("built without SimGrid");
        return 1;
    }
    const auto engine = make_fluid_engine(cluster.network());
#endif
    AllToAlls load(cluster, jittered, *engine);
    const auto begin = std::chrono::steady_clock::now();
    load.start();
    engine->run([&](ActivityId, TimePs) { load.on_complete(all_to_alls); });
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
    const auto flows = static_cast<double>(engine->counts().flows);
    std::printf("simulated %.6f s, %.0f flows in %.3f s: %.0f flows/s\n",
                from_ps(engine->now()).value(), flows, wall.count(), flows / wall.count());
    return 0;
}
