// Clusters from short descriptions: counts and bisection against closed forms, bad input, presets.
#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"

#include "model/base/json.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/hardware/presets.hpp"
#include "sim/hardware/topology.hpp"
#include "tools/report/topology_table.hpp"

namespace r1 {
namespace {

Topology read(const Document& document) {
    Diagnostics diagnostics;
    Topology topology = read_topology(document, "", diagnostics);
    diagnostics.throw_if_errors();
    return topology;
}

Document preset(const std::vector<std::pair<std::string, Json>>& changes = {},
                const std::string& name = "h800_256x8_mpft") {
    Document document = load_topology(name);
    for (const auto& [pointer, value] : changes) REQUIRE(document.set(pointer, value, {}));
    return document;
}

double bisection_gb(const std::vector<std::pair<std::string, Json>>& changes,
                    const std::string& name = "h800_256x8_mpft") {
    return bisection(generate_fabric(read(preset(changes, name)))).value() / 1e9;
}

// Pointers of every problem, in order.
std::vector<std::string> problem_pointers(const Document& document) {
    Diagnostics diagnostics;
    read_topology(document, "", diagnostics);
    std::vector<std::string> pointers;
    for (const Diagnostic& error : diagnostics.errors()) pointers.push_back(error.pointer);
    return pointers;
}

std::string messages(const Document& document) {
    Diagnostics diagnostics;
    read_topology(document, "", diagnostics);
    return render(diagnostics.errors());
}

long long links_of(const Fabric& fabric, LinkKind kind) {
    long long count = 0;
    for (const Link& link : fabric.links) count += link.kind == kind ? link.count : 0;
    return count;
}

const double kNic = 50 * 0.94;  // GB/s

}  // namespace

TEST_CASE("topology: the 256-node planes are eight leaves of 32 NICs and four spines",
          "[sim][topology]") {
    const Topology topology = read(preset());
    const Fabric fabric = generate_fabric(topology);
    CHECK(fabric.gpus() == 2048);
    CHECK(count_switches(fabric, SwitchTier::leaf) == 8 * 8);
    CHECK(count_switches(fabric, SwitchTier::spine) == 8 * 4);
    CHECK(links_of(fabric, LinkKind::nvlink) == 2048);
    CHECK(links_of(fabric, LinkKind::nic) == 2048);
    CHECK(links_of(fabric, LinkKind::leaf_spine) == 8 * 8 * 32);
    CHECK(rails(fabric) == 8);
    CHECK(topology.device.peak(DType::e4m3).value() == 1978e12);
    CHECK(topology.device.memory.value() == 84943110144.0);
}

// arXiv 2505.09343, Table 3: MPFT of 16384 endpoints, 768 switches, 16384 switch links.
TEST_CASE("topology: 2048 nodes cost the published switches and links", "[sim][topology]") {
    const Fabric fabric = generate_fabric(read(preset({{"/nodes", 2048}})));
    CHECK(fabric.switches.size() == 768);
    CHECK(links_of(fabric, LinkKind::leaf_spine) == 16384);
    CHECK(bisection(fabric).value() / 1e9 == Approx(1024 * 8 * kNic));
}

TEST_CASE("topology: no switch has more links than ports", "[sim][topology]") {
    for (const char* name : {"h800_256x8_mpft", "h800_256x8_mrft"}) {
        for (const int nodes : {33, 100, 256}) {
            for (const double oversubscription : {1.0, 1.5, 2.0, 3.0}) {
                const Topology topology = read(preset(
                    {{"/nodes", nodes}, {"/fabric/oversubscription", oversubscription}}, name));
                const Fabric fabric = generate_fabric(topology);
                std::vector<int> used(fabric.switches.size(), 0);
                for (const Link& link : fabric.links) {
                    for (const Endpoint& end : {link.from, link.to}) {
                        if (end.kind != EndpointKind::network_switch) continue;
                        used[static_cast<std::size_t>(end.index)] += link.count;
                    }
                }
                CHECK(*std::max_element(used.begin(), used.end()) <= 64);
            }
        }
    }
}

TEST_CASE("topology: bisection equals the closed form", "[sim][topology]") {
    const double full = 128 * 8 * kNic;
    CHECK(bisection_gb({}) == Approx(full));
    CHECK(bisection_gb({}, "h800_256x8_mrft") == Approx(full));
    CHECK(bisection_gb({{"/fabric/oversubscription", 2}}) == Approx(full / 2));
    CHECK(bisection_gb({{"/fabric/oversubscription", 2}}, "h800_256x8_mrft") == Approx(full / 2));
    CHECK(bisection_gb({{"/fabric/kind", "single_switch"}, {"/fabric/switch_ports", 2048}}) ==
          Approx(full));
    CHECK(bisection_gb({{"/nic/bandwidth_gb_per_s", 100}}) == Approx(2 * full));
    CHECK(bisection_gb({{"/nodes", 1}}) == 0);
    CHECK(bisection_gb({}, "cpu_local") == 0);
    // An odd count: 4 of 9 nodes on one leaf send, 4 x 8 NICs limit.
    CHECK(bisection_gb({{"/nodes", 9}}) == Approx(4 * 8 * kNic));
    const Fabric fabric = generate_fabric(read(preset()));
    CHECK(bisection(fabric, Rates::nominal).value() / 1e9 == Approx(128 * 8 * 50.0));
}

TEST_CASE("topology: overrides lower the bisection by what they take", "[sim][topology]") {
    const double full = 128 * 8 * kNic;
    CHECK(bisection_gb(
              {{"/overrides", Json::parse(R"([{"link": "node3.nic5", "degrade": 0.5}])")}}) ==
          Approx(full - kNic / 2));
    CHECK(bisection_gb(
              {{"/overrides", Json::parse(R"([{"link": "node3.nic5", "remove": true}])")}}) ==
          Approx(full - kNic));
    // NVLink does not count, and spare uplinks of a half-empty leaf take over.
    CHECK(bisection_gb({{"/overrides",
                         Json::parse(R"([{"link": "node3.gpu2.nvlink", "remove": true}])")}}) ==
          Approx(full));
    // A leaf of four times eight uplinks loses eight of them.
    CHECK(bisection_gb({{"/overrides",
                         Json::parse(R"([{"link": "plane0.leaf3.spine1", "remove": true}])")}}) ==
          Approx(full - 8 * kNic));
    CHECK(bisection_gb(
              {{"/overrides", Json::parse(R"([{"link": "rail3.leaf4.spine19", "remove": true}])")}},
              "h800_256x8_mrft") == Approx(full - kNic));
}

TEST_CASE("topology: a GPU whose NIC is removed uses the next one", "[sim][topology]") {
    const Fabric fabric = generate_fabric(
        read(preset({{"/overrides", Json::parse(R"([{"link": "node3.nic7", "remove": true}])")}})));
    CHECK(nic_of(fabric, rank_of(fabric, 3, 7)) == 0);
    CHECK(nic_of(fabric, rank_of(fabric, 4, 7)) == 7);
    CHECK(!leaf_of(fabric, NicId{3, 7}).has_value());
    CHECK(!nic_latency(fabric, NicId{3, 7}, NicId{4, 7}).has_value());
    CHECK(node_of(fabric, rank_of(fabric, 3, 7)) == 3);
    CHECK(local_rank(fabric, rank_of(fabric, 3, 7)) == 7);
}

TEST_CASE("topology: latencies and diameter", "[sim][topology]") {
    const Topology planes_topology = read(preset());
    const Fabric planes = generate_fabric(planes_topology);
    const Seconds same = microseconds(2.8);
    const Seconds cross = microseconds(3.7);
    CHECK(nic_latency(planes, NicId{0, 5}, NicId{31, 5}) == same);
    CHECK(nic_latency(planes, NicId{0, 5}, NicId{32, 5}) == cross);
    CHECK(!nic_latency(planes, NicId{0, 5}, NicId{32, 6}).has_value());
    // NVLink to the right plane (2), then NIC, leaf to spine and down again (4).
    CHECK(diameter_hops(planes_topology, planes) == 6);

    const Topology rail_topology = read(preset({}, "h800_256x8_mrft"));
    const Fabric rail = generate_fabric(rail_topology);
    CHECK(nic_latency(rail, NicId{0, 5}, NicId{0, 6}) == cross);
    CHECK(diameter_hops(rail_topology, rail) == 4);

    // The latencies of the links of a path add up to that of the path.
    double sum_us = 0;
    for (const LinkKind kind : {LinkKind::nic, LinkKind::leaf_spine}) {
        const auto link = std::find_if(planes.links.begin(), planes.links.end(),
                                       [&](const Link& item) { return item.kind == kind; });
        sum_us += 2 * link->latency.value() * 1e6;
    }
    CHECK(sum_us == Approx(3.7));

    // Without its NIC 0, GPU 0 of node 1 reaches GPU 0 of node 0 over NVLink on both sides.
    const Topology cut =
        read(preset({{"/nodes", 2},
                     {"/overrides", Json::parse(R"([{"link": "node1.nic0", "remove": true}])")}}));
    CHECK(diameter_hops(cut, generate_fabric(cut)) == 6);
    const Topology whole = read(preset({{"/nodes", 2}}));
    CHECK(diameter_hops(whole, generate_fabric(whole)) == 4);
    // With one NIC for the node, the same override cuts the node off.
    const Topology pair =
        read(preset({{"/nodes", 2},
                     {"/nic/per_node", 1},
                     {"/fabric/planes", 1},
                     {"/nic/affinity", Json::parse("[0,0,0,0,0,0,0,0]")},
                     {"/overrides", Json::parse(R"([{"link": "node1.nic0", "remove": true}])")}}));
    CHECK(!diameter_hops(pair, generate_fabric(pair)).has_value());
}

TEST_CASE("topology: a two-layer tree has an end", "[sim][topology]") {
    CHECK(problem_pointers(preset({{"/nodes", 2048}})).empty());
    CHECK(problem_pointers(preset({{"/nodes", 2049}})) == std::vector<std::string>{"/nodes"});
    CHECK(problem_pointers(preset({{"/nodes", 257}}, "h800_256x8_mrft")) ==
          std::vector<std::string>{"/nodes"});
    CHECK(problem_pointers(preset({{"/fabric/kind", "single_switch"}})) ==
          std::vector<std::string>{"/nodes"});
    CHECK(problem_pointers(preset({{"/fabric/kind", "none"}})) ==
          std::vector<std::string>{"/fabric"});
    CHECK(problem_pointers(preset({{"/nodes", 1000000}})) == std::vector<std::string>{"/nodes"});
}

TEST_CASE("topology: wrong values are reported with their pointers", "[sim][topology]") {
    const std::vector<std::pair<std::vector<std::pair<std::string, Json>>, std::string>> cases{
        {{{"/nic/bandwidth_gb_per_s", -50}}, "/nic/bandwidth_gb_per_s"},
        {{{"/nvlink/bandwidth_gb_per_s", "fast"}}, "/nvlink/bandwidth_gb_per_s"},
        {{{"/nvlink/achievable_fraction", 1.2}}, "/nvlink/achievable_fraction"},
        {{{"/nvlink/domain_gpus", 4}}, "/nvlink/domain_gpus"},
        {{{"/fabric/path_choice", "random"}}, "/fabric/path_choice"},
        {{{"/nic/affinity", Json::parse("[0,1,2,3,4,5,6,8]")}}, "/nic/affinity"},
        {{{"/nic/affinity", Json::parse("[0,1,2]")}}, "/nic/affinity"},
        {{{"/fabric/oversubscription", 0.5}}, "/fabric/oversubscription"},
        {{{"/fabric/oversubscription", 100}}, "/fabric/oversubscription"},
        {{{"/fabric/planes", 4}}, "/fabric/planes"},
        {{{"/fabric/kind", "torus"}}, "/fabric/kind"},
        {{{"/fabric/cross_leaf_latency_us", 1.0}}, "/fabric/cross_leaf_latency_us"},
        {{{"/nodes", 0}}, "/nodes"},
        {{{"/nodes", 2.5}}, "/nodes"},
        {{{"/device", 7}}, "/device"},
        {{{"/device/sms", -1}}, "/device/sms"},
        {{{"/device/peaks_tflops/bf61", 989}}, "/device/peaks_tflops/bf61"},
        {{{"/sources", "none"}}, "/sources"},
        {{{"/nvlnk", 1}}, "/nvlnk"},
        {{{"/overrides", Json::parse(R"([{"link": "node3.nic9", "remove": true}])")}},
         "/overrides/0/link"},
        {{{"/overrides", Json::parse(R"([{"link": "node3.nic5", "degrade": 2}])")}},
         "/overrides/0/degrade"},
        {{{"/overrides", Json::parse(R"([{"link": "node3.nic5"}])")}}, "/overrides/0"},
        {{{"/overrides", Json::parse(R"([{"link": "node3.nic5", "remove": false}])")}},
         "/overrides/0/remove"},
    };
    for (const auto& [changes, pointer] : cases) {
        INFO(pointer);
        CHECK(problem_pointers(preset(changes)) == std::vector<std::string>{pointer});
    }
}

TEST_CASE("topology: missing parts, and all problems at once", "[sim][topology]") {
    const Document document = Document::from_text(R"({
        "schema": "r1sim.topology/1",
        "name": "broken",
        "device": {"schema": "r1sim.device/1", "name": "d", "sms": 1, "memory_gb": 1,
                   "hbm_bandwidth_gb_per_s": 0, "peaks_tflops": {"bf16": 1}, "power_w": 1},
        "nodes": 4,
        "gpus_per_node": 2,
        "nvlink": {"bandwidth_gb_per_s": 1, "achievable_fraction": 1},
        "fabric": {"kind": "single_switch", "switch_ports": 64, "same_leaf_latency_us": 1}
    })",
                                                  "broken.json");
    const std::string text = messages(document);
    CHECK(text.find("/device/hbm_bandwidth_gb_per_s") != std::string::npos);
    CHECK(text.find("latency_us") != std::string::npos);
    CHECK(text.find("/nic") != std::string::npos);
    CHECK(text.find("broken.json:") != std::string::npos);
    CHECK(problem_pointers(document).size() == 3);
}

