// InfraGraph files: the project's own examples, shapes that a topology has and those it has not,
// and what is wrong or missing with which message.
#include "sim/hardware/import/infragraph.hpp"

#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"

#include "model/base/json.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/hardware/presets.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {
namespace {

using test::contains;

Topology infragraph_cluster(const std::string& text, const std::vector<std::string>& settings) {
    std::vector<Override> overrides;
    for (const std::string& setting : settings) overrides.push_back(parse_override(setting));
    const Document document = topology_document(import_infragraph(text, "cluster.json"), overrides);
    Diagnostics diagnostics;
    Topology topology = read_topology(document, "", diagnostics);
    diagnostics.throw_if_errors();
    return topology;
}

// All that is wrong or missing; "" if it is a topology.
std::string infragraph_problems(const std::string& text,
                                const std::vector<std::string>& settings = {}) {
    try {
        infragraph_cluster(text, settings);
        return "";
    } catch (const InputError& error) {
        return error.what();
    }
}

std::string example(const std::string& name) {
    return read_file(data_root() / "tests" / "sim" / "data" / "infragraph" / name);
}

Json edge(const std::string& ep1, const std::string& ep2, const std::string& scheme,
          const std::string& link) {
    // "host[0]/nic" in the infrastructure, "nic" in a device.
    const auto end = [](const std::string& text) {
        const std::size_t slash = text.find('/');
        return slash == std::string::npos ? Json{{"component", text}}
                                          : Json{{"instance", text.substr(0, slash)},
                                                 {"component", text.substr(slash + 1)}};
    };
    return {{"ep1", end(ep1)}, {"ep2", end(ep2)}, {"scheme", scheme}, {"link", link}};
}

Json component(const std::string& name, int count, const std::string& choice) {
    return {{"name", name}, {"count", count}, {"choice", choice}};
}

Json link(const std::string& name, double gb_per_s, double latency_ns) {
    return {
        {"name", name},
        {"physical",
         {{"bandwidth", {{"choice", "gigabytes_per_second"}, {"gigabytes_per_second", gb_per_s}}},
          {"latency", {{"choice", "ns"}, {"ns", latency_ns}}}}}};
}

// Hosts of two accelerators with a NIC each; two scale-up switches.
Json small_cluster(int hosts) {
    return {{"name", "small"},
            {"devices",
             {{{"name", "server"},
               {"components",
                {component("xpu", 2, "xpu"), component("nic", 2, "nic"),
                 component("nvsw", 2, "switch"), component("cpu", 1, "cpu")}},
               {"links", {link("nvlink", 90, 500), {{"name", "pcie"}}}},
               {"edges",
                {edge("xpu", "nvsw", "many2many", "nvlink"), edge("xpu", "nic", "one2one", "pcie"),
                 edge("cpu", "nic", "many2many", "pcie")}}},
              {{"name", "box"},
               {"components", {component("asic", 1, "cpu"), component("port", 16, "port")}},
               {"links", {{{"name", "ic"}}}},
               {"edges", {edge("asic", "port", "many2many", "ic")}}}}},
            {"links", {link("down", 50, 600), link("up", 50, 400)}},
            {"instances", {{{"name", "host"}, {"device", "server"}, {"count", hosts}}}},
            {"edges", Json::array()}};
}

void add_switches(Json& cluster, const std::string& name, int count) {
    cluster["instances"].push_back({{"name", name}, {"device", "box"}, {"count", count}});
}

void join(Json& cluster, const std::string& ep1, const std::string& ep2,
          const std::string& link_name) {
    cluster["edges"].push_back(edge(ep1, ep2, "one2one", link_name));
}

// Four hosts, leaves of two hosts and one NIC each: rail r, block b is leaf 2r + b.
Json rails_cluster(int spines, bool are_planes) {
    Json cluster = small_cluster(4);
    add_switches(cluster, "leaf", 4);
    add_switches(cluster, "spine", are_planes ? 2 * spines : spines);
    for (int rail = 0; rail < 2; ++rail) {
        for (int block = 0; block < 2; ++block) {
            const int leaf = 2 * rail + block;
            join(cluster, fmt::format("host[{}:{}]/nic[{}]", 2 * block, 2 * block + 2, rail),
                 fmt::format("leaf[{}]/port[0:2]", leaf), "down");
            for (int spine = 0; spine < spines; ++spine) {
                join(cluster, fmt::format("leaf[{}]/port[{}]", leaf, 2 + spine),
                     fmt::format("spine[{}]/port[{}]", are_planes ? rail * spines + spine : spine,
                                 leaf),
                     "up");
            }
        }
    }
    return cluster;
}

}  // namespace

