// Document::from_text: nlohmann's parser drives; a cursor of our own over the text follows its
// events token by token, because the parser tells no positions (and reads numbers a byte late).
#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "model/base/check.hpp"
#include "model/base/json.hpp"

namespace r1 {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::size_t kSourceLineMax = 1000;  // a longer line is not worth showing
constexpr std::size_t kDuplicatesMax = 100;   // then the rest of the file is not looked at
constexpr std::size_t kHashedKeysMin = 32;    // smaller objects are searched faster than hashed

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_number_byte(char c) {
    return (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E';
}

// What ordered_map is below: its own operator[] and insertion search all keys each time.
using Members = Json::object_t::Container;

struct LineColumn {
    int line = 1;
    int column = 1;
};

// Walks over the tokens of the text; the caller knows from the parser's events what comes next.
class Cursor {
public:
    explicit Cursor(std::string_view text)
        : text_(text),
          at_(text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0),
          line_start_(at_),
          counted_to_(at_) {}

    // Start of the next token: white space, ',' and ':' make no events.
    [[nodiscard]] std::size_t peek() const {
        std::size_t at = at_;
        while (at < text_.size() && (is_space(text_[at]) || text_[at] == ',' || text_[at] == ':')) {
            ++at;
        }
        return at;
    }
    // Each moves behind a token and returns where it starts.
    std::size_t skip_bytes(std::size_t length) {
        const std::size_t start = peek();
        at_ = start + length;
        R1_CHECK(at_ <= text_.size());
        return start;
    }
    std::size_t skip_number() {
        const std::size_t start = peek();
        at_ = start;
        while (at_ < text_.size() && is_number_byte(text_[at_])) {
            ++at_;
        }
        R1_CHECK(at_ > start);
        return start;
    }
    std::size_t skip_string() {
        const std::size_t start = peek();
        R1_CHECK(start < text_.size() && text_[start] == '"');
        at_ = start + 1;
        while (at_ < text_.size() && text_[at_] != '"') {
            at_ += text_[at_] == '\\' ? 2U : 1U;
        }
        R1_CHECK(at_ < text_.size());
        ++at_;
        return start;
    }
    // True if only white space is left.
    [[nodiscard]] bool at_end() const {
        return std::all_of(text_.begin() + static_cast<std::ptrdiff_t>(at_), text_.end(), is_space);
    }
    // Offsets must not fall from call to call: each line is counted once.
    LineColumn locate(std::size_t offset) {
        R1_CHECK(offset >= counted_to_);
        const char* newline = nullptr;
        while (offset > counted_to_ &&
               (newline = static_cast<const char*>(std::memchr(text_.data() + counted_to_, '\n',
                                                               offset - counted_to_))) != nullptr) {
            counted_to_ = static_cast<std::size_t>(newline - text_.data()) + 1;
            line_start_ = counted_to_;
            ++line_;
        }
        counted_to_ = offset;
        return {line_, static_cast<int>(offset - line_start_) + 1};
    }

private:
    std::string_view text_;
    std::size_t at_;
    std::size_t line_start_;
    std::size_t counted_to_;
    int line_ = 1;
};

// A diagnostic at a byte of the text. Counts lines from the top: for errors only.
Diagnostic diagnostic_at(std::string_view text, std::size_t offset, const std::string& file,
                         std::string pointer, std::string message) {
    offset = std::min(offset, text.size());
    const LineColumn place = Cursor(text).locate(
        std::max(offset, text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0));
    Diagnostic diagnostic{
        {file, place.line, place.column}, std::move(pointer), std::move(message), {}};
    const std::size_t begin = offset - std::min(offset, static_cast<std::size_t>(place.column - 1));
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end - begin <= kSourceLineMax) {
        diagnostic.source_line = text.substr(begin, end - begin);
    }
    return diagnostic;
}

class LocatedParser final : public nlohmann::json_sax<Json> {
public:
    LocatedParser(std::string_view text, const std::string& file)
        : text_(text),
          file_(file),
          cursor_(text),
          is_located_(text.size() <= Document::kLocatedBytesMax) {}

    void parse() {
        // Without brackets to scan, nlohmann would call an empty file a syntax error.
        if (cursor_.at_end()) {
            errors_.push_back(diagnostic_at(text_, text_.size(), file_, "", "holds no JSON value"));
        } else if (Json::sax_parse(text_.begin(), text_.end(), this) && !cursor_.at_end()) {
            // nlohmann takes a NUL byte for the end of its input.
            fail(cursor_.peek(), "unexpected text after the document");
        }
        if (!errors_.empty()) {
            throw InputError(std::move(errors_));
        }
    }
    Json take_root() { return std::move(root_); }
    std::map<std::string, ValuePlace> take_places() { return std::move(places_); }
    [[nodiscard]] bool is_located() const { return is_located_; }

