// Our reader of XML: positions, what it refuses, and that it reads what Boost.PropertyTree reads.
#include "sim/hardware/import/xml.hpp"

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"

#include <boost/property_tree/ptree.hpp>
#include <boost/property_tree/xml_parser.hpp>

#include "model/base/json.hpp"
#include "sim/hardware/presets.hpp"

namespace r1 {
namespace {

using test::contains;

// "line:column: message", or "" if it is read.
std::string xml_problem(const std::string& text) {
    try {
        XmlDocument::from_text(text, "a.xml");
        return "";
    } catch (const InputError& error) {
        REQUIRE(error.diagnostics().size() == 1);
        return error.what();
    }
}

using PropertyTree = boost::property_tree::ptree;

void check_equal(const XmlDocument& document, int index, const PropertyTree& expected) {
    const XmlElement& element = document.element(index);
    std::size_t children = 0;
    std::size_t attributes = 0;
    for (const auto& [name, child] : expected) {
        if (name == "<xmlattr>") {
            for (const auto& [key, value] : child) {
                const XmlAttribute& ours = element.attributes.at(attributes++);
                CHECK(ours.name == key);
                CHECK(ours.value == value.data());
            }
        } else {
            const int ours = element.children.at(children++);
            CHECK(document.element(ours).name == name);
            check_equal(document, ours, child);
        }
    }
    CHECK(children == element.children.size());
    CHECK(attributes == element.attributes.size());
}

void check_as_property_tree(const std::string& text) {
    std::istringstream stream(text);
    PropertyTree tree;
    boost::property_tree::read_xml(stream, tree, boost::property_tree::xml_parser::no_comments);
    const XmlDocument document = XmlDocument::from_text(text, "a.xml");
    REQUIRE(tree.size() == 1);
    CHECK(document.element(0).name == tree.front().first);
    check_equal(document, 0, tree.front().second);
}

}  // namespace

TEST_CASE("xml: elements and attributes know where they stand", "[sim][import]") {
    const XmlDocument document = XmlDocument::from_text(
        "\n<!-- <a> -->\n<a b='1'>\n  <c/>\n  <c  d = \"x&amp;&lt;&gt;&quot;&apos;\">t</c>\n</a>\n",
        "a.xml");
    REQUIRE(document.elements().size() == 3);
    const Diagnostic at_attribute = document.diagnostic(2, "bad", "d");
    CHECK(render(at_attribute).substr(0, 32) == "a.xml:5:7: /a/c[2]/@d: bad\n     ");
    CHECK(document.diagnostic(1, "bad", "d").pointer == "/a/c[1]");
    CHECK(*document.element(2).attribute("d") == "x&<>\"'");
    CHECK(document.element(0).attribute("x") == nullptr);
    CHECK(document.location(document.element(2).text_offset).column == 40);
    CHECK_FALSE(document.has_declaration());
    CHECK(XmlDocument::from_text("<?xml version='1.0'?><a/>", "a.xml").has_declaration());
}

TEST_CASE("xml: what is not well formed is refused with its line", "[sim][import]") {
    const std::vector<std::pair<std::string, std::string>> cases{
        {"", "a.xml:1:1: holds no XML element"},
        {" \n ", "a.xml:2:2: holds no XML element"},
        {"{\"a\": 1}", "a.xml:1:1: text where an element is expected"},
        {"<a>\n<b>\n", "a.xml:3:1: /a/b: the file ends before '</b></a>'"},
        {"<a>\n<b", "a.xml:2:3: /a: the file ends inside a tag"},
        {"<a>\n<b c=\"", "a.xml:2:4: /a: this value has no closing quote"},
        {"<a>\n</b>", "a.xml:2:1: /a: </b> where </a> is expected"},
        {"</a>", "a.xml:1:1: </a> closes nothing"},
        {"<a/>\n<b/>", "a.xml:2:1: a second element at the top"},
        {"<a b=1/>", "a.xml:1:6: '\"' is expected before the value"},
        {"<a b/>", "a.xml:1:5: '=' is expected"},
        {"<a b=\"1\"c=\"2\"/>", "a.xml:1:9: white space is expected"},
        {"<a b=\"1\" b=\"2\"/>", "a.xml:1:10: attribute 'b' is given twice"},
        {"<a b=\"<\"/>", "a.xml:1:4: '<' inside a value"},
        {"<a b=\"&nbsp;\"/>", "a.xml:1:7: only &lt; &gt;"},
        {"<a><!-- b</a>", "a.xml:1:4: /a: this comment has no end"},
        {"<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "a.xml:1:1: DOCTYPE, ENTITY and CDATA"},
        {"<a><![CDATA[b]]></a>", "a.xml:1:4: /a: DOCTYPE, ENTITY and CDATA"},
        {"< a/>", "a.xml:1:2: the name of an element"},
        {"<a/ >", "a.xml:1:4: '>' is expected behind '/'"},
        {"<a>\xFF</a>", "a.xml:1:4: is not UTF-8 here"},
        {"<a>\x01</a>", "a.xml:1:4: holds a control character"},
        {std::string("<a>\0</a>", 8), "a.xml:1:4: holds a control character"},
        {"\xFF\xFE<", "a.xml:1:1: is UTF-16"},
    };
    for (const auto& [text, problem] : cases) {
        INFO(text);
        CHECK(xml_problem(text).substr(0, problem.size()) == problem);
    }
    CHECK(xml_problem("\xEF\xBB\xBF<a/>").empty());
}

TEST_CASE("xml: size and nesting are bounded", "[sim][import]") {
    const auto repeat = [](const std::string& text, int times) {
        std::string all;
        for (int i = 0; i < times; ++i) all += text;
        return all;
    };
    CHECK(xml_problem(repeat("<a>", 100) + repeat("</a>", 100)).empty());
    CHECK(contains(xml_problem(repeat("<a>", 1'000'000)), "nested deeper than 100"));
    CHECK(contains(xml_problem("<a>" + repeat("<b/>", 100'000) + "</a>"), "more than 100000"));
    std::string many = "<a";
    for (int i = 0; i < 101; ++i) many += " b" + std::to_string(i) + "='1'";
    CHECK(contains(xml_problem(many + "/>"), "more than 100 attributes"));
    CHECK(contains(xml_problem("<" + repeat("a", 101) + "/>"), "a name of more than 100 bytes"));
    CHECK(contains(xml_problem(repeat(" ", (16 << 20) + 1)), "is larger than 16 MiB"));
}

TEST_CASE("xml: files of the field are read as Boost.PropertyTree reads them", "[sim][import]") {
    const std::filesystem::path folder = data_root() / "tests" / "sim" / "data" / "nccl_topology";
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        INFO(entry.path());
        check_as_property_tree(read_file(entry.path()));
        ++files;
    }
    CHECK(files >= 5);
    check_as_property_tree(
        "<a b='&lt;&amp;&quot;' c=\"'\"><d/> text <d e=\"\"></d><!-- <f> --></a>");
}

}  // namespace r1
