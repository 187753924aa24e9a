#include "model/tokenizer/split_pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <new>

#include "model/base/check.hpp"
#include "model/tokenizer/utf8.hpp"

namespace r1 {

namespace {

constexpr std::size_t kPatternMax = 65'536;
constexpr std::uint32_t kMatchStepsMax = 50'000'000;  // for one match: half a second
constexpr std::uint32_t kHeapKibMax = 64 * 1024;      // a piece of megabytes backtracks on the heap

// Unicode 15, property White_Space.
constexpr std::string_view kSpaces =
    R"(\t-\r\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

std::string error_text(int error) {
    std::array<unsigned char, 256> buffer{};
    pcre2_get_error_message(error, buffer.data(), buffer.size());
    return reinterpret_cast<const char*>(buffer.data());
}

struct FreeMatchData {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeCompileContext {
    void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

}  // namespace

std::string spell_out_spaces(std::string_view pattern) {
    std::string out;
    bool in_class = false;
    std::size_t class_start = 0;  // in `out`, behind '[' and '^'
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const char c = pattern[i];
        if (c == '\\' && i + 1 < pattern.size()) {
            const char escaped = pattern[++i];
            if (escaped == 's') {
                out += in_class ? std::string(kSpaces) : "[" + std::string(kSpaces) + "]";
            } else if (escaped == 'S' && !in_class) {
                out += "[^" + std::string(kSpaces) + "]";
            } else {
                out += {c, escaped};
            }
        } else if (!in_class && c == '[') {
            in_class = true;
            out += pattern.substr(i, 2) == "[^" ? "[^" : "[";
            i += out.back() == '^' ? 1 : 0;
            class_start = out.size();
        } else if (in_class && pattern.substr(i, 2) == "[:") {
            // A POSIX class within the class ends with its own bracket.
            const std::size_t end = pattern.find(":]", i + 2);
            const std::size_t length = end == std::string_view::npos ? 1 : end + 2 - i;
            out += pattern.substr(i, length);
            i += length - 1;
        } else {
            in_class = in_class && (c != ']' || out.size() == class_start);  // "[]a]" holds ']'
            out += c;
        }
    }
    return out;
}

struct SplitPattern::Code {
    struct Free {
        void operator()(pcre2_code* code) const { pcre2_code_free(code); }
        void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
    };
    std::unique_ptr<pcre2_code, Free> compiled;
    std::unique_ptr<pcre2_match_context, Free> context;
};

SplitPattern::SplitPattern(const std::string& pattern) : code_(std::make_unique<Code>()) {
    if (pattern.size() > kPatternMax) {
        throw PatternError{"longer than " + std::to_string(kPatternMax) + " bytes"};
    }
    const std::string text = spell_out_spaces(pattern);
    const std::unique_ptr<pcre2_compile_context, FreeCompileContext> limits(
        pcre2_compile_context_create(nullptr));
    code_->context.reset(pcre2_match_context_create(nullptr));
    if (limits == nullptr || code_->context == nullptr) {
        throw std::bad_alloc();
    }
    pcre2_set_parens_nest_limit(limits.get(), 100);  // the compiler recurses
    // \C would match single bytes, and pieces would no longer be UTF-8.
    const std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    int error = 0;
    std::size_t offset = 0;
    code_->compiled.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                        options, &error, &offset, limits.get()));
    if (code_->compiled == nullptr) {
        throw PatternError{error_text(error)};
    }
    pcre2_set_match_limit(code_->context.get(), kMatchStepsMax);
    pcre2_set_heap_limit(code_->context.get(), kHeapKibMax);
}

SplitPattern::~SplitPattern() = default;
SplitPattern::SplitPattern(SplitPattern&&) noexcept = default;
SplitPattern& SplitPattern::operator=(SplitPattern&&) noexcept = default;

void SplitPattern::split(std::string_view text, std::vector<std::string_view>& pieces) const {
    const std::unique_ptr<pcre2_match_data, FreeMatchData> match(
        pcre2_match_data_create_from_pattern(code_->compiled.get(), nullptr));
    if (match == nullptr) {
        throw std::bad_alloc();
    }
    const auto add = [&](std::size_t begin, std::size_t end) {
        if (begin < end) {
            pieces.push_back(text.substr(begin, end - begin));
        }
    };
    std::size_t cut = 0;   // everything before is in pieces
    std::size_t from = 0;  // where to look; beyond `cut` after an empty match
    while (from <= text.size()) {
        // The check of the whole text for each match would make this quadratic; we checked.
        const int found =
            pcre2_match(code_->compiled.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                        text.size(), from, PCRE2_NO_UTF_CHECK, match.get(), code_->context.get());
        if (found == PCRE2_ERROR_NOMATCH) {
            break;
        }
        if (found < 0) {
            throw PatternError{error_text(found)};
        }
        const std::size_t* range = pcre2_get_ovector_pointer(match.get());
        const std::size_t begin = range[0];
        const std::size_t end = range[1];
        if (begin > end || begin < cut) {
            throw PatternError{"a match that lies before its start (\\K in a look-around)"};
        }
        add(cut, begin);  // an empty match cuts, too
        add(begin, end);
        cut = end;
        from = end;
        if (begin == end) {
            from += end < text.size() ? utf8_step(text.substr(end)).length : 1;
        }
    }
    add(cut, text.size());
}

}  // namespace r1
