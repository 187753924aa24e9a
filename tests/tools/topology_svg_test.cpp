// The picture of a topology, read back by an XML parser that is not ours.
#include "tools/report/topology_svg.hpp"

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <boost/property_tree/xml_parser.hpp>

#include "tests/support/catch.hpp"

#include "model/base/json.hpp"
#include "tools/report/svg.hpp"
#include "tools/report/topology_view.hpp"

namespace r1 {
namespace {

namespace pt = boost::property_tree;

using Changes = std::vector<std::pair<std::string, Json>>;

Topology changed(const std::string& preset, const Changes& changes = {}) {
    Document document = load_topology(preset);
    for (const auto& [pointer, value] : changes) REQUIRE(document.set(pointer, value, {}));
    Diagnostics diagnostics;
    Topology topology = read_topology(document, "", diagnostics);
    diagnostics.throw_if_errors();
    return topology;
}

std::string svg_of(const Topology& topology) {
    return topology_svg(topology, generate_fabric(topology));
}

// Lines, boxes and texts, in drawing order.
struct Shape {
    std::string tag;
    std::string css;
    std::string text;   // of a text: what is shown
    std::string title;  // under the pointer
    Box box;
};

struct Picture {
    double width = 0;
    double height = 0;
    std::string title;
    std::vector<Shape> shapes;

    [[nodiscard]] int count(const std::string& css) const {
        return static_cast<int>(std::count_if(shapes.begin(), shapes.end(),
                                              [&](const Shape& s) { return s.css == css; }));
    }
    [[nodiscard]] int texts(const std::string& text) const {
        return static_cast<int>(std::count_if(shapes.begin(), shapes.end(), [&](const Shape& s) {
            return s.tag == "text" && s.text == text;
        }));
    }
    [[nodiscard]] const Shape& first(const std::string& css) const {
        const auto found = std::find_if(shapes.begin(), shapes.end(),
                                        [&](const Shape& s) { return s.css == css; });
        REQUIRE(found != shapes.end());
        return *found;
    }
};

// What a text covers, by the same estimate that the layout uses.
Box box_of_text(const pt::ptree& node, const std::string& text) {
    const auto size = node.get<double>("<xmlattr>.font-size");
    const bool bold = node.get<std::string>("<xmlattr>.font-weight", "") == "bold";
    const std::string anchor = node.get<std::string>("<xmlattr>.text-anchor", "start");
    const double width = text_width(text, TextStyle{"", size, bold});
    double x = node.get<double>("<xmlattr>.x");
    if (anchor == "middle") x -= width / 2;
    if (anchor == "end") x -= width;
    return Box{x, node.get<double>("<xmlattr>.y") - 0.8 * size, width, size};
}

Picture parse(const std::string& svg) {
    std::istringstream in(svg);
    pt::ptree document;
    pt::read_xml(in, document);  // throws if it is not well-formed
    const pt::ptree& root = document.get_child("svg");
    Picture picture;
    picture.width = root.get<double>("<xmlattr>.width");
    picture.height = root.get<double>("<xmlattr>.height");
    picture.title = root.get<std::string>("title");
    for (const auto& [tag, node] : root) {
        if (tag != "line" && tag != "rect" && tag != "text") continue;
        Shape shape;
        shape.tag = tag;
        shape.css = node.get<std::string>("<xmlattr>.class");
        shape.title = node.get<std::string>("title", "");
        if (tag == "text") {
            shape.text = node.data();
            shape.box = box_of_text(node, shape.text);
        }
        picture.shapes.push_back(shape);
    }
    return picture;
}

Picture picture_of(const std::string& preset, const Changes& changes = {}) {
    return parse(svg_of(changed(preset, changes)));
}

bool overlap(const Box& a, const Box& b) {
    return a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom();
}

// Texts that leave the picture or touch another text.
std::vector<std::string> misplaced(const Picture& picture) {
    std::vector<Shape> texts;
    for (const Shape& shape : picture.shapes) {
        if (shape.tag == "text") texts.push_back(shape);
    }
    std::vector<std::string> found;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        const Box& box = texts[i].box;
        const bool inside = box.x >= 0 && box.y >= 0 && box.right() <= picture.width &&
                            box.bottom() <= picture.height;
        if (!inside) found.push_back(texts[i].text);
        for (std::size_t j = 0; j < i; ++j) {
            if (overlap(box, texts[j].box)) found.push_back(texts[i].text + " / " + texts[j].text);
        }
    }
    return found;
}

void check_places(const Picture& picture) {
    const std::vector<std::string> wrong = misplaced(picture);
    CAPTURE(wrong);
    CHECK(wrong.empty());
}

// 72 GPUs and 36 NICs a node, the NICs two GPUs each.
Changes large_node() {
    Json affinity = Json::array();
    for (int gpu = 0; gpu < 72; ++gpu) affinity.push_back(gpu / 2);
    return {{"/gpus_per_node", 72},
            {"/nvlink/domain_gpus", 72},
            {"/nic/per_node", 36},
            {"/fabric/planes", 36},
            {"/nodes", 100},
            {"/fabric/switch_ports", 144},
            {"/nic/affinity", affinity}};
}

}  // namespace

