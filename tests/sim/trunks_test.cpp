// Uplinks of leaf switches: which can limit, and what they make of transfers that cross leaves.
#include "sim/trunks.hpp"

#include <map>
#include <string>
#include <vector>

#include "model/base/diagnostics.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/sim/toy_cluster.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

// Planes of 4-port switches: two nodes below a leaf, two uplinks at 1:1.
Topology leaves_of_two(int nodes, int gpus_per_node, double oversubscription) {
    Topology topology = test::toy_topology(nodes, gpus_per_node);
    topology.fabric.kind = FabricKind::mpft;
    topology.fabric.switch_ports = 4;
    topology.fabric.planes = gpus_per_node;
    topology.fabric.oversubscription = oversubscription;
    return topology;
}

RankId rank(std::size_t index) { return RankId(index); }

// Experts on eight nodes, four below each of two leaves.
Setting straddling(std::vector<std::string> overrides) {
    overrides.insert(overrides.begin(), {"plan.expert_parallel=64", "cluster.nodes=8",
                                         "cluster.fabric.switch_ports=8", "replay.engine=fluid"});
    return test::all_to_all_setting(overrides);
}

TimePs straddling_time(const std::vector<std::string>& overrides) {
    return test::simulated(straddling(overrides)).timeline.makespan();
}

// A step with messages, rings and exchanges. Experts are on four nodes of four GPUs, leaves have
// three nodes.
Setting step(std::vector<std::string> overrides) {
    overrides.insert(
        overrides.begin(),
        {"cluster.nodes=16", "cluster.gpus_per_node=4", "cluster.nvlink.domain_gpus=4",
         "cluster.nic.per_node=4", "cluster.nic.affinity=[0,1,2,3]", "cluster.fabric.planes=4",
         "cluster.fabric.switch_ports=6", "cluster.nic.bandwidth_gb_per_s=5",
         "plan.data_parallel=32", "workload.global_batch_sequences=128"});
    return test::tiny_h800_setting("1f1b", 2, overrides);
}

}  // namespace

TEST_CASE("trunks: only uplinks that carry less than the NICs below can limit", "[sim][trunks]") {
    CHECK_FALSE(Trunks(generate_fabric(leaves_of_two(4, 1, 1)), 4, 0).any());
    CHECK_FALSE(Trunks(generate_fabric(test::toy_topology(4, 1)), 4, 0).any());
    // 2:1, one uplink of 64 B/s for two NICs; the second leaf has but one node.
    const Fabric fabric = generate_fabric(leaves_of_two(3, 1, 2));
    const Trunks trunks(fabric, 3, 0);
    REQUIRE(trunks.all().size() == 1);
    CHECK(trunks.all()[0].name == "plane0.leaf0");
    CHECK(trunks.all()[0].up.value() == 64);
    CHECK(trunks.of(rank(1)) == std::vector<TrunkId>{TrunkId(std::size_t{0})});
    CHECK(trunks.of(rank(2)).empty());
    // A job on one GPU of the leaf fills no uplink.
    CHECK_FALSE(Trunks(fabric, 1, 0).any());
    // 1:1, but one of two uplinks is worth less, or is gone.
    for (const LinkOverride& item : {LinkOverride{"plane0.leaf1.spine0", 0.25, false},
                                     LinkOverride{"plane0.leaf1.spine0", 1, true}}) {
        Topology topology = leaves_of_two(8, 1, 1);
        topology.overrides = {item};
        const Trunks changed(generate_fabric(topology), 8, 0);
        REQUIRE(changed.all().size() == 1);
        CHECK(changed.all()[0].name == "plane0.leaf1");
        CHECK(changed.all()[0].up.value() == (item.remove ? 64 : 80));
    }
}

