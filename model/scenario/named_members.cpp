#include "model/scenario/named_members.hpp"

#include <algorithm>

namespace r1 {

std::filesystem::path named_from(const Document& document, const std::string& pointer,
                                 const std::filesystem::path& base) {
    return document.location(pointer).file == kSetOption ? std::filesystem::path() : base;
}

bool lies_below(const std::string& pointer, const std::vector<Diagnostic>& causes) {
    return std::any_of(causes.begin(), causes.end(), [&](const Diagnostic& cause) {
        return !cause.pointer.empty() && (pointer + "/").starts_with(cause.pointer + "/");
    });
}

void apply_override(Document& document, const Override& override_,
                    std::vector<Diagnostic>& problems) {
    if (!lies_below(override_.pointer, problems) &&
        !document.set(override_.pointer, override_.value, override_.location)) {
        problems.push_back(
            {override_.location, override_.pointer,
             "runs through a value that is not an object, or past the end of an array", ""});
    }
}

}  // namespace r1
