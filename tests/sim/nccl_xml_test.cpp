// NCCL topology files: facts of files of the field, what a node of each becomes, and what is wrong
// or missing with which message.
#include "sim/hardware/import/nccl_xml.hpp"

#include <filesystem>
#include <iostream>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/temporary_folder.hpp"

#include "model/base/json.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/hardware/import/nccl_system.hpp"
#include "sim/hardware/presets.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {
namespace {

using test::contains;

std::filesystem::path copies() { return data_root() / "tests" / "sim" / "data" / "nccl_topology"; }

std::vector<Override> set_all(const std::vector<std::string>& texts) {
    std::vector<Override> overrides;
    for (const std::string& text : texts) overrides.push_back(parse_override(text));
    return overrides;
}

Topology read_imported(const Document& document) {
    Diagnostics diagnostics;
    Topology topology = read_topology(document, "", diagnostics);
    diagnostics.throw_if_errors();
    return topology;
}

Topology nccl_node(const std::string& xml, const std::vector<std::string>& settings = {}) {
    return read_imported(topology_document(import_nccl_xml(xml, "node.xml"), set_all(settings)));
}

Topology nccl_copy(const std::string& name, const std::vector<std::string>& settings = {}) {
    return nccl_node(read_file(copies() / name), settings);
}

// All that is wrong or missing, one a line; "" if it is a topology.
std::string nccl_problems(const std::string& xml, const std::vector<std::string>& settings = {}) {
    try {
        nccl_node(xml, settings);
        return "";
    } catch (const InputError& error) {
        return error.what();
    }
}

// A host of `gpus` H100 behind bridges of their own, each with one NIC of 400 Gb/s. Texts stand in
// for the attributes of each part.
struct NodeText {
    int gpus = 2;
    std::string version = "1";
    std::string host;
    std::string gpu_pci = "class=\"0x030200\" device=\"0x2330\"";
    std::string gpu = "sm=\"90\"";
    std::string nvlink = "<nvlink target=\"0:ff:0.0\" count=\"18\" tclass=\"0x068000\"/>";
    std::string net = "speed=\"400000\"";
    std::string extra;  // inside <cpu>

    [[nodiscard]] std::string cpu() const {
        std::string text = "<cpu numaid=\"0\" host_hash=\"" + host + "\">\n" + extra;
        for (int i = 0; i < gpus; ++i) {
            text += fmt::format(
                "<pci busid=\"0:{1}0:0.0\" class=\"0x060400\">\n"
                "<pci busid=\"0:{1}1:0.0\" {2}><gpu dev=\"{0}\" rank=\"{0}\" {3}>{4}</gpu></pci>\n"
                "<pci busid=\"0:{1}2:0.0\" class=\"0x020700\"><nic>"
                "<net name=\"mlx5_{0}\" dev=\"{0}\" {5}/></nic></pci>\n</pci>\n",
                i, i + 1, gpu_pci, gpu, nvlink, net);
        }
        return text + "</cpu>\n";
    }
    [[nodiscard]] std::string xml() const {
        return "<system version=\"" + version + "\">\n" + cpu() + "</system>\n";
    }
};

std::vector<int> first_numbers(int count) {
    std::vector<int> numbers(static_cast<std::size_t>(count));
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
}

void check_facts(const std::string& text, const std::string& name, const Json& facts) {
    INFO(name);
    if (!facts.at("well_formed").get<bool>()) {
        CHECK(contains(nccl_problems(text), "node.xml:13:1: /system/cpu: the file ends before"));
        return;
    }
    Diagnostics diagnostics;
    const NcclSystem system = read_nccl_system(XmlDocument::from_text(text, name), diagnostics);
    if (facts.at("pci_gpu_class") == 0) {
        CHECK(contains(render(diagnostics.errors()), "9 pci elements have no class"));
        return;
    }
    REQUIRE(diagnostics.ok());
    REQUIRE(system.nodes.size() == 1);
    CHECK(system.nodes[0].gpus.size() == facts.at("pci_gpu_class").get<std::size_t>());
    std::set<std::string> switches;
    for (const NcclGpu& gpu : system.nodes[0].gpus) {
        int links = 0;
        for (const NcclNvlink& link : gpu.nvlinks) {
            links += link.count;
            if (link.end == NvlinkEnd::nvswitch) switches.insert(link.target);
        }
        if (gpu.dev) CHECK(facts.at("nvlink_count_by_gpu").at(std::to_string(*gpu.dev)) == links);
        if (gpu.sm) CHECK(facts.at("sm").at(0) == std::to_string(*gpu.sm));
    }
    CHECK(Json(switches) == facts.at("nvswitch_targets"));
    double mbit_per_s = 0;
    for (const NcclNic& nic : system.nodes[0].nics) {
        mbit_per_s += nic.gb_per_s.value_or(0) * 8000;
    }
    const bool has_limit = name == "dgx_a100_stray_text.xml";  // 300 Gb/s ports at PCIe 4 x16
    const double limit_mbit_per_s = has_limit ? 2 * (300'000 - 128.0 / 130 * 16 * 16'000) : 0;
    CHECK(mbit_per_s + limit_mbit_per_s == Approx(facts.at("net_speed_mbit_total").get<double>()));
    const bool has_text = !system.warnings.empty() && contains(system.warnings[0], "text between");
    CHECK(has_text == facts.at("text_between_elements").get<bool>());
}

}  // namespace