TEST_CASE("infragraph: the DGX H100 pair of the project is two nodes on one switch",
          "[sim][import]") {
    const std::string text = example("single_tier_dgx_h100.json");
    const Topology cluster =
        infragraph_cluster(text, {"device=h100", "nvlink.bandwidth_gb_per_s=450"});
    CHECK(cluster.nodes == 2);
    CHECK(cluster.gpus_per_node == 8);
    CHECK(cluster.nvlink.switches == 4);
    CHECK(cluster.nic.per_node == 8);
    CHECK(cluster.nic.bandwidth == gb_per_s(12.5));
    CHECK(cluster.nic.affinity == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(cluster.fabric.kind == FabricKind::single_switch);
    CHECK(cluster.fabric.switch_ports == 16);
    const std::string missing = infragraph_problems(text);
    CHECK(contains(missing, "('NVIDIA H100 / H200 SXM5') is, no field says"));
    CHECK(contains(missing, "--set device=h100"));
    CHECK(contains(missing, "link 'xpu_fabric' (4 for each accelerator, through 4 switches)"));
    CHECK(contains(missing, "cluster.json:"));
}

TEST_CASE("infragraph: leaves that pass on all are one switch and it says so", "[sim][import]") {
    const std::string text = example("closfabric.json");
    const ImportedTopology imported = import_infragraph(text, "cluster.json");
    REQUIRE(imported.warnings.size() == 1);
    CHECK(contains(imported.warnings[0], "4 leaves under 3 spines; they pass on all"));
    const Topology cluster =
        infragraph_cluster(text, {"device=h100", "nvlink.bandwidth_gb_per_s=450"});
    CHECK(cluster.nodes == 4);
    CHECK(cluster.gpus_per_node == 2);
    CHECK(cluster.nvlink.switches == 1);
    CHECK(cluster.nic.affinity == std::vector<int>{0, 1});
    CHECK(cluster.fabric.kind == FabricKind::single_switch);
    CHECK(cluster.fabric.same_leaf_latency == microseconds(3.7));  // by way of a spine
    // 2 hosts x 2 NICs of 100 Gb/s, 94 % of it
    CHECK(bisection(generate_fabric(cluster)).value() == Approx(4 * 12.5e9 * 0.94));
    Json narrow = Json::parse(text);
    narrow["links"][1]["physical"]["bandwidth"]["gigabits_per_second"] = 50;
    CHECK(contains(infragraph_problems(narrow.dump()),
                   "whose 18.75 GB/s to spines are less than the 25 of their NICs"));
}

TEST_CASE("infragraph: a lone device is one node", "[sim][import]") {
    const Topology node = infragraph_cluster(
        example("device_dgx_a100.json"),
        {"device=h100", "nvlink.bandwidth_gb_per_s=300", "nic.bandwidth_gb_per_s=25"});
    CHECK(node.nodes == 1);
    CHECK(node.fabric.kind == FabricKind::none);
    CHECK(node.nvlink.switches == 6);
    CHECK(node.nic.per_node == 8);
    CHECK(node.nic.affinity == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("infragraph: bandwidths and latencies of links are those of the topology",
          "[sim][import]") {
    Json file = small_cluster(2);
    add_switches(file, "sw", 1);
    join(file, "host/nic", "sw/port", "down");
    const Topology cluster = infragraph_cluster(file.dump(), {"device=h800"});
    CHECK(cluster.nvlink.bandwidth == gb_per_s(180));  // a link of 90 GB/s to each of two switches
    CHECK(cluster.nvlink.latency == microseconds(1));
    CHECK(cluster.nvlink.achievable_fraction == 0.8);  // h800_8x8's
    CHECK(cluster.nic.bandwidth == gb_per_s(50));
    CHECK(cluster.fabric.same_leaf_latency == microseconds(1.2));
    CHECK(cluster.sources.at("nvlink.bandwidth_gb_per_s") ==
          "cluster.json line 1: 2 links of 90 GB/s through 2 switches");
    file["links"][0]["physical"]["bandwidth"] = {{"choice", "gigatransfers_per_second"},
                                                 {"gigatransfers_per_second", 16}};
    CHECK(contains(infragraph_problems(file.dump(), {"device=h800"}),
                   "no link says in bits or bytes"));
}

TEST_CASE("infragraph: rails under common spines and planes", "[sim][import]") {
    for (const bool are_planes : {false, true}) {
        for (const int spines : {1, 2}) {
            INFO(are_planes << " " << spines);
            const Topology cluster =
                infragraph_cluster(rails_cluster(spines, are_planes).dump(), {"device=h800"});
            CHECK(cluster.fabric.kind == (are_planes ? FabricKind::mpft : FabricKind::mrft));
            CHECK(cluster.fabric.oversubscription == 2.0 / spines);
            CHECK(cluster.fabric.cross_leaf_latency == microseconds(2));
            const TreeShape shape = tree_shape(cluster);
            CHECK(shape.down == 2);
            CHECK(shape.up == spines);
            CHECK(shape.leaves == (are_planes ? 2 : 4));
            const double nic = 50e9 * 0.94;
            CHECK(bisection(generate_fabric(cluster)).value() == Approx(2 * nic * spines));
        }
    }
    Json one_switch_a_plane = small_cluster(3);
    add_switches(one_switch_a_plane, "plane", 2);
    for (const int host : {0, 1, 2}) {
        join(one_switch_a_plane, fmt::format("host[{}]/nic[0]", host),
             fmt::format("plane[0]/port[{}]", host), "down");
        join(one_switch_a_plane, fmt::format("host[{}]/nic[1]", host),
             fmt::format("plane[1]/port[{}]", host), "down");
    }
    const Topology planes = infragraph_cluster(one_switch_a_plane.dump(), {"device=h800"});
    CHECK(planes.fabric.kind == FabricKind::mpft);
    CHECK(tree_shape(planes).leaves == 1);
}

TEST_CASE("infragraph: composed devices and rings and open slices", "[sim][import]") {
    Json file = small_cluster(1);
    Json& server = file["devices"][0];
    server["components"][1] = component("cx7", 2, "device");
    server["edges"][1] = edge("xpu[0:]", "cx7.port[0:1]", "one2one", "pcie");
    server["edges"][2] = edge("cpu", "cx7[:1].port", "many2many", "pcie");
    server["edges"].push_back(edge("cpu", "cx7", "many2many", "pcie"));
    server["links"].push_back(link("ring", 30, 100));
    server["edges"][0] = edge("xpu", "xpu", "ring", "ring");
    file["devices"].push_back(
        {{"name", "cx7"},
         {"components", {component("asic", 1, "cpu"), component("port", 2, "port")}},
         {"links", {{{"name", "ic"}}}},
         {"edges", {edge("asic", "port", "many2many", "ic")}}});
    add_switches(file, "sw", 1);
    join(file, "host.cx7/port", "sw/port", "down");
    const Topology node = infragraph_cluster(file.dump(), {"device=h800"});
    CHECK(node.fabric.kind == FabricKind::single_switch);
    CHECK(node.nic.per_node == 2);
    CHECK(node.nic.bandwidth == gb_per_s(100));  // two ports
    CHECK(node.nvlink.bandwidth == gb_per_s(30));
    CHECK(node.nvlink.switches == 0);
    CHECK(node.nvlink.latency == microseconds(0.1));
}

TEST_CASE("infragraph: what a topology cannot hold is an error that names it", "[sim][import]") {
    Json file = small_cluster(2);
    file["devices"][0]["links"].push_back({{"name", "x"}});
    const auto problem_of = [](const Json& changed) {
        return infragraph_problems(changed.dump(), {"device=h800"});
    };
    CHECK(contains(problem_of(file), "2 nodes that nothing joins; mpft, mrft or single_switch"));
    // Links between two hosts and two switches.
    using Ends = std::vector<std::pair<std::string, std::string>>;
    const std::vector<std::pair<Ends, std::string>> cases{
        {{{"host[0]/nic", "host[1]/nic"}},
         "/edges/0: joins host[0].nic[0] and host[1].nic[0] with"},
        {{{"host[0]/xpu", "sw[0]/port"}}, "host[0].xpu[0] is an accelerator"},
        {{{"host[0]/cpu", "sw[0]/port"}}, "host[0].cpu[0] is no NIC"},
        {{{"host[0]/nic[0]", "sw[0]/port"}, {"host[0]/nic[0]", "sw[1]/port"}},
         "host[0].nic[0] is on sw[0] and on sw[1]"},
        {{{"host[0]/nic[0]", "sw[0]/port"}},
         "host[0].nic[0] and host[1].nic[0] are not joined to the network alike"},
        {{{"host[0]/nic", "sw[0]/port"}, {"host[1]/nic", "sw[1]/port"}},
         "and nothing joins these switches"},
    };
    for (const auto& [links, problem] : cases) {
        INFO(problem);
        Json changed = file;
        add_switches(changed, "sw", 2);
        for (const auto& [ep1, ep2] : links) join(changed, ep1, ep2, "down");
        CHECK(contains(problem_of(changed), problem));
    }
    Json three = rails_cluster(1, false);
    add_switches(three, "core", 1);
    join(three, "spine[0]/port[9]", "core[0]/port[0]", "up");
    CHECK(contains(problem_of(three), "joins spine[0] and core[0], neither with NICs"));
    Json mixed = rails_cluster(1, false);
    mixed["edges"][0]["ep1"] = {{"instance", "host[0]"}, {"component", "nic"}};
    mixed["edges"][4]["ep1"] = {{"instance", "host[1]"}, {"component", "nic"}};
    CHECK(contains(problem_of(mixed), "a topology's leaves hold one NIC index each"));
    Json kinds = file;
    kinds["devices"].push_back(kinds["devices"][0]);
    kinds["devices"][2]["name"] = "other";
    kinds["instances"].push_back({{"name", "odd"}, {"device", "other"}, {"count", 1}});
    CHECK(contains(problem_of(kinds), "odd[0] is of another device than host[0]"));
    Json none = file;
    none["instances"][0]["device"] = "box";
    CHECK(contains(problem_of(none), "no instance has a component of choice 'xpu'"));
    Json unused = rails_cluster(2, false);
    add_switches(unused, "spare", 1);
    CHECK(contains(import_infragraph(unused.dump(), "cluster.json").warnings.at(0),
                   "left out, as nothing is joined to it: spare[0]"));
}

TEST_CASE("infragraph: a scale-up network of other shapes asks for its rate", "[sim][import]") {
    Json file = small_cluster(1);
    const auto missing = [&](const Json& edges) {
        Json changed = file;
        changed["devices"][0]["edges"] = edges;
        return infragraph_problems(changed.dump(), {"device=h800", "nic.bandwidth_gb_per_s=50"});
    };
    CHECK(contains(missing(Json::array()), "no link joins accelerators only"));
    CHECK(contains(missing(Json::array({edge("xpu[0]", "nvsw", "many2many", "nvlink")})),
                   "does not join xpu[1] and nvsw[0] as it joins others"));
    CHECK(contains(missing({edge("xpu", "nvsw", "many2many", "nvlink"),
                            edge("xpu", "xpu", "many2many", "nvlink")}),
                   "joins accelerators with switches and with each other"));
    CHECK(contains(missing({edge("xpu", "nvsw", "many2many", "nvlink"),
                            edge("xpu", "xpu", "many2many", "pcie")}),
                   "2 links join accelerators only"));
}

TEST_CASE("infragraph: wrong values are reported with line and pointer and all at once",
          "[sim][import]") {
    Json file = small_cluster(2);
    const auto with = [&](const std::string& pointer, const Json& value) {
        Json changed = file;
        changed[Json::json_pointer(pointer)] = value;
        return infragraph_problems(changed.dump());
    };
    CHECK(contains(with("/devices/0/components/0/choice", "gpu"),
                   "/devices/0/components/0/choice: must be one of 'custom'"));
    CHECK(contains(with("/devices/0/components/0/count", 0), "/count: must be from 1"));
    CHECK(contains(with("/instances/0/count", 1e9), "/instances/0/count: must be from 1"));
    CHECK(contains(with("/instances/0/device", "servr"), "did you mean 'server'?"));
    CHECK(contains(with("/devices/0/edges/0/link", "nvlnk"), "did you mean 'nvlink'?"));
    CHECK(contains(with("/devices/0/edges/0/ep1/component", "xpus"), "did you mean 'xpu'?"));
    CHECK(contains(with("/devices/0/edges/0/ep1/component", "xpu[0:3]"), "the count is 2"));
    CHECK(contains(with("/devices/0/edges/0/ep1/component", "xpu[1:1]"), "holds nothing"));
    for (const char* slice :
         {"xpu[", "xpu[]", "xpu[a]", "xpu[-1]", "xpu[0:1:2]", "[0]", "xpu]0["}) {
        INFO(slice);
        CHECK_FALSE(with("/devices/0/edges/0/ep1/component", slice).empty());
    }
    CHECK(contains(with("/devices/1/name", "server"), "'server' stands here twice"));
    CHECK(contains(with("/links/0/physical/bandwidth/choice", "gigabit"),
                   "did you mean 'gigabits_per_second'?"));
    CHECK(contains(with("/links/0/physical/bandwidth/gigabytes_per_second", -1), "must be from"));
    CHECK(contains(with("/devices/0/edges/0/scheme", "all2all"), "/scheme: must be one of"));
    CHECK(contains(with("/instances", 7), "/instances: expects an array"));
    Json twice = file;
    twice["links"][0].erase("name");
    twice["instances"][0].erase("count");
    const std::string problems = infragraph_problems(twice.dump(2));
    CHECK(contains(problems, "/links/0: missing key 'name'"));
    CHECK(contains(problems, "/instances/0: missing key 'count'"));
    CHECK(contains(infragraph_problems("{"), "cluster.json:1:2"));
    CHECK(contains(infragraph_problems(""), "holds no JSON value"));
    CHECK(contains(infragraph_problems("[]"), "expects an object"));
    CHECK(contains(infragraph_problems("{}"), "missing key 'instances'"));
    CHECK(contains(infragraph_problems("\x89PNG\r\n"), "cluster.json:1:1"));
}

TEST_CASE("infragraph: devices made of themselves and counts that explode", "[sim][import]") {
    const auto device = [](const std::string& name, const std::string& part, int count) {
        return Json{{"name", name}, {"components", {component(part, count, "device")}}};
    };
    Json file = small_cluster(1);
    file["devices"].push_back(device("a", "b", 1));
    file["devices"].push_back(device("b", "a", 1));
    CHECK(contains(infragraph_problems(file.dump()), "device 'b' is made of itself"));
    Json bomb = small_cluster(1);
    for (int i = 0; i < 40; ++i) {
        bomb["devices"].push_back(device(fmt::format("d{}", i), fmt::format("d{}", i + 1), 1000));
    }
    bomb["devices"].push_back({{"name", "d40"}, {"components", {component("xpu", 1, "xpu")}}});
    CHECK(contains(infragraph_problems(bomb.dump()), "more than a million components"));
    Json many = small_cluster(500'000);
    CHECK(contains(infragraph_problems(many.dump()), "more than a million components"));
    Json links = small_cluster(1000);
    add_switches(links, "sw", 100);
    links["edges"].push_back(edge("host/nic", "sw/port", "many2many", "down"));
    CHECK(contains(infragraph_problems(links.dump()), "more than 2 million links"));
}

TEST_CASE("infragraph: old drafts and YAML are refused in a sentence", "[sim][import]") {
    const std::string yaml =
        "infrastructure:\n  devices:\n    - name: a\n      connections:\n        - a.0.b.c.0\n";
    CHECK(contains(infragraph_problems(yaml), "cluster.json: this is the old draft"));
    CHECK(contains(infragraph_problems("devices:\n  - name: a\n"), "this is YAML"));
    CHECK(contains(infragraph_problems(R"({"infrastructure": {}})"), "this is the old draft"));
    Json file = small_cluster(1);
    file["connections"] = {"host.0.nic.0.down.sw.0.port.0"};
    CHECK(contains(infragraph_problems(file.dump()), "/connections: this is the old draft"));
    file = small_cluster(1);
    file["devices"][0]["components"][0] = {{"name", "xpu"}, {"type", "xpu"}};
    CHECK(contains(infragraph_problems(file.dump()), "/type: this is the old draft"));
}

TEST_CASE("infragraph: unknown keys are noted", "[sim][import]") {
    Json file = small_cluster(1);
    file["shiny"] = 1;
    file["devices"][0]["components"][0]["vendor"] = "x";
    const ImportedTopology imported = import_infragraph(file.dump(), "cluster.json");
    REQUIRE(imported.notes.size() == 2);
    CHECK(contains(imported.notes[0] + imported.notes[1], "/shiny"));
}

}  // namespace r1