TEST_CASE("topology_svg: every GPU and NIC of the drawn node appears once",
          "[tools][report][topology]") {
    const Picture picture = picture_of("h800_256x8_mpft");
    CHECK(picture.count("gpu") == 8 + 1);  // and one in the legend
    CHECK(picture.count("nic") == 8 + 1);
    for (int i = 0; i < 8; ++i) {
        CHECK(picture.texts("gpu " + std::to_string(i)) == 1);
        CHECK(picture.texts("nic " + std::to_string(i)) == 1);
        CHECK(picture.texts("of gpu " + std::to_string(i)) == 1);
    }
    CHECK(picture.texts("h800") == 8);
    CHECK(picture.texts("Node × 256 nodes") == 1);
    CHECK(picture.texts("Plane × 8 planes") == 1);
    CHECK(picture.texts("200 GB/s, 160 achievable (80 %)") == 1);
    CHECK(picture.texts("50 GB/s, 47 achievable (94 %)") == 1);
    CHECK(picture.texts("3.33 us from GPU to GPU") == 1);
    CHECK(picture.texts("h800_256x8_mpft") == 1);
    // 8 planes x 128 nodes x 50 GB/s.
    CHECK(picture.texts("256 nodes × 8 h800 = 2048 GPUs · multi-plane fat tree (mpft), 96 switches "
                        "· bisection 51200 GB/s, 48128 achievable") == 1);
}

TEST_CASE("topology_svg: a plane has its 8 leaves, 4 spines and the 32 links between them",
          "[tools][report][topology]") {
    const Picture picture = picture_of("h800_256x8_mpft");
    CHECK(picture.count("leaf") == 8 + 1);
    CHECK(picture.count("spine") == 4 + 1);
    // Of the node 8 NVLinks and 8 NICs, of the plane 8 x 4 and 8 bundles of NICs, 1 in the legend.
    CHECK(picture.count("link") == 16 + 32 + 8 + 1);
    CHECK(picture.texts("32 up") == 8);
    CHECK(picture.texts("32 down") == 8);
    CHECK(picture.texts("8 to each spine") == 1);
    CHECK(picture.texts("224–255") == 1);
}

TEST_CASE("topology_svg: rails share their spines", "[tools][report][topology]") {
    const Picture picture = picture_of("h800_256x8_mrft");
    CHECK(picture.texts("Multi-rail fat tree of 8 rails") == 1);
    CHECK(picture.texts("rail 7: nic 7") == 1);
    CHECK(picture.texts("… 5 rails") == 1);
    CHECK(picture.texts("8 leaf switches in each rail") == 1);
    CHECK(picture.texts("32 spine switches") == 1);
}

TEST_CASE("topology_svg: an oversubscribed leaf has its uplinks counted",
          "[tools][report][topology]") {
    const Picture picture = picture_of("h100_256x8_mpft", {{"/fabric/oversubscription", 4}});
    CHECK(picture.texts("8 up") == 8);
    CHECK(picture.texts("32 down") == 8);
    CHECK(picture.texts("oversubscription 4: 32 down, 8 up") == 1);
    CHECK(picture.texts("32 up") == 0);
}