TEST_CASE("nccl xml: facts of the files of the field", "[sim][import]") {
    const std::filesystem::path folder = test::data_dir() / "formats" / "nccl_topology";
    if (!std::filesystem::exists(folder / "expected.json")) {
        std::cout << "r1 test skipped: no " << folder << "\n";
        return;
    }
    const Document expected = Document::from_file(folder / "expected.json");
    for (const auto& [name, facts] : expected.root().items()) {
        check_facts(read_file(folder / name), name, facts);
    }
}

TEST_CASE("nccl xml: an H800 dump is a node of the H800 preset", "[sim][import]") {
    const std::filesystem::path file = test::data_dir() / "formats/nccl_topology/h800_dump.xml";
    if (!std::filesystem::exists(file)) {
        std::cout << "r1 test skipped: no " << file << "\n";
        return;
    }
    const Topology dump =
        nccl_node(read_file(file), {"nodes=8", "fabric.kind=mpft", "nvlink.domain_gpus=8"});
    const Topology preset = read_imported(load_topology("h800_8x8"));
    CHECK(dump.device.name == "h800");
    CHECK(dump.nvlink.bandwidth == gb_per_s(200));  // 8 links, where an H100 has 18
    CHECK(dump.nvlink.achievable() == preset.nvlink.achievable());
    CHECK(dump.nvlink.switches == 4);
    CHECK(dump.nic.bandwidth == preset.nic.bandwidth);
    CHECK(dump.nic.affinity == preset.nic.affinity);
    CHECK(bisection(generate_fabric(dump)) == bisection(generate_fabric(preset)));
}

TEST_CASE("nccl xml: two ports of a NIC are one NIC of both", "[sim][import]") {
    const Topology node = nccl_copy("oci_h100_container.xml");
    CHECK(node.device.name == "h100");
    CHECK(node.nodes == 1);
    CHECK(node.gpus_per_node == 8);
    CHECK(node.fabric.kind == FabricKind::none);
    CHECK(node.nvlink.bandwidth == gb_per_s(450));
    CHECK(node.nvlink.switches == 4);
    CHECK(node.nic.per_node == 8);
    CHECK(node.nic.bandwidth == gb_per_s(50));
    CHECK(node.nic.affinity == first_numbers(8));
    CHECK(node.sources.at("nic.bandwidth_gb_per_s") ==
          "node.xml line 16: mlx5_18 has 50 GB/s in 2 ports");
    CHECK(node.sources.at("nvlink.bandwidth_gb_per_s") ==
          "node.xml line 7: 18 NVLinks a GPU, 25 GB/s nominal for sm 90");
    CHECK(contains(node.sources.at("nvlink.latency_us"),
                   "default of h100_8x8, as node.xml does not say: arXiv 2505.09343 Table 5"));
}