TEST_CASE("trunks: a path passes them where it crosses leaves", "[sim][trunks]") {
    const Fabric fabric = generate_fabric(leaves_of_two(4, 2, 2));
    const Trunks trunks(fabric, 8, 0);
    REQUIRE(trunks.all().size() == 4);  // two leaves of two planes
    const auto passes = [&](std::size_t from, std::size_t to) {
        const TrunkPath path = trunks.path(rank(from), rank(to));
        CHECK(path.up.valid() == path.down.valid());
        return path.up.valid();
    };
    CHECK_FALSE(passes(0, 1));  // one node
    CHECK_FALSE(passes(0, 2));  // one leaf
    CHECK_FALSE(passes(0, 3));  // other plane, nodes below one leaf
    CHECK(passes(0, 4));
    CHECK(passes(0, 5));  // other plane
    CHECK(trunks.path(rank(0), rank(4)).up == trunks.path(rank(2), rank(6)).up);
    CHECK(trunks.path(rank(0), rank(4)).up == trunks.path(rank(4), rank(0)).down);
    CHECK(trunks.path(rank(0), rank(4)).up != trunks.path(rank(1), rank(5)).up);
    // What no spine joins any more cannot be crossed.
    Topology cut = leaves_of_two(4, 1, 2);
    cut.overrides = {{"plane0.leaf1.spine0", 1, true}};
    const Fabric torn = generate_fabric(cut);
    CHECK_THROWS_AS(Trunks(torn, 4, 0).path(rank(0), rank(2)), InputError);
    CHECK_FALSE(Trunks(torn, 4, 0).path(rank(0), rank(1)).up.valid());
}

TEST_CASE("trunks: an exchange over leaves takes what its bytes take on the uplinks",
          "[sim][trunks]") {
    // 4:1, one uplink for four NICs. Each rank sends to its like on seven nodes, four of which are
    // below the other leaf: 4 x 4 / 7 of what a NIC sends.
    for (const std::string fold : {"stage", "ep_group", "none"}) {
        INFO(fold);
        const Setting setting =
            straddling({"cluster.fabric.oversubscription=4", "replay.fold=" + fold});
        const Simulation s = test::simulated(setting);
        int exchanges = 0;
        s.dag.for_each_activity([&](LanePart part, const Activity& activity) {
            const ReplayNode& node = s.dag.programs[0][part.node];
            if (node.kind != NodeKind::exchange) {
                return;
            }
            double sent = 0;  // by the NIC of rank 0
            for (const Flow& flow : activity.flows) {
                if (flow.from == s.dag.links[0].nic) {
                    sent += flow.bytes.value() * flow.multiplicity;
                }
            }
            const double uplink = setting.topology.nic.achievable().value();
            const Interval* interval =
                s.timeline.find({0, node.item, s.dag.segment(node).ops.front().value});
            REQUIRE(interval != nullptr);
            CHECK(from_ps(interval->end - interval->start).value() ==
                  Approx(activity.delay.value() + 4 * 4.0 / 7 * sent / uplink).epsilon(1e-9));
            ++exchanges;
        });
        CHECK(exchanges == 2);
    }
}

TEST_CASE("trunks: the more oversubscribed the slower and folded never faster than flow by flow",
          "[sim][trunks][folding][slow]") {
    std::map<std::string, TimePs> slowest;
    for (const char* oversubscription : {"1", "1.5", "3"}) {
        const auto time = [&](const std::string& fold) {
            const TimePs now = test::simulated(step({"replay.fold=" + fold,
                                                     std::string("cluster.fabric.") +
                                                         "oversubscription=" + oversubscription}))
                                   .timeline.makespan();
            CHECK(now >= slowest[fold]);
            slowest[fold] = now;
            return now;
        };
        const TimePs none = time("none");
        CHECK(time("stage") >= none - 2);
        CHECK(time("ep_group") >= none - 2);
    }
    CHECK(slowest["none"] > test::simulated(step({"replay.fold=none"})).timeline.makespan());
}

