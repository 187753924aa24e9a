#include "sim/hardware/import/xml.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "model/base/index.hpp"
#include "model/tokenizer/utf8.hpp"

namespace r1 {
namespace {

constexpr std::string_view kXmlByteOrderMark = "\xEF\xBB\xBF";
constexpr std::size_t kXmlLineMax = 1000;  // a longer line is not worth showing

bool is_xml_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Names of other alphabets count as letters; which of them XML allows does not matter here.
bool is_xml_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':' || static_cast<unsigned char>(c) >= 0x80U;
}

}  // namespace

// One pass over the text with a stack of open elements: nesting costs no recursion.
class XmlParser {
public:
    explicit XmlParser(XmlDocument& document) : document_(document), text_(document.text_) {}

    void parse() {
        check_characters();
        at_ = text_.starts_with(kXmlByteOrderMark) ? kXmlByteOrderMark.size() : 0;
        while (at_ < text_.size()) {
            text_[at_] == '<' ? markup() : characters();
        }
        if (!open_.empty()) {
            std::string names;
            for (const int index : open_) {
                names.insert(0, fmt::format("</{}>", document_.element(index).name));
            }
            fail(at_, "the file ends before " + quote(names) + ": it is cut short");
        }
        if (document_.elements_.empty()) fail(at_, "holds no XML element");
    }

private:
    [[noreturn]] void fail(std::size_t offset, std::string message) const {
        std::string path = open_.empty() ? "" : document_.path(open_.back());
        throw InputError({document_.diagnostic_at(offset, std::move(path), std::move(message))});
    }

    void check_characters() const {
        if (text_.size() > XmlDocument::kMaxBytes) {
            throw InputError(document_.file_,
                             fmt::format("is larger than {} MiB", XmlDocument::kMaxBytes >> 20));
        }
        if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF")) {
            fail(0, "is UTF-16: save it as UTF-8");
        }
        if (const auto bad = utf8_error(text_)) fail(*bad, "is not UTF-8 here");
        const auto control = std::find_if(text_.begin(), text_.end(), [](char c) {
            return static_cast<unsigned char>(c) < 0x20U && !is_xml_space(c);
        });
        if (control != text_.end()) {
            fail(at(control - text_.begin()), "holds a control character: this is no text file");
        }
    }

    void characters() {
        if (!is_xml_space(text_[at_])) {
            if (open_.empty()) fail(at_, "text where an element is expected: this is no XML");
            XmlElement& parent = document_.elements_[at(open_.back())];
            if (parent.text_offset == 0) parent.text_offset = at_;
            at_ = std::min(text_.find('<', at_), text_.size());
        } else {
            ++at_;
        }
    }

    void markup() {
        const std::string_view rest = std::string_view(text_).substr(at_);
        if (rest.starts_with("<!--")) {
            skip_past(4, "-->", "comment");
        } else if (rest.starts_with("<?")) {
            document_.has_declaration_ = true;
            skip_past(2, "?>", "<?");
        } else if (rest.starts_with("<!")) {
            fail(at_, "DOCTYPE, ENTITY and CDATA are refused: topology files have none");
        } else if (rest.starts_with("</")) {
            end_tag();
        } else {
            start_tag();
        }
    }

    void skip_past(std::size_t begin, std::string_view end, std::string_view what) {
        const std::size_t found = text_.find(end, at_ + begin);
        if (found == std::string::npos) fail(at_, fmt::format("this {} has no end", what));
        at_ = found + end.size();
    }

    void skip_space() {
        while (at_ < text_.size() && is_xml_space(text_[at_])) ++at_;
    }

    std::string name(std::string_view of) {
        const std::size_t begin = at_;
        while (at_ < text_.size() && is_xml_name(text_[at_])) ++at_;
        if (at_ == begin) {
            fail(at_, at_ == text_.size() ? "the file ends inside a tag: it is cut short"
                                          : fmt::format("the name of {} is expected here", of));
        }
        if (at_ - begin > XmlDocument::kMaxName) {
            fail(begin, fmt::format("a name of more than {} bytes", XmlDocument::kMaxName));
        }
        return text_.substr(begin, at_ - begin);
    }

    void expect(char wanted, std::string_view where) {
        if (at_ == text_.size()) fail(at_, "the file ends inside a tag: it is cut short");
        if (text_[at_] != wanted) fail(at_, fmt::format("'{}' is expected {}", wanted, where));
        ++at_;
    }

    void end_tag() {
        const std::size_t begin = at_;
        at_ += 2;
        const std::string closed = name("an element");
        skip_space();
        expect('>', "at the end of a closing tag");
        if (open_.empty()) fail(begin, fmt::format("</{}> closes nothing", closed));
        const XmlElement& element = document_.element(open_.back());
        if (element.name != closed) {
            fail(begin, fmt::format("</{}> where </{}> is expected, for the element of line {}",
                                    closed, element.name, document_.location(element.offset).line));
        }
        open_.pop_back();
    }

    void start_tag() {
        if (open_.empty() && !document_.elements_.empty()) {
            fail(at_, "a second element at the top: XML has one root");
        }
        if (document_.elements_.size() == XmlDocument::kMaxElements) {
            fail(at_, fmt::format("more than {} elements", XmlDocument::kMaxElements));
        }
        if (open_.size() == static_cast<std::size_t>(XmlDocument::kMaxDepth)) {
            fail(at_, fmt::format("nested deeper than {} elements", XmlDocument::kMaxDepth));
        }
        XmlElement element;
        element.offset = at_++;
        element.name = name("an element");
        element.parent = open_.empty() ? -1 : open_.back();
        const bool is_empty = attributes(element);
        const int index = static_cast<int>(document_.elements_.size());
        if (element.parent >= 0) {
            document_.elements_[at(element.parent)].children.push_back(index);
        }
        document_.elements_.push_back(std::move(element));
        if (!is_empty) open_.push_back(index);
    }

    // Up to the '>'; true if the element ends there ("/>").
    bool attributes(XmlElement& element) {
        while (true) {
            const std::size_t before = at_;
            skip_space();
            if (at_ < text_.size() && text_[at_] == '>') {
                ++at_;
                return false;
            }
            if (at_ < text_.size() && text_[at_] == '/') {
                ++at_;
                expect('>', "behind '/'");
                return true;
            }
            if (at_ < text_.size() && at_ == before) fail(at_, "white space is expected here");
            if (element.attributes.size() == XmlDocument::kMaxAttributes) {
                fail(at_, fmt::format("more than {} attributes", XmlDocument::kMaxAttributes));
            }
            attribute(element);
        }
    }

    void attribute(XmlElement& element) {
        XmlAttribute attribute;
        attribute.offset = at_;
        attribute.name = name("an attribute");
        if (element.attribute(attribute.name) != nullptr) {
            fail(attribute.offset,
                 fmt::format("attribute {} is given twice", quote(attribute.name)));
        }
        skip_space();
        expect('=', "behind the name of an attribute");
        skip_space();
        const char mark = at_ < text_.size() && text_[at_] == '\'' ? '\'' : '"';
        expect(mark, "before the value of an attribute");
        const std::size_t end = text_.find(mark, at_);
        if (end == std::string::npos) fail(attribute.offset, "this value has no closing quote");
        if (text_.find('<', at_) < end) fail(attribute.offset, "'<' inside a value");
        while (at_ < end) {
            attribute.value += text_[at_] == '&' ? entity() : text_[at_++];
        }
        ++at_;
        element.attributes.push_back(std::move(attribute));
    }

    char entity() {
        static constexpr std::array<std::pair<std::string_view, char>, 5> kEntities{
            {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}}};
        for (const auto& [spelling, character] : kEntities) {
            if (std::string_view(text_).substr(at_).starts_with(spelling)) {
                at_ += spelling.size();
                return character;
            }
        }
        fail(at_, "only &lt; &gt; &amp; &quot; and &apos; are known here");
    }

    XmlDocument& document_;
    const std::string& text_;
    std::size_t at_ = 0;
    std::vector<int> open_;  // indices of the elements that are not closed yet
};