TEST_CASE("nccl xml: four NICs beside each GPU become one of their bandwidth", "[sim][import]") {
    const std::string xml = read_file(copies() / "aws_p5_h100.xml");
    const Topology node = nccl_node(xml, {"device=h100", "nvlink.bandwidth_gb_per_s=450"});
    CHECK(node.nic.per_node == 8);
    CHECK(node.nic.bandwidth == gb_per_s(50));
    CHECK(node.nic.affinity == first_numbers(8));
    CHECK(node.sources.at("nvlink.bandwidth_gb_per_s") == "--set nvlink.bandwidth_gb_per_s=450");
    CHECK(contains(import_nccl_xml(xml, "node.xml").warnings.at(0), "each stands for 4 (50 GB/s"));
    const std::string missing = nccl_problems(xml);
    CHECK(contains(missing, "node.xml:5:9: /system/cpu/pci[1]/pci[1]/gpu: which GPU this is"));
    CHECK(contains(missing, "--set device=h100"));
    CHECK(contains(missing, "--set nvlink.bandwidth_gb_per_s=N"));
}

TEST_CASE("nccl xml: bare pci elements are GPUs and NICs of unknown speed", "[sim][import]") {
    const std::string xml = read_file(copies() / "azure_ndv5_h100.xml");
    const std::string missing = nccl_problems(xml);
    CHECK(contains(missing, "node.xml:5:7: /system/cpu[1]/pci[1]/pci[2]: the speed of the 8 NICs"));
    CHECK(contains(missing, "--set nic.bandwidth_gb_per_s=50"));
    const Topology cluster =
        nccl_node(xml, {"device=h100", "nvlink.bandwidth_gb_per_s=450", "nodes=256",
                        "nic.bandwidth_gb_per_s=50", "fabric.kind=mpft"});
    const Topology preset = read_imported(load_topology("h100_256x8_mpft"));
    CHECK(cluster.nic.affinity == first_numbers(8));
    CHECK(bisection(generate_fabric(cluster)) == bisection(generate_fabric(preset)));
    CHECK(contains(nccl_problems(read_file(copies() / "aws_g5.xml")),
                   "node.xml:14:5: /system/cpu[1]/pci[1]: 9 pci elements have no class"));
}

// NICs 0 and 1 hang below the same bridge as GPUs 0 and 1, NIC 0 closer to GPU 1.
TEST_CASE("nccl xml: GPUs that share a bridge share its NICs out", "[sim][import]") {
    const std::string xml = read_file(copies() / "dgx_a100_stray_text.xml");
    const Topology node = nccl_node(xml, {"device=h100"});
    CHECK(node.gpus_per_node == 8);
    CHECK(node.nvlink.bandwidth == gb_per_s(12 * 25));
    CHECK(node.nvlink.achievable_fraction == Approx(20.0 / 25));
    CHECK(node.nvlink.switches == 6);
    CHECK(node.nic.per_node == 8);
    CHECK(node.nic.bandwidth == gb_per_s(25));
    CHECK(node.nic.affinity == first_numbers(8));
    const ImportedTopology imported = import_nccl_xml(xml, "node.xml");
    CHECK(contains(imported.warnings.at(0), "node.xml:3:176: text between elements"));
    CHECK(contains(imported.warnings.back(), "left out: mlx5_4, mlx5_10"));
    CHECK(contains(nccl_problems(xml), "no device file for GPUs of PCI device 0x20b0, sm 80"));
}