TEST_CASE("topology_svg: a removed link is drawn as removed, and named",
          "[tools][report][topology]") {
    const Picture plain = picture_of("h100_8x8");
    const Picture picture =
        picture_of("h100_8x8", {{"/overrides", Json::parse(R"([{"link": "node3.gpu2.nvlink",
                                                                "remove": true}])")}});
    CHECK(plain.count("link removed") == 1);    // the legend
    CHECK(picture.count("link removed") == 2);  // and in node 3
    CHECK(picture.first("link removed").title == "node3.gpu2.nvlink: 450 GB/s removed");
    CHECK(picture.texts("node3.gpu2.nvlink: 450 GB/s removed") == 1);
    CHECK(picture.texts("Node × 7 nodes") == 1);
    CHECK(picture.texts("Overridden node 3") == 1);
    CHECK(picture.texts("removed") == 1);
    CHECK(picture.count("gpu") == 2 * 8 + 1);
}

TEST_CASE("topology_svg: a degraded NIC shows its new rate in its node and in its plane",
          "[tools][report][topology]") {
    const Picture picture = picture_of(
        "h100_8x8", {{"/overrides", Json::parse(R"([{"link": "node3.nic5", "degrade": 0.5}])")}});
    CHECK(picture.count("link degraded") == 2 + 1);
    CHECK(picture.texts("25 GB/s") == 2);
    CHECK(picture.texts("node3.nic5: 25 of 50 GB/s, 23.5 achievable") == 1);
    CHECK(picture.texts("Overridden plane 5") == 1);
    CHECK(picture.texts("Plane × 7 planes") == 1);
}

TEST_CASE("topology_svg: overridden uplinks count at their leaf, alike nodes are drawn once",
          "[tools][report][topology]") {
    const Picture picture = picture_of("h800_256x8_mpft", {{"/overrides", Json::parse(R"([
        {"link": "plane2.leaf3.spine1", "degrade": 0.25},
        {"link": "plane2.leaf3.spine2", "remove": true},
        {"link": "node40.nic1", "remove": true}, {"link": "node41.nic1", "remove": true}])")}});
    CHECK(picture.texts("24/32 up") == 1);  // 8 of 32 went with spine 2
    CHECK(picture.texts("8 × 12.5 GB/s") == 1);
    CHECK(picture.texts("plane2.leaf3.spine2: 8 × 50 GB/s removed") == 1);
    CHECK(picture.texts("Overridden node × 2 nodes") == 1);
    CHECK(picture.texts("nodes 40–41: 1 link overridden, gpu 1 uses nic 2") == 1);
    CHECK(picture.texts("30 down") == 1);
    CHECK(picture.texts("2 removed") == 1);
    CHECK(picture.texts("Plane × 6 planes") == 1);
}

TEST_CASE("topology_svg: overridden switches are drawn where the others are left out",
          "[tools][report][topology]") {
    const Picture picture = picture_of(
        "h800_256x8_mrft",
        {{"/overrides", Json::parse(R"([{"link": "rail3.leaf4.spine19", "remove": true}])")}});
    CHECK(picture.texts("rail 3: nic 3") == 1);
    CHECK(picture.texts("leaf 4") == 1);
    CHECK(picture.texts("spine 19") == 1);
    CHECK(picture.texts("31/32 up") == 1);
    CHECK(picture.count("link removed") == 1 + 1);
}

TEST_CASE("topology_svg: every kind of fabric is drawn", "[tools][report][topology]") {
    const Picture none = picture_of("cpu_local");
    CHECK(none.count("gpu") == 8 + 1);
    CHECK(none.count("nic") == 0);
    CHECK(none.count("leaf") == 0);
    const Picture single = picture_of("h100_8x8", {{"/fabric/kind", "single_switch"}});
    CHECK(single.texts("switch 0") == 8 + 1);  // below the NICs, and itself
    CHECK(single.texts("64 down") == 1);
    CHECK(single.texts("8 NICs") == 8);
}

TEST_CASE("topology_svg: names are escaped", "[tools][report][topology]") {
    Topology topology = changed("h100_8x8");
    topology.name = "a<b & \"c\" > 'd' \x01";
    topology.device.name = "<&\">";
    const Picture picture = parse(svg_of(topology));
    CHECK(picture.texts("a<b & \"c\" > 'd' \xEF\xBF\xBD") == 1);  // no control characters in XML
    CHECK(picture.title == "Topology a<b & \"c\" > 'd' \xEF\xBF\xBD");
    CHECK(picture.texts("<&\">") == 8);
}

TEST_CASE("topology_svg: texts neither overlap nor leave the picture",
          "[tools][report][topology]") {
    const std::vector<std::pair<std::string, Changes>> cases{
        {"h800_256x8_mpft", {}},
        {"h800_256x8_mrft", {}},
        {"h100_8x8", {{"/fabric/kind", "single_switch"}}},
        {"cpu_local", {}},
        {"h800_256x8_mrft", large_node()},
        {"h800_256x8_mpft", {{"/nodes", 16384}, {"/fabric/switch_ports", 256}}},
        {"h800_256x8_mpft",
         {{"/overrides", Json::parse(R"([{"link": "plane2.leaf3.spine1", "degrade": 0.3333333},
        {"link": "plane2.leaf3.spine2", "degrade": 0.123456},
        {"link": "plane2.leaf4.spine1", "remove": true},
        {"link": "plane2.leaf4.spine2", "remove": true}, {"link": "node100.nic2", "degrade": 1e-6},
        {"link": "node3.gpu7.nvlink", "degrade": 1e-6},
        {"link": "node3.nic7", "remove": true}])")}}},
    };
    for (const auto& [preset, changes] : cases) {
        Topology topology = changed(preset, changes);
        INFO(preset << " of " << topology.gpus() << " GPUs");
        check_places(parse(svg_of(topology)));
        topology.name = std::string(500, 'W');
        topology.device.name = std::string(500, 'W');
        check_places(parse(svg_of(topology)));
    }
}

TEST_CASE("topology_svg: the same topology makes the same bytes", "[tools][report][topology]") {
    const Topology topology = changed("h800_256x8_mrft");
    CHECK(svg_of(topology) == svg_of(changed("h800_256x8_mrft")));
    CHECK(svg_of(topology) != svg_of(changed("h800_256x8_mpft")));
}

TEST_CASE("topology_svg: 131072 GPUs and a thousand overrides stay below 300 KB",
          "[tools][report][topology]") {
    Topology topology =
        changed("h800_256x8_mpft", {{"/nodes", 16384}, {"/fabric/switch_ports", 256}});
    const std::string plain = svg_of(topology);
    CHECK(plain.size() < 40'000);
    CHECK(parse(plain).texts("Node × 16384 nodes") == 1);
    CHECK(parse(plain).texts("… 119 more") == 1);  // of 128 leaves, 9 are drawn
    for (int i = 0; i < 1000; ++i) {
        LinkOverride item;
        item.link = "node" + std::to_string(16 * i) + ".nic" + std::to_string(i % 8);
        item.degrade = 1.0 / (2 + i);
        topology.overrides.push_back(item);
    }
    const std::string svg = svg_of(topology);
    CHECK(svg.size() < 300'000);
    const Picture picture = parse(svg);
    CHECK(picture.texts("… and 600 more") == 1);                            // links, in the legend
    CHECK(picture.texts("… and 997 more kinds of overridden nodes") == 1);  // 4 kinds are drawn
    check_places(picture);
}

TEST_CASE("topology_view: slots show what is wanted and count the rest",
          "[tools][report][topology]") {
    const auto text = [](const std::vector<Slot>& slots) {
        std::string out;
        for (const Slot& slot : slots) {
            out += slot.gap() ? "(" + std::to_string(slot.count) + ")" : std::to_string(slot.first);
            out += ' ';
        }
        return out;
    };
    CHECK(text(choose_slots(3, 3, {})) == "0 1 2 ");
    CHECK(text(choose_slots(8, 3, {})) == "0 (6) 7 ");
    CHECK(text(choose_slots(8, 5, {})) == "0 1 2 (4) 7 ");
    CHECK(text(choose_slots(8, 3, {4})) == "(4) 4 (3) ");
    CHECK(text(choose_slots(8, 5, {4})) == "0 (3) 4 (2) 7 ");
    CHECK(text(choose_slots(8, 5, {1, 3, 5})) == "0 1 2 3 (4) ");
    CHECK(text(choose_slots(0, 3, {})).empty());
    for (int count = 1; count < 30; ++count) {
        for (int limit = 3; limit < 12; ++limit) {
            const std::vector<Slot> slots = choose_slots(count, limit, {count / 2, count / 3});
            CHECK(static_cast<int>(slots.size()) <= limit);
            int next = 0;
            for (const Slot& slot : slots) {
                CHECK(slot.first == next);
                next += slot.count;
            }
            CHECK(next == count);
        }
    }
    CHECK(ranges_text({0, 1, 2, 5, 7, 8}) == "0–2, 5, 7–8");
}

}  // namespace r1
