// The first byte picks what the rest is: a tokenizer.json, a text, token ids, messages or a
// tokenizer_config.json. Texts survive encoding and decoding; a stream decodes as the whole.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/chat_template.hpp"
#include "model/tokenizer/tokenizer.hpp"
#include "tests/model/tiny_tokenizer.hpp"

namespace {

using namespace r1;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

const Tokenizer& tiny() {
    static const Tokenizer tokenizer =
        Tokenizer::from_document(Document::from_json(test::tiny_tokenizer(), "tiny"));
    return tokenizer;
}

void check_text(const Tokenizer& tokenizer, std::string_view text) {
    require(tokenizer.decode(tokenizer.encode_plain(text)) == text);
    require(!tokenizer.encode(text).empty() || text.empty());
}

// Texts of our own tokenizer only: another file's added tokens may be spelt like bytes.
void fuzz_text(std::string_view text) {
    check_text(tiny(), text);
    require(tiny().decode(tiny().encode(text)) == text);
}

void fuzz_ids(std::string_view bytes) {
    std::vector<Token> tokens;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
        const auto high = static_cast<unsigned char>(bytes[i]) & 1U;
        tokens.push_back(static_cast<Token>(high << 8 | static_cast<unsigned char>(bytes[i + 1])));
    }
    Utf8Stream stream;
    std::string text;
    for (const Token token : tokens) {
        const std::string part = stream.put(tiny().bytes(token));
        require(!utf8_error(part));
        text += part;
    }
    text += stream.finish();
    require(text == tiny().decode(tokens));
}

void fuzz_chat(std::string_view text) {
    const Document document = Document::from_text(text, "chat.json");
    Diagnostics diagnostics;
    const std::vector<ChatMessage> messages = read_chat(document, "", diagnostics);
    diagnostics.throw_if_errors();
    require(!tiny().encode(render_r1_chat(messages, GenerationPrompt::think)).empty());
}

void fuzz_tokenizer_config(std::string_view text) {
    Diagnostics diagnostics;
    const TokenizerConfig config =
        read_tokenizer_config(Document::from_text(text, "tokenizer_config.json"), diagnostics);
    require_r1_template(config, "tokenizer_config.json");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view rest(reinterpret_cast<const char*>(bytes) + 1, size - 1);
    try {
        switch (bytes[0]) {
            case 'j':
                check_text(Tokenizer::from_document(Document::from_text(rest, "tokenizer.json")),
                           "hello  world\n123 \xE4\xBD\xA0\xE5\xA5\xBD!?");
                break;
            case 't': fuzz_text(rest); break;
            case 'i': fuzz_ids(rest); break;
            case 'c': fuzz_chat(rest); break;
            case 'k': fuzz_tokenizer_config(rest); break;
            default: break;
        }
    } catch (const InputError&) {
        return 0;
    }
    return 0;
}