TEST_CASE("nccl xml: GPUs stand in the order of their CUDA indices", "[sim][import]") {
    NodeText text;
    std::string xml = text.xml();
    CHECK(nccl_node(xml).nic.affinity == std::vector<int>{0, 1});
    xml.replace(xml.find("dev=\"0\" rank"), 7, "dev=\"1\"");
    xml.replace(xml.rfind("dev=\"1\" rank"), 7, "dev=\"0\"");
    Diagnostics diagnostics;
    const ImportedTopology imported = import_nccl_xml(xml, "node.xml");
    for (const ImportedValue& value : imported.values) {
        if (value.field == "nic.bandwidth_gb_per_s") CHECK(contains(value.source, "mlx5_1"));
    }
}

TEST_CASE("nccl xml: invisible NVSwitches count no switch", "[sim][import]") {
    NodeText text;
    text.nvlink = "<nvlink target='fffffff:ff:ff.0' count='18' tclass='0x068000'/>";
    const Topology node = nccl_node(text.xml());
    CHECK(node.nvlink.bandwidth == gb_per_s(450));
    CHECK(node.nvlink.switches == 0);
    CHECK(contains(node.sources.at("nvlink.switches"), "not visible"));
}

TEST_CASE("nccl xml: NVLinks between GPUs count if they join all pairs alike", "[sim][import]") {
    NodeText pair;
    pair.nvlink = "<nvlink target='0:21:0.0' count='4' tclass='0x030200'/>";
    std::string xml = pair.xml();
    xml.replace(xml.rfind("0:21:0.0' count"), 8, "0:11:0.0");
    CHECK(nccl_node(xml).nvlink.bandwidth == gb_per_s(100));
    const std::string missing = nccl_problems(pair.xml());  // both lead to the second
    CHECK(contains(missing, "NVLinks join some pairs of GPUs"));
    CHECK(nccl_node(pair.xml(), {"nvlink.bandwidth_gb_per_s=90"}).nvlink.bandwidth == gb_per_s(90));
    NodeText unequal;
    std::string one_less = unequal.xml();
    one_less.replace(one_less.find("count=\"18\""), 10, "count=\"17\"");
    CHECK(contains(nccl_problems(one_less), "GPU 0:21:0.0 has 18 NVLinks, GPU 0:11:0.0 17"));
    NodeText to_cpu;  // NVLinks to a CPU join no GPUs
    to_cpu.nvlink += "<nvlink target='0:0:0.0' count='3' tclass='0x068001'/>";
    CHECK(nccl_node(to_cpu.xml()).nvlink.bandwidth == gb_per_s(450));
}

TEST_CASE("nccl xml: several hosts are nodes if they are alike", "[sim][import]") {
    NodeText first;
    first.host = "0x1";
    NodeText second = first;
    second.host = "0x2";
    const auto fused = [&] {
        return "<system version='1'>" + first.cpu() + second.cpu() + "</system>";
    };
    CHECK(contains(nccl_problems(fused()), "--set fabric.kind=mpft"));
    CHECK(nccl_node(fused(), {"fabric.kind=mpft"}).nodes == 2);
    second.gpus = 3;
    CHECK(contains(nccl_problems(fused()), "host 0x2 has 3 GPUs (NVLinks 18 18 18)"));
}

