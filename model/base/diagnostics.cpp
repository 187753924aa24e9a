#include "model/base/diagnostics.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <new>

#include "model/base/exit_code.hpp"

namespace r1 {

namespace {

constexpr std::size_t kSourceWidthMax = 96;  // bytes of a source line that are shown
constexpr std::size_t kQuotedMax = 80;
constexpr std::size_t kSuggestionMax = 100;  // longer words get no suggestion: edit distance is n^2

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

// Bytes of the well-formed UTF-8 character at `at`; 0 if there is none. Overlong forms are let
// through: terminals cope with them, they do not cope with broken sequences.
std::size_t utf8_length(std::string_view text, std::size_t at) {
    const auto lead = static_cast<unsigned char>(text[at]);
    std::size_t length = 0;
    if (lead < 0x80U) {
        length = 1;
    } else if (lead >= 0xC2U && lead < 0xE0U) {
        length = 2;
    } else if (lead >= 0xE0U && lead < 0xF0U) {
        length = 3;
    } else if (lead >= 0xF0U && lead < 0xF5U) {
        length = 4;
    }
    if (length == 0 || at + length > text.size()) {
        return 0;
    }
    const auto rest = text.substr(at + 1, length - 1);
    return std::all_of(rest.begin(), rest.end(), is_continuation) ? length : 0;
}

// The part of the line around the column, and a caret under it.
std::string source_excerpt(const std::string& source_line, int column) {
    const std::string line = printable(source_line, "\t");
    const std::size_t caret = std::min(static_cast<std::size_t>(column - 1), line.size());
    std::size_t begin = caret > kSourceWidthMax * 3 / 4 && line.size() > kSourceWidthMax
                            ? caret - kSourceWidthMax / 2
                            : 0;
    std::size_t end = std::min(begin + kSourceWidthMax, line.size());
    while (begin < caret && is_continuation(line[begin])) {
        ++begin;
    }
    while (end < line.size() && end > caret && is_continuation(line[end])) {
        --end;
    }
    const std::string cut_left = begin > 0 ? "..." : "";
    std::string out = "\n    " + cut_left + line.substr(begin, end - begin);
    out += end < line.size() ? "...\n    " : "\n    ";
    out += std::string(cut_left.size(), ' ');
    for (std::size_t i = begin; i < caret; ++i) {
        if (!is_continuation(line[i])) {
            out += line[i] == '\t' ? '\t' : ' ';  // a tab below a tab keeps the caret in place
        }
    }
    return out + "^";
}

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// Damerau-Levenshtein distance (insert, delete, replace, swap of neighbours), ignoring case.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> previous(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) {
        previous[j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
            row[j] = std::min({previous[j] + 1, row[j - 1] + 1, previous[j - 1] + replaced});
            const bool is_swap = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                                 lower(a[i - 2]) == lower(b[j - 1]);
            if (is_swap) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        before.swap(previous);
        previous.swap(row);
    }
    return previous[b.size()];
}

}  // namespace

void Diagnostics::throw_if_errors() const {
    if (!ok()) {
        throw InputError(errors_);
    }
}

InputError::InputError(std::vector<Diagnostic> diagnostics)
    : std::runtime_error(render(diagnostics)), diagnostics_(std::move(diagnostics)) {}

InputError::InputError(std::string file, std::string message)
    : InputError(std::vector<Diagnostic>{
          Diagnostic{Location{std::move(file), 0, 0}, {}, std::move(message), {}}}) {}

ExitCode exit_code_of(const std::exception& error) {
    if (dynamic_cast<const InputError*>(&error) != nullptr ||
        dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {  // an input too large for us
        return kInvalidInput;
    }
    if (dynamic_cast<const InfeasibleError*>(&error) != nullptr) {
        return kInfeasible;
    }
    return dynamic_cast<const FeatureError*>(&error) != nullptr ? kFeatureMissing : kInternalError;
}

std::string render(const Diagnostic& diagnostic) {
    const Location& location = diagnostic.location;
    std::string out = location.file;
    if (location.line > 0) {
        out += out.empty() ? "line " : ":";
        out += std::to_string(location.line);
        if (location.column > 0) {
            out += ":" + std::to_string(location.column);
        }
    }
    if (!out.empty()) {
        out += ": ";
    }
    if (!diagnostic.pointer.empty()) {
        out += diagnostic.pointer + ": ";
    }
    out = printable(out + diagnostic.message);
    if (location.column > 0 && !diagnostic.source_line.empty()) {
        out += source_excerpt(diagnostic.source_line, location.column);
    }
    return out;
}

std::string render(const std::vector<Diagnostic>& diagnostics) {
    std::string out;
    for (const Diagnostic& diagnostic : diagnostics) {
        out += (out.empty() ? "" : "\n") + render(diagnostic);
    }
    return out;
}

std::string printable(std::string_view text, std::string_view keep) {
    std::string clean(text);
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t length = utf8_length(text, i);
        const auto byte = static_cast<unsigned char>(text[i]);
        const bool is_control = byte < 0x20U || byte == 0x7FU;
        if (length == 0 || (is_control && keep.find(text[i]) == std::string_view::npos)) {
            clean[i] = '?';
        } else if (byte == 0xC2U && static_cast<unsigned char>(text[i + 1]) < 0xA0U) {
            clean.replace(i, 2, "??");  // U+0080 to U+009F, which some terminals obey
        }
        i += std::max<std::size_t>(length, 1);
    }
    return clean;
}

std::string quote(std::string_view word) {
    if (word.size() <= kQuotedMax) {
        return "'" + std::string(word) + "'";
    }
    std::size_t end = kQuotedMax;
    while (end > 0 && is_continuation(word[end])) {
        --end;
    }
    return "'" + std::string(word.substr(0, end)) + "...'";
}

namespace {

// A longer candidate whose beginning is the word, within a quarter of its length: our keys end in
// their units, and people leave those out.
const std::string* begins_like(std::string_view word, const std::vector<std::string>& candidates) {
    const std::string* closest = nullptr;
    std::size_t closest_distance = word.size() / 4 + 1;
    for (const std::string& candidate : candidates) {
        if (candidate.size() > word.size()) {
            const std::size_t distance =
                edit_distance(word, std::string_view(candidate).substr(0, word.size()));
            if (distance < closest_distance) {
                closest = &candidate;
                closest_distance = distance;
            }
        }
    }
    return closest;
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
    if (word.empty() || word.size() > kSuggestionMax) {
        return "";
    }
    const std::string* closest = nullptr;
    std::size_t closest_distance = word.size() / 3 + 1;
    for (const std::string& candidate : candidates) {
        const std::size_t longer = std::max(word.size(), candidate.size());
        const std::size_t shorter = std::min(word.size(), candidate.size());
        if (longer - shorter >= closest_distance) {
            continue;  // the lengths alone are too far apart
        }
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < closest_distance) {
            closest = &candidate;
            closest_distance = distance;
        }
    }
    if (closest == nullptr && word.size() >= 4) {
        closest = begins_like(word, candidates);
    }
    return closest == nullptr ? "" : ", did you mean " + quote(*closest) + "?";
}

}  // namespace r1