const std::string* XmlElement::attribute(std::string_view attribute_name) const {
    for (const XmlAttribute& candidate : attributes) {
        if (candidate.name == attribute_name) return &candidate.value;
    }
    return nullptr;
}

XmlDocument XmlDocument::from_text(std::string text, std::string file_name) {
    XmlDocument document;
    document.text_ = std::move(text);
    document.file_ = std::move(file_name);
    document.line_starts_.push_back(0);
    for (std::size_t i = 0; i < document.text_.size(); ++i) {
        if (document.text_[i] == '\n') document.line_starts_.push_back(i + 1);
    }
    XmlParser(document).parse();
    return document;
}

const XmlElement& XmlDocument::element(int index) const { return elements_[at(index)]; }

Location XmlDocument::location(std::size_t offset) const {
    const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
    const std::size_t start = *std::prev(next);
    return Location{file_, static_cast<int>(next - line_starts_.begin()),
                    static_cast<int>(offset - start) + 1};
}

std::string XmlDocument::path(int index) const {
    std::string out;
    for (int i = index; i >= 0; i = element(i).parent) {
        const XmlElement& here = element(i);
        std::string step = "/" + here.name;
        if (here.parent >= 0) {
            int position = 0;
            int count = 0;
            for (const int sibling : element(here.parent).children) {
                if (element(sibling).name != here.name) continue;
                ++count;
                if (sibling <= i) ++position;
            }
            if (count > 1) step += fmt::format("[{}]", position);
        }
        out.insert(0, step);
    }
    return out;
}

Diagnostic XmlDocument::diagnostic(int index, std::string message,
                                   std::string_view attribute_name) const {
    const XmlElement& here = element(index);
    for (const XmlAttribute& attribute : here.attributes) {
        if (attribute.name == attribute_name) {
            return diagnostic_at(attribute.offset, path(index) + "/@" + attribute.name,
                                 std::move(message));
        }
    }
    return diagnostic_at(here.offset, path(index), std::move(message));
}

Diagnostic XmlDocument::diagnostic_at(std::size_t offset, std::string path,
                                      std::string message) const {
    Location where = location(offset);
    const std::size_t begin = line_starts_[at(where.line - 1)];
    const std::size_t end = std::min(text_.find('\n', begin), text_.size());
    std::string line = end - begin <= kXmlLineMax ? text_.substr(begin, end - begin) : "";
    return Diagnostic{std::move(where), std::move(path), std::move(message), std::move(line)};
}

}  // namespace r1