TEST_CASE("nccl xml: interfaces without a PCI device count where there are no others",
          "[sim][import]") {
    NodeText text;
    text.extra = "<nic><net name='eth0' dev='7' speed='0'/></nic>\n";
    const ImportedTopology both = import_nccl_xml(text.xml(), "node.xml");
    REQUIRE(both.warnings.size() == 2);
    CHECK(contains(both.warnings[0], "no speed is given: 10000 Mbit/s"));
    CHECK(contains(both.warnings[1], "left out, since others are NICs"));
    const std::string socket = "<nic><net name='eth0' dev='0' speed='20000'/></nic>";
    const std::string gpu = "' class='0x030200' device='0x2324'><gpu dev='";
    const std::string xml = "<system version='1'><cpu>" + socket + "<pci busid='0:1:0.0" + gpu +
                            "0'/></pci></cpu><cpu>" + socket + "<pci busid='0:2:0.0" + gpu +
                            "1'/></pci></cpu></system>";
    const Topology node = nccl_node(xml, {"nvlink.bandwidth_gb_per_s=200"});
    CHECK(node.nic.per_node == 1);  // one net, listed under both cpus
    CHECK(node.nic.bandwidth == gb_per_s(2.5));
    CHECK(node.nic.affinity == std::vector<int>{0, 0});
}

TEST_CASE("nccl xml: a NIC carries what its PCIe link does", "[sim][import]") {
    NodeText text;
    std::string xml = text.xml();
    const std::string bridge = "class=\"0x020700\"";
    for (std::size_t at = 0; (at = xml.find(bridge, at)) != std::string::npos; at += 50) {
        xml.insert(at, "link_speed=\"8.0 GT/s PCIe\" link_width=\"16\" ");
    }
    CHECK(nccl_node(xml).nic.bandwidth.value() == Approx(8e9 * 16 * 128 / 130 / 8));
    CHECK(contains(import_nccl_xml(xml, "node.xml").warnings.at(0), "its PCIe link carries 15.75"));
}

TEST_CASE("nccl xml: GPUs without a rank are left out if others have one", "[sim][import]") {
    NodeText three;
    three.gpus = 3;
    std::string xml = three.xml();
    xml.replace(xml.find("rank=\"2\""), 8, "");
    CHECK(nccl_node(xml).gpus_per_node == 2);
    CHECK(contains(import_nccl_xml(xml, "node.xml").warnings.at(0), "this GPU has no rank"));
}

TEST_CASE("nccl xml: what a topology cannot hold is named", "[sim][import]") {
    NodeText text;
    std::string xml = text.xml();
    xml.replace(xml.find("400000"), 6, "200000");
    CHECK(contains(nccl_problems(xml), "mlx5_1 has 50 GB/s where mlx5_0 has 25"));
    CHECK(nccl_node(xml, {"nic.bandwidth_gb_per_s=25"}).nic.bandwidth == gb_per_s(25));
    xml = text.xml();
    xml.replace(xml.find("0x2330"), 6, "0x2335");
    CHECK(contains(nccl_problems(xml), "GPU 0:21:0.0 is of another kind than GPU 0:11:0.0"));
    CHECK(contains(nccl_problems(text.xml(), {"nodes=2"}), "kind 'none' joins no nodes"));
    CHECK(contains(nccl_problems(text.xml(), {"nodes=0"}), "/nodes: must be from 1"));
    CHECK(contains(nccl_problems(text.xml(), {"device=h900"}), "did you mean 'h"));
    CHECK(contains(nccl_problems("<system version='1'><cpu/></system>"), "holds no GPU"));
}

TEST_CASE("nccl xml: one GPU needs neither NVLink nor a NIC", "[sim][import]") {
    const Topology node = nccl_node(
        "<system version='1'><cpu><pci busid='0:1:0.0' class='0x030200' device='0x2335'>"
        "<gpu dev='0'/></pci></cpu></system>");
    CHECK(node.device.name == "h200");
    CHECK(node.gpus() == 1);
    CHECK(node.nic.per_node == 0);
}

