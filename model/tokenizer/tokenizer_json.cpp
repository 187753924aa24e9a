#include "model/tokenizer/tokenizer_json.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "model/base/json.hpp"
#include "model/tokenizer/byte_level.hpp"
#include "model/tokenizer/utf8.hpp"

namespace r1 {

namespace {

constexpr std::int64_t kIdMax = 1 << 21;       // the entries are a table by id; R1: 128,814
constexpr std::size_t kProblemsMax = 100;      // a damaged vocabulary has thousands
constexpr std::size_t kAddedBytesMax = 1'000;  // of one added token

// What ByteLevel splits by with use_regex true: GPT-2's pattern (encoder.py).
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class Reader {
public:
    explicit Reader(const Document& document) : document_(document) {}

    TokenizerParts read() {
        if (!document_.root().is_object()) {
            error("", "a tokenizer must be a JSON object");
            diagnostics_.throw_if_errors();
        }
        refuse_unless_null("/truncation");
        refuse_unless_null("/padding");
        read_normalizer();
        read_pre_tokenizer();
        require_type("/post_processor", "ByteLevel", true);
        require_type("/decoder", "ByteLevel", false);
        read_model();
        diagnostics_.throw_if_errors();
        read_added_tokens();
        read_byte_tokens();
        read_merges();
        diagnostics_.throw_if_errors();
        return std::move(parts_);
    }

private:
    void error(const std::string& pointer, const std::string& message) {
        if (diagnostics_.errors().size() < kProblemsMax) {
            diagnostics_.error(document_.diagnostic(pointer, message));
        }
    }

    // nullptr if absent or null.
    [[nodiscard]] const Json* value(const std::string& pointer) const {
        const Json* found = document_.find(pointer);
        return found == nullptr || found->is_null() ? nullptr : found;
    }

    [[nodiscard]] std::string type_of(const std::string& pointer) const {
        const Json* type = value(pointer + "/type");
        return type != nullptr && type->is_string() ? type->get<std::string>() : "";
    }

    void refuse_unless_null(const std::string& pointer) {
        if (value(pointer) != nullptr) {
            error(pointer, "is not supported, must be null");
        }
    }

    // Absent, null and false are the same here.
    void refuse_if_true(const std::string& pointer) {
        const Json* found = value(pointer);
        if (found != nullptr && *found != Json(false)) {
            error(pointer, "is not supported, must be false");
        }
    }

    void require_type(const std::string& pointer, const char* type, bool is_optional) {
        if (!(is_optional && value(pointer) == nullptr) && type_of(pointer) != type) {
            error(pointer,
                  std::string("must be of type ") + type + ", other types are not supported");
        }
    }

    void read_normalizer() {
        if (value("/normalizer") == nullptr) {
            return;
        }
        const Json* steps = value("/normalizer/normalizers");
        if (type_of("/normalizer") != "Sequence" || steps == nullptr || !steps->is_array() ||
            !steps->empty()) {
            error("/normalizer", "must be null or an empty Sequence, others are not supported");
        }
    }

    void read_pre_tokenizer() {
        const std::string pointer = "/pre_tokenizer";
        if (type_of(pointer) != "Sequence") {
            read_pre_tokenizer_step(pointer, true);
            return;
        }
        const Json* steps = value(pointer + "/pretokenizers");
        if (steps == nullptr || !steps->is_array() || steps->empty()) {
            error(pointer, "pretokenizers must be a list with a ByteLevel at its end");
            return;
        }
        for (std::size_t i = 0; i < steps->size(); ++i) {
            read_pre_tokenizer_step(pointer + "/pretokenizers/" + std::to_string(i),
                                    i + 1 == steps->size());
        }
    }

    void read_pre_tokenizer_step(const std::string& pointer, bool is_last) {
        const std::string type = type_of(pointer);
        if (type != (is_last ? "ByteLevel" : "Split")) {
            error(pointer, std::string("must be of type ") + (is_last ? "ByteLevel" : "Split") +
                               ", other types are not supported here");
        } else if (is_last) {
            refuse_if_true(pointer + "/add_prefix_space");
            const Json* use_regex = value(pointer + "/use_regex");
            if (use_regex == nullptr || *use_regex != Json(false)) {  // the library's default
                add_split(pointer, kGpt2Pattern);
            }
        } else {
            const Json* pattern = value(pointer + "/pattern/Regex");
            if (pattern == nullptr || !pattern->is_string()) {
                error(pointer, "needs a pattern of kind Regex, others are not supported");
                return;
            }
            const Json* behavior = value(pointer + "/behavior");
            if (behavior == nullptr || *behavior != Json("Isolated")) {
                error(pointer + "/behavior", "must be Isolated, others are not supported");
            }
            refuse_if_true(pointer + "/invert");
            add_split(pointer + "/pattern/Regex", pattern->get<std::string>());
        }
    }

    void add_split(const std::string& pointer, const std::string& pattern) {
        try {
            parts_.splits.emplace_back(pattern);
        } catch (const PatternError& problem) {
            error(pointer, "not a regular expression that PCRE2 takes: " + problem.message);
        }
    }

    void read_model() {
        if (type_of("/model") != "BPE") {
            error("/model", "must be of type BPE, other types are not supported");
            return;
        }
        refuse_unless_null("/model/dropout");
        refuse_if_true("/model/byte_fallback");
        refuse_if_true("/model/ignore_merges");
        for (const char* key : {"/model/continuing_subword_prefix", "/model/end_of_word_suffix"}) {
            const Json* affix = value(key);
            if (affix != nullptr && *affix != Json("")) {
                error(key, "is not supported, must be null");
            }
        }
        const Json* vocabulary = value("/model/vocab");
        if (vocabulary == nullptr || !vocabulary->is_object() || vocabulary->empty()) {
            error("/model/vocab", "must be an object of ids by entry");
            return;
        }
        ids_.reserve(vocabulary->size());
        for (const auto& [entry, id] : vocabulary->items()) {
            add_entry("/model/vocab", entry, id);
        }
    }

    // False, and an error, if the id is no id or taken.
    bool add_entry(const std::string& pointer, const std::string& entry, const Json& id) {
        const bool is_id = id.is_number_integer() && id >= 0 && id <= kIdMax;
        if (!is_id) {
            error(pointer, "the id of " + quote(entry) + " is not a whole number up to " +
                               std::to_string(kIdMax));
            return false;
        }
        if (entry.empty()) {
            error(pointer, "the entry of id " + id.dump() + " is empty");
            return false;
        }
        const auto index = id.get<std::size_t>();
        if (index >= parts_.entries.size()) {
            parts_.entries.resize(index + 1);
        }
        if (!parts_.entries[index].empty()) {
            error(pointer, "id " + id.dump() + " is that of " + quote(parts_.entries[index]) +
                               " and of " + quote(entry));
            return false;
        }
        parts_.entries[index] = entry;
        ids_.emplace(entry, static_cast<Token>(index));
        return true;
    }

    void read_added_tokens() {
        const Json* list = value("/added_tokens");
        if (list == nullptr) {
            return;
        }
        if (!list->is_array()) {
            error("/added_tokens", "must be a list");
            return;
        }
        for (std::size_t i = 0; i < list->size(); ++i) {
            read_added_token("/added_tokens/" + std::to_string(i), (*list)[i]);
        }
    }

    void read_added_token(const std::string& pointer, const Json& item) {
        const auto member = [&item](const char* key) -> const Json* {
            const auto found = item.is_object() ? item.find(key) : item.end();
            return found == item.end() ? nullptr : &*found;
        };
        const Json* content = member("content");
        const Json* id = member("id");
        if (content == nullptr || !content->is_string() || id == nullptr) {
            error(pointer, "an added token needs a content and an id");
            return;
        }
        for (const char* key : {"single_word", "lstrip", "rstrip"}) {
            refuse_if_true(pointer + "/" + key);
        }
        AddedToken token;
        token.content = content->get<std::string>();
        token.special = member("special") != nullptr && *member("special") == Json(true);
        token.normalized = member("normalized") != nullptr && *member("normalized") == Json(true);
        if (token.content.size() > kAddedBytesMax) {
            error(pointer, "longer than " + std::to_string(kAddedBytesMax) + " bytes");
            return;
        }
        const auto known = ids_.find(token.content);
        if (known != ids_.end() && Json(known->second) != *id) {
            error(pointer, quote(token.content) + " has the id " + std::to_string(known->second) +
                               " already");
            return;
        }
        if (known == ids_.end() && !add_entry(pointer, token.content, *id)) {
            return;
        }
        token.id = ids_.at(token.content);
        parts_.added.push_back(std::move(token));
    }

    void read_byte_tokens() {
        std::string missing;
        for (unsigned byte = 0; byte < 256; ++byte) {
            const std::string& character = byte_character(static_cast<std::uint8_t>(byte));
            const auto found = ids_.find(character);
            if (found != ids_.end()) {
                parts_.byte_tokens[byte] = found->second;
            } else {
                missing += (missing.empty() ? "" : ", ") + std::to_string(byte);
            }
        }
        if (!missing.empty()) {
            error("/model/vocab",
                  "a byte-level vocabulary needs an entry for every byte; without "
                  "one: " +
                      missing);
        }
    }

    void read_merges() {
        const Json* list = value("/model/merges");
        if (list == nullptr || !list->is_array()) {
            error("/model/merges", "must be a list");
            return;
        }
        parts_.merges.reserve(list->size());
        std::size_t rank = 0;
        for (const Json& item : *list) {
            read_merge(rank++, item);
        }
    }

    // "a b", or ["a", "b"] in newer files.
    void read_merge(std::size_t rank, const Json& item) {
        const auto fail = [&](const std::string& message) {
            error("/model/merges/" + std::to_string(rank), message);
        };
        std::string left;
        std::string right;
        if (item.is_string()) {
            const auto& text = item.get_ref<const std::string&>();
            const std::size_t space = text.find(' ');
            if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
                left = text.substr(0, space);
                right = text.substr(space + 1);
            }
        } else if (item.is_array() && item.size() == 2 && item[0].is_string() &&
                   item[1].is_string()) {
            left = item[0].get<std::string>();
            right = item[1].get<std::string>();
        }
        if (left.empty() || right.empty()) {
            fail("a merge must be two entries, \"a b\" or [\"a\", \"b\"]");
            return;
        }
        Merge merge{};
        for (const auto& [entry, id] : {std::pair<std::string, Token*>{left, &merge.left},
                                        {right, &merge.right},
                                        {left + right, &merge.merged}}) {
            const auto found = ids_.find(entry);
            if (found == ids_.end()) {
                fail("the merge of " + quote(left) + " and " + quote(right) + " needs " +
                     quote(entry) + ", which is not in the vocabulary");
                return;
            }
            *id = found->second;
        }
        parts_.merges.push_back(merge);
    }

    const Document& document_;
    Diagnostics diagnostics_;
    TokenizerParts parts_;
    std::unordered_map<std::string, Token> ids_;
};

}  // namespace

TokenizerParts read_tokenizer_parts(const Document& document) { return Reader(document).read(); }

}  // namespace r1