TEST_CASE("trunks: uplinks that carry all that NICs send are not in the way",
          "[sim][trunks][slow]") {
    const TimePs wide = straddling_time({});
    // All below one leaf: its uplinks do not matter.
    CHECK(straddling_time(
              {"cluster.fabric.switch_ports=16", "cluster.fabric.oversubscription=8"}) == wide);
    // Four uplinks of which 4 x 4 / 7 are needed: one can go, not two.
    const auto without = [](const std::string& links) {
        return straddling_time({"cluster.overrides=[" + links + "]"});
    };
    const std::string one = R"({"link": "plane0.leaf0.spine0", "degrade": 0.5})";
    CHECK(generate_fabric(straddling({}).topology).links.back().count == 4);
    CHECK(without(R"({"link": "plane0.leaf0.spine0", "degrade": 0.75})") == wide);
    CHECK(without(one) > wide);
    CHECK(without(R"({"link": "plane0.leaf0.spine0", "degrade": 0.25})") > without(one));
    const Simulation s = test::simulated(straddling({"replay.fold=none"}));
    CHECK(s.dag.network.trunks.empty());
}

TEST_CASE("trunks: both engines agree where leaves are oversubscribed", "[sim][trunks][engine]") {
    for (const std::string fold : {"stage", "ep_group", "none"}) {
        INFO(fold);
        const Simulation both = test::simulated(
            step({"replay.fold=" + fold, "replay.engine=both", "cluster.fabric.oversubscription=3",
                  "workload.global_batch_sequences=64"}));
        REQUIRE(both.engine_difference.has_value());
        CHECK(both.engine_difference->op_max < 1e-5);
    }
}

TEST_CASE("trunks: a leaf without uplinks is an error where it must be crossed", "[sim][trunks]") {
    CHECK_THROWS_AS(straddling_time({R"(cluster.overrides=[{"link": "plane3.leaf1.spine0",)"
                                     R"( "remove": true}])"}),
                    InputError);
}

TEST_CASE("trunks: two static paths on one uplink take twice as long", "[sim][trunks]") {
    // 1:1, two uplinks to two spines for two NICs, whose ranks both send across.
    Topology topology = leaves_of_two(8, 1, 1);
    topology.fabric.path_choice = PathChoice::fixed;
    const Fabric fabric = generate_fabric(topology);
    int collisions = 0;
    int others = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const Trunks trunks(fabric, 8, seed);
        REQUIRE(trunks.all().size() == 8);
        const TrunkPath a = trunks.path(rank(0), rank(2));
        const TrunkPath b = trunks.path(rank(1), rank(3));
        CHECK(trunks.of(rank(0)).size() == 2);
        CHECK(trunks.path(rank(0), rank(2)).up == a.up);
        EngineNetwork network;
        for (std::size_t i = 0; i < 4; ++i) {
            network.endpoints.push_back(
                {"nic", BytesPerSecond(64), BytesPerSecond(64), trunks.of(rank(i))});
        }
        network.trunks = trunks.all();
        const auto engine = make_engine(Engine::fluid, network);
        const auto flow = [](std::size_t from, std::size_t to, TrunkPath path) {
            return Flow{EndpointId(from), EndpointId(to), Bytes(64), 1, BytesPerSecond(0), path};
        };
        Activity both;
        both.flows = {flow(0, 2, a), flow(1, 3, b)};
        engine->start(0, both);
        engine->run([&](ActivityId, TimePs now) {
            const bool collide = a.up == b.up;
            CHECK((a.down == b.down) == collide);
            CHECK(from_ps(now).value() == Approx(collide ? 2 : 1));
            ++(collide ? collisions : others);
        });
    }
    CHECK(collisions > 0);
    CHECK(others > 0);
}

TEST_CASE("trunks: adaptive paths are never slower than static ones",
          "[sim][trunks][folding][slow]") {
    for (const std::string fold : {"stage", "ep_group", "none"}) {
        INFO(fold);
        const auto time = [&](const std::string& choice) {
            return straddling_time({"replay.fold=" + fold, "cluster.fabric.path_choice=" + choice,
                                    "cluster.fabric.oversubscription=2"});
        };
        // One spine, which all take.
        CHECK(time("adaptive") == time("static"));
    }
    // Leaves of two at 1:1: four leaves, two spines.
    for (const std::string seed : {"0", "1", "2"}) {
        const auto time = [&](const std::string& choice) {
            return straddling_time({"replay.fold=none", "cluster.fabric.path_choice=" + choice,
                                    "cluster.fabric.switch_ports=4", "seed=" + seed});
        };
        CHECK(time("adaptive") < time("static"));
    }
}

}  // namespace r1
