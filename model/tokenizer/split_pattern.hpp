// A regular expression that cuts text into its matches and the gaps between them ("Split" with
// behaviour "Isolated" of Hugging Face's tokenizers). PCRE2 with Unicode properties.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace r1 {

class SplitPattern {
public:
    // Throws PatternError.
    explicit SplitPattern(const std::string& pattern);
    ~SplitPattern();
    SplitPattern(SplitPattern&&) noexcept;
    SplitPattern& operator=(SplitPattern&&) noexcept;
    SplitPattern(const SplitPattern&) = delete;
    SplitPattern& operator=(const SplitPattern&) = delete;

    // Appends the pieces of `text`, which is valid UTF-8, in order; none is empty, together they
    // are the text. Throws PatternError if the expression needs too many steps on this text.
    void split(std::string_view text, std::vector<std::string_view>& pieces) const;

private:
    struct Code;
    std::unique_ptr<Code> code_;
};

struct PatternError {
    std::string message;
};

// `\s` and `\S` mean Unicode's White_Space to the library that the patterns are written for; PCRE2
// adds U+180E. This spells them out; `\S` within a class is left as it is.
std::string spell_out_spaces(std::string_view pattern);

}  // namespace r1