TEST_CASE("nccl xml: wrong values are reported with line and path and all at once",
          "[sim][import]") {
    const auto with = [](auto change) {
        NodeText text;
        change(text);
        return nccl_problems(text.xml());
    };
    CHECK(contains(nccl_problems("<topology/>"), "this is a file of hwloc"));
    CHECK(contains(nccl_problems("<sistem version='1'/>"), "did you mean 'system'"));
    CHECK(contains(nccl_problems("<system/>"), "node.xml:1:1: /system: <system> has no version"));
    CHECK(contains(with([](NodeText& t) { t.version = "2"; }), "version 2 is RCCL's"));
    CHECK(contains(with([](NodeText& t) { t.version = "3"; }),
                   "node.xml:1:9: /system/@version: version must be 1, found '3'"));
    CHECK(contains(with([](NodeText& t) { t.gpu = "sm=\"ninety\""; }),
                   "/system/cpu/pci[1]/pci[1]/gpu/@sm: expects a whole number from 1"));
    CHECK(contains(with([](NodeText& t) { t.net = "speed=\"fast\""; }), "@speed: expects Mbit/s"));
    CHECK(contains(with([](NodeText& t) { t.gpu_pci = "class=\"0x03\" device=\"0x2xyz\""; }),
                   "@device: expects a hexadecimal whole number"));
    CHECK(contains(with([](NodeText& t) { t.nvlink = "<nvlink/>"; }), "<nvlink> has no target"));
    CHECK(contains(
        with([](NodeText& t) { t.nvlink = "<nvlink target='0' count='-1' tclass='0x07'/>"; }),
        "@tclass: an NVLink leads to"));
    CHECK(contains(with([](NodeText& t) { t.extra = "<net dev='0'/>"; }),
                   "/system/cpu/net: <net> does not belong into <cpu>"));
    CHECK(contains(with([](NodeText& t) { t.extra = "<pci busid='0:11:0.0' class='0x06'/>"; }),
                   "0:11:0.0 stands at line 3 too"));
    CHECK(contains(with([](NodeText& t) { t.extra = "<pci busid='0-11-0'/><pci/>"; }),
                   "@busid: expects a bus id like 0000:1b:00.0, found '0-11-0'"));
    CHECK(contains(with([](NodeText& t) { t.nvlink += "</gpu><gpu dev='5'><nvlink target='0'/>"; }),
                   "/gpu[2]: a second GPU in the same pci element"));
    std::string twice = NodeText{}.xml();
    twice.replace(twice.find("dev=\"1\" rank"), 7, "dev=\"0\"");
    twice.replace(twice.rfind("dev=\"1\""), 7, "dev=\"0\"");
    const std::string problems = nccl_problems(twice);
    CHECK(contains(problems, "GPU 0 stands at line 4 too"));
    CHECK(contains(problems, "net '0' stands at line 5 too"));
}

TEST_CASE("nccl xml: what is ignored is noted", "[sim][import]") {
    NodeText text;
    text.extra = "<gpuu dev='0'><x/></gpuu>";
    text.net += " shiny=\"1\"";
    const ImportedTopology imported = import_nccl_xml(text.xml(), "node.xml");
    REQUIRE(imported.notes.size() == 3);
    CHECK(contains(imported.notes[0], "/system/cpu/gpuu: ignored, did you mean 'gpu'?"));
    CHECK(contains(imported.notes[1], "/net/@shiny: ignored"));
}

TEST_CASE("nccl xml: the written topology is read back as it was", "[sim][import]") {
    const test::TemporaryFolder folder("nccl_xml");
    const Document document = topology_document(
        import_nccl_xml(read_file(copies() / "oci_h100_container.xml"), "oci_h100_container.xml"),
        set_all({"nodes=4", "fabric.kind=single_switch", "device.power_w=650"}));
    write_file_atomically(folder / "mine.json", document.root().dump(2));
    const Topology again = read_imported(load_topology((folder / "mine.json").string()));
    CHECK(again.name == "oci_h100_container");
    CHECK(again.device.power == Watts(650));
    CHECK(again.sources.at("device") == "oci_h100_container.xml line 6: PCI device 0x2330, sm 90");
    CHECK(again.sources.at("device.power_w") == "--set device.power_w=650");
    CHECK(generate_fabric(again).links.size() ==
          generate_fabric(read_imported(document)).links.size());
}

}  // namespace r1