    bool null() override { return add(Json(nullptr), cursor_.skip_bytes(4)) != nullptr; }
    bool boolean(bool value) override {
        return add(Json(value), cursor_.skip_bytes(value ? 4 : 5)) != nullptr;
    }
    bool number_integer(number_integer_t value) override {
        return add(Json(value), cursor_.skip_number()) != nullptr;
    }
    bool number_unsigned(number_unsigned_t value) override {
        return add(Json(value), cursor_.skip_number()) != nullptr;
    }
    bool number_float(number_float_t value, const string_t& /*text*/) override {
        return add(Json(value), cursor_.skip_number()) != nullptr;
    }
    bool string(string_t& value) override {
        return add(Json(std::move(value)), cursor_.skip_string()) != nullptr;
    }
    bool binary(binary_t& /*value*/) override { return false; }
    bool start_object(std::size_t /*size*/) override { return open(Json::object()); }
    bool start_array(std::size_t /*size*/) override { return open(Json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(string_t& name) override;
    bool parse_error(std::size_t bytes_read, const std::string& last_token,
                     const nlohmann::detail::exception& error) override;

private:
    // An open array or object. Frames are kept when closed, so that their memory is reused.
    struct Frame {
        Json* container = nullptr;
        std::vector<std::size_t> key_offsets;                // of the members, in order
        std::unordered_map<std::string, std::size_t> index;  // key -> member, of large objects
        LineColumn key;                                      // of the last member
    };

    Frame& top() { return frames_[depth_ - 1]; }
    bool fail(std::size_t offset, std::string message) {
        errors_.push_back(diagnostic_at(text_, offset, file_, pointer(), std::move(message)));
        return false;
    }
    bool open(Json value);
    bool close() {
        cursor_.skip_bytes(1);
        --depth_;
        return true;
    }
    Json* add(Json value, std::size_t offset);
    void record(std::size_t offset);
    std::size_t first_member(Frame& frame, const std::string& name);
    [[nodiscard]] std::string pointer() const;

    std::string_view text_;
    const std::string& file_;
    Cursor cursor_;
    bool is_located_;
    Json root_;
    std::vector<Frame> frames_;
    std::size_t depth_ = 0;
    std::map<std::string, ValuePlace> places_;
    std::vector<Diagnostic> errors_;
};

bool LocatedParser::open(Json value) {
    const std::size_t offset = cursor_.skip_bytes(1);
    if (depth_ == static_cast<std::size_t>(Document::kMaxDepth)) {
        errors_.push_back(diagnostic_at(
            text_, offset, file_, "",
            "is nested deeper than " + std::to_string(Document::kMaxDepth) + " levels"));
        return false;
    }
    Json* container = add(std::move(value), offset);
    if (frames_.size() == depth_) {
        frames_.emplace_back();
    }
    ++depth_;
    top().container = container;
    top().key_offsets.clear();
    top().index.clear();
    return true;
}

// Elements are appended only to the innermost container, so pointers to the outer ones hold.
Json* LocatedParser::add(Json value, std::size_t offset) {
    Json* place = &root_;
    if (depth_ > 0) {
        Json& container = *top().container;
        if (container.is_array()) {
            container.get_ref<Json::array_t&>().emplace_back();
            place = &container.get_ref<Json::array_t&>().back();
        } else {
            place = &container.get_ref<Json::object_t&>().back().second;
        }
    }
    *place = std::move(value);
    record(offset);
    return place;
}

void LocatedParser::record(std::size_t offset) {
    if (!is_located_) {
        return;
    }
    if (places_.size() == Document::kLocatedValuesMax) {
        is_located_ = false;
        places_.clear();
        return;
    }
    const LineColumn at = cursor_.locate(offset);
    ValuePlace place{{file_, at.line, at.column}, 0, 0};
    if (depth_ > 0 && top().container->is_object()) {
        place.key_line = top().key.line;
        place.key_column = top().key.column;
    }
    places_[pointer()] = std::move(place);
}

// Where the first member of that name stands in the object, the new one (not yet added) included.
std::size_t LocatedParser::first_member(Frame& frame, const std::string& name) {
    const Members& members = frame.container->get_ref<const Json::object_t&>();
    if (members.size() < kHashedKeysMin) {
        std::size_t i = 0;
        while (i < members.size() && members[i].first != name) {
            ++i;
        }
        return i;
    }
    if (frame.index.empty()) {
        for (std::size_t i = 0; i < members.size(); ++i) {
            frame.index.emplace(members[i].first, i);
        }
    }
    return frame.index.emplace(name, members.size()).first->second;
}

bool LocatedParser::key(string_t& name) {
    const std::size_t offset = cursor_.skip_string();
    Frame& frame = top();
    if (is_located_) {
        frame.key = cursor_.locate(offset);
    }
    const std::size_t first = first_member(frame, name);
    Members& members = frame.container->get_ref<Json::object_t&>();
    const bool is_duplicate = first < members.size();
    members.emplace_back(std::move(name), Json());
    frame.key_offsets.push_back(offset);
    if (!is_duplicate) {
        return true;
    }
    const Location defined = diagnostic_at(text_, frame.key_offsets[first], file_, "", "").location;
    fail(offset, "duplicate key " + quote(members.back().first) + ", first defined at line " +
                     std::to_string(defined.line) + ", column " + std::to_string(defined.column));
    return errors_.size() < kDuplicatesMax;
}

bool LocatedParser::parse_error(std::size_t bytes_read, const std::string& /*last_token*/,
                                const nlohmann::detail::exception& error) {
    constexpr int kNumberOverflow = 406;
    const std::size_t token = cursor_.peek();
    if (error.id == kNumberOverflow) {
        std::size_t end = token;
        while (end < text_.size() && is_number_byte(text_[end])) {
            ++end;
        }
        const std::string_view number = text_.substr(token, end - token);
        errors_.push_back(
            diagnostic_at(text_, token, file_, "", "number " + quote(number) + " is too large"));
        return false;
    }
    // "[json...] parse error at line 1, column 2: syntax error while parsing object key - what
    // is wrong; last read: 'the text'": the middle is what a user needs.
    std::string message = error.what();
    message.erase(0, std::min(message.find("syntax error"), message.size()));
    message.erase(std::min(message.find("; last read"), message.size()));
    if (const auto dash = message.find(" - "); dash != std::string::npos) {
        message.replace(dash, 3, ": ");
    }
    // The last byte read is the wrong one, but for whole tokens that have no business here.
    std::size_t offset = std::min(bytes_read - std::min<std::size_t>(bytes_read, 1), text_.size());
    constexpr std::string_view kUnexpected = "unexpected ";
    const auto named = message.find(kUnexpected);
    const std::string_view name = std::string_view(message).substr(
        named == std::string::npos ? message.size() : named + kUnexpected.size());
    if (!name.empty() && !name.starts_with('\'') && !name.starts_with("end of input")) {
        offset = std::min(offset, token);
    }
    const bool is_closing = offset < text_.size() && (text_[offset] == '}' || text_[offset] == ']');
    std::size_t before = offset;
    while (before > 0 && is_space(text_[before - 1])) {
        --before;
    }
    if (is_closing && before > 0 && text_[before - 1] == ',') {
        message += " (remove the comma before it)";
    }
    errors_.push_back(diagnostic_at(text_, offset, file_, "", std::move(message)));
    return false;
}

// Of the value added last: every frame's child is the last element of its container.
std::string LocatedParser::pointer() const {
    std::string out;
    for (std::size_t i = 0; i < depth_; ++i) {
        const Json& container = *frames_[i].container;
        if (container.is_object()) {
            const Members& members = container.get_ref<const Json::object_t&>();
            out = members.empty() ? out : join_pointer(out, members.back().first);
        } else if (!container.empty()) {
            out += "/" + std::to_string(container.size() - 1);
        }
    }
    return out;
}

std::vector<std::string> split_lines(std::string_view text) {
    text.remove_prefix(text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0);
    std::vector<std::string> lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        line.remove_suffix(line.ends_with('\r') ? 1 : 0);
        lines.emplace_back(line.size() <= kSourceLineMax ? line : std::string_view());
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

}  // namespace

Document Document::from_file(const std::filesystem::path& file) {
    return from_text(read_file(file, kMaxBytes), file.string());
}

Document Document::from_text(std::string_view text, std::string file_name) {
    if (text.size() > kMaxBytes) {
        throw InputError(std::move(file_name),
                         "is larger than " + std::to_string(kMaxBytes >> 20) + " MiB");
    }
    LocatedParser parser(text, file_name);
    parser.parse();
    Document document;
    document.root_ = parser.take_root();
    if (parser.is_located()) {
        document.places_ = parser.take_places();
        document.source_lines_[file_name] = split_lines(text);
    } else {
        document.places_[""] = ValuePlace{{file_name, 0, 0}, 0, 0};
    }
    document.file_ = std::move(file_name);
    return document;
}

}  // namespace r1