TEST_CASE("topology: an unknown link gets a suggestion", "[sim][topology]") {
    const std::string text = messages(
        preset({{"/overrides", Json::parse(R"([{"link": "node3.nik5", "remove": true}])")}}));
    CHECK(text.find("did you mean 'node3.nic5'") != std::string::npos);
}

TEST_CASE("topology: every preset loads and prints", "[sim][topology]") {
    const std::vector<std::string> names = preset_names(kTopologyFolder);
    REQUIRE(names.size() >= 7);
    for (const std::string& name : names) {
        INFO(name);
        const Topology topology = read(load_topology(name));
        CHECK(topology.name == name);
        CHECK(topology.device.sources.size() >= 6);
        const Fabric fabric = generate_fabric(topology);
        const Json json = topology_json(topology, fabric);
        CHECK(json.at("gpus") == topology.nodes * topology.gpus_per_node);
        CHECK(json.at("links").size() >= 1);
        CHECK(topology_text(topology, fabric).find(name) != std::string::npos);
    }
    CHECK(preset_names(kDeviceFolder) == std::vector<std::string>{"cpu", "h100", "h200", "h800"});
    CHECK_THROWS_AS(load_topology("h800_256x8_mpfd"), InputError);
    CHECK_THROWS_AS(load_topology("no/such/file.json"), InputError);
}

TEST_CASE("topology: a device is a preset name, a file or an object", "[sim][topology]") {
    Document document = load_topology("h800_256x8_mpft");
    REQUIRE(document.set("/device", "h100", {}));
    graft_device(document, "", {});
    CHECK(read(document).device.name == "h100");
    graft_device(document, "", {});  // an object by now: left alone
    CHECK(read(document).device.name == "h100");
    REQUIRE(document.set("/device", "h900", {}));
    CHECK_THROWS_AS(graft_device(document, "", {}), InputError);
}

}  // namespace r1
