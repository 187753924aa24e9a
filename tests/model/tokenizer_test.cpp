// The tokenizer on a hand-made tokenizer.json, and on the published one where its cases lie.
#include <fstream>
#include <iostream>
#include <utility>

#include "model/tokenizer/byte_level.hpp"
#include "model/tokenizer/text_codec.hpp"
#include "tests/model/checkpoint_fixture.hpp"
#include "tests/model/tiny_tokenizer.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fs = std::filesystem;
using namespace r1;
using test::contains;
using Tokens = std::vector<Token>;

namespace {

Tokenizer tokenizer_of(const Json& json) {
    return Tokenizer::from_document(Document::from_json(json, "tokenizer.json"));
}

const Tokenizer& tiny() {
    static const Tokenizer tokenizer = tokenizer_of(test::tiny_tokenizer());
    return tokenizer;
}

// The error of the tiny tokenizer with one value set.
std::string error_with(const std::string& pointer, const Json& value) {
    Json json = test::tiny_tokenizer();
    json[Json::json_pointer(pointer)] = value;
    return test::input_error([&] { tokenizer_of(json); });
}

std::vector<Json> lines_of(const fs::path& file) {
    std::vector<Json> lines;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
        lines.push_back(Json::parse(line));
    }
    return lines;
}

// The folder with the published tokenizer and its cases; empty if it is not there.
fs::path published() {
    fs::path folder = test::data_dir() / "formats" / "tokenizer";
    if (fs::exists(folder / "tokenizer.json")) {
        return folder;
    }
    std::cout << "r1 test skipped: no tokenizer in " << folder << "\n";
    return {};
}

std::vector<ChatMessage> chat_of(const Json& messages) {
    Diagnostics diagnostics;
    std::vector<ChatMessage> chat =
        read_chat(Document::from_json(messages, "chat.json"), "", diagnostics);
    diagnostics.throw_if_errors();
    return chat;
}

}  // namespace

TEST_CASE("tokenizer: merges go by rank, then from left to right", "[model][tokenizer]") {
    // 256 ll, 257 he, 258 Ġhe, 259 llo, 260 hello, 261 ab, 262 bc, 263 abc, 264 12.
    CHECK(tiny().encode("hello") == Tokens{260});
    // ll, he, Ġ+he (rank 2), llo: no rule joins "Ġhe" and "llo".
    CHECK(tiny().encode(" hello") == Tokens{258, 259});
    // "b c" has rank 6, "a b" rank 5: the first takes the b.
    CHECK(tiny().encode("abc") == Tokens{263});
    CHECK(tiny().encode("abbc") == Tokens{261, 262});
    CHECK(tiny().encode("lll") == Tokens{256, 'l'});
    CHECK(tiny().encode("llll") == Tokens{256, 256});
    CHECK(tiny().encode("").empty());
    CHECK(tiny().encode("\n") == Tokens{'\n'});
}

TEST_CASE("tokenizer: the patterns cut before merging", "[model][tokenizer]") {
    // Digits in threes: 12|3 is one piece, 1 the next.
    CHECK(tiny().encode("1231") == Tokens{264, '3', '1'});
    CHECK(tiny().encode("0012") == Tokens{'0', '0', '1', '2'});
    // The last of several spaces goes with the word.
    CHECK(tiny().encode("  he") == Tokens{' ', 258});
    CHECK(tiny().encode("\xE4\xBD\xA0") == Tokens{0xE4, 0xBD, 0xA0});
    // A merge across a cut does not happen: "a" after "." is one piece with it.
    CHECK(tiny().encode("a.b") == Tokens{'a', '.', 'b'});
}

TEST_CASE("tokenizer: added tokens come first, the longest wins", "[model][tokenizer]") {
    CHECK(tiny().encode("he<s>he") == Tokens{257, 265, 257});
    CHECK(tiny().encode("<think>ing<think>in") == Tokens{267, 266, 'i', 'n'});
    CHECK(tiny().encode("<<s>>") == Tokens{'<', 265, '>'});
    CHECK(tiny().encode("<|x|>") == Tokens{268});
    CHECK(tiny().encode_plain("<s>") == Tokens{'<', 's', '>'});
    CHECK(tiny().added_token("<think>") == Token{266});
    CHECK(!tiny().added_token("ll"));
    CHECK(tiny().size() == 269);
}

TEST_CASE("tokenizer: decoding", "[model][tokenizer]") {
    CHECK(tiny().decode(Tokens{265, 258, 259, 266}) == "<s> hello<think>");
    CHECK(tiny().decode(Tokens{265, 258, 259, 266}, SpecialTokens::skip) == " hello<think>");
    CHECK(tiny().decode(Tokens{-1, 300, 'a', 1 << 30}) == "a");
    CHECK(tiny().decode(Tokens{0xE4, 0xBD}) == "\uFFFD");
    CHECK(tiny().decode(Tokens{0xE4, 0xBD, 'a'}) == "\uFFFDa");
    CHECK(tiny().decode(Tokens{0xA0, 0xE4, 0xBD, 0xA0}) == "\uFFFD\xE4\xBD\xA0");
    CHECK(tiny().decode(Tokens{0xF0, 0x9F, 0x98}) == "\uFFFD");
    // No character starts with E0 80 or ED A0: each byte is on its own.
    CHECK(tiny().decode(Tokens{0xE0, 0x80}) == "\uFFFD\uFFFD");
    CHECK(tiny().decode(Tokens{0xED, 0xA0, 0x80}) == "\uFFFD\uFFFD\uFFFD");
}

TEST_CASE("tokenizer: a stream gives whole characters only", "[model][tokenizer]") {
    Utf8Stream stream;
    CHECK(stream.put(tiny().bytes(0xF0)).empty());
    CHECK(stream.put(tiny().bytes(0x9F)).empty());
    CHECK(stream.put("\x98").empty());
    CHECK(stream.put("\x80 and \xE4") == "\U0001F600 and ");
    CHECK(stream.put("x") == "\uFFFDx");
    CHECK(stream.finish().empty());
    CHECK(stream.put("\xE4\xBD").empty());
    CHECK(stream.finish() == "\uFFFD");
    CHECK(stream.finish().empty());
}

TEST_CASE("tokenizer: text that is not UTF-8 is refused", "[model][tokenizer]") {
    for (const char* text :
         {"ab\xFF", "ab\xC0\x80", "ab\xED\xA0\x80", "ab\xF4\x90\x80\x80", "ab\xE4\xBD", "ab\x80"}) {
        CHECK(contains(test::input_error([&] { (void)tiny().encode(text); }), "byte 2 belongs"));
    }
}

TEST_CASE("tokenizer: every text survives", "[model][tokenizer]") {
    const Rng rng(3);
    for (std::uint64_t round = 0; round < 300; ++round) {
        std::string text;
        for (std::uint64_t i = 0; i < 40; ++i) {
            const std::uint64_t bits = rng.bits(round * 64 + i);
            auto code = static_cast<char32_t>((bits >> 8) % (bits % 4 == 0 ? 0x110000 : 0x80));
            code = code >= 0xD800 && code < 0xE000 ? U' ' : code;
            text += encode_character(code);
        }
        CHECK(tiny().decode(tiny().encode(text)) == text);
        CHECK(tiny().decode(tiny().encode_plain(text)) == text);
    }
}

TEST_CASE("tokenizer: newer and older spellings of the file", "[model][tokenizer]") {
    Json json = test::tiny_tokenizer();
    for (Json& merge : json["model"]["merges"]) {
        const auto text = merge.get<std::string>();
        const std::size_t space = text.find(' ');
        merge = Json::array({text.substr(0, space), text.substr(space + 1)});
    }
    json["normalizer"] = nullptr;
    json.erase("post_processor");
    json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
    const Tokenizer gpt2 = tokenizer_of(json);
    CHECK(gpt2.encode(" hello") == Tokens{258, 259});
    CHECK(gpt2.encode("0012") == Tokens{'0', '0', 264});  // GPT-2 keeps digits together
}

TEST_CASE("tokenizer: what is not implemented is refused", "[model][tokenizer]") {
    using Case = std::pair<const char*, Json>;
    for (const auto& [pointer, value] :
         {Case{"/model/type", "WordPiece"},
          Case{"/model/dropout", 0.1},
          Case{"/model/byte_fallback", true},
          Case{"/model/ignore_merges", true},
          Case{"/model/end_of_word_suffix", "</w>"},
          Case{"/model/vocab", Json::array()},
          Case{"/model/merges", 3},
          Case{"/truncation", Json::object()},
          Case{"/normalizer", {{"type", "NFC"}}},
          Case{"/decoder", nullptr},
          Case{"/post_processor", {{"type", "TemplateProcessing"}}},
          Case{"/pre_tokenizer", {{"type", "Whitespace"}}},
          Case{"/pre_tokenizer/pretokenizers", Json::array()},
          Case{"/pre_tokenizer/pretokenizers/0/behavior", "Removed"},
          Case{"/pre_tokenizer/pretokenizers/0/invert", true},
          Case{"/pre_tokenizer/pretokenizers/0/pattern", {{"String", "a"}}},
          Case{"/pre_tokenizer/pretokenizers/0/pattern/Regex", "(a"},
          Case{"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\C"},
          Case{"/pre_tokenizer/pretokenizers/3/add_prefix_space", true},
          Case{"/added_tokens/1/lstrip", true},
          Case{"/added_tokens", "x"},
          Case{"/added_tokens/0/content", ""},
          Case{"/added_tokens/0/content", 1},
          Case{"/added_tokens/0/id", 266},
          Case{"/added_tokens/0/id", -1},
          Case{"/added_tokens/0/id", 1'000'000'000},
          Case{"/added_tokens/0/content", "he"},
          Case{"/model/vocab/he", 1},
          Case{"/model/vocab/he", "x"},
          Case{"/model/merges/0", "ab"},
          Case{"/model/merges/0", "a b c"},
          Case{"/model/merges/0", "x y"},
          Case{"/model/merges/0", Json::array({"l"})}}) {
        const std::string text = error_with(pointer, value);
        INFO(pointer << " " << value << ": " << text);
        CHECK(contains(text, "tokenizer.json: /"));
    }
    Json json = test::tiny_tokenizer();
    json["model"]["vocab"].erase("!");
    CHECK(contains(test::input_error([&] { tokenizer_of(json); }), "without one: 33"));
    CHECK(contains(test::input_error([&] { tokenizer_of(Json(3)); }), "JSON object"));
    CHECK(contains(test::input_error([&] { Tokenizer::from_file("nowhere/tokenizer.json"); }),
                   "nowhere"));
}

TEST_CASE("tokenizer: a pattern that never ends is an error", "[model][tokenizer]") {
    const SplitPattern pattern("(a+)+(a+)+(a+)+$");
    std::vector<std::string_view> pieces;
    CHECK_THROWS_AS(pattern.split(std::string(60, 'a') + "b", pieces), PatternError);
}

TEST_CASE("tokenizer: pieces of a pattern", "[model][tokenizer]") {
    const auto pieces = [](const std::string& pattern, std::string_view text) {
        std::vector<std::string_view> out;
        SplitPattern(pattern).split(text, out);
        std::string joined;
        for (const std::string_view piece : out) {
            joined += (joined.empty() ? "" : "|") + std::string(piece);
        }
        return joined;
    };
    CHECK(pieces("b+", "abba") == "a|bb|a");
    CHECK(pieces("x", "abba") == "abba");
    CHECK(pieces("x*", "\xC3\xA4xb") == "\xC3\xA4|x|b");  // empty matches cut, too
    CHECK(pieces("b", "").empty());
    // White_Space holds U+0085 and U+3000, not U+180E.
    CHECK(pieces("\\s+", "a\xC2\x85\xE3\x80\x80z") == "a|\xC2\x85\xE3\x80\x80|z");
    CHECK(pieces("\\s+", "a\xE1\xA0\x8Ez") == "a\xE1\xA0\x8Ez");
    CHECK(spell_out_spaces("\\\\s[]\\d[:alpha:]x](?!\\S)") ==
          "\\\\s[]\\d[:alpha:]x](?!" + spell_out_spaces("\\S") + ")");
    CHECK(pieces("[^\\s]+", "ab c") == "ab| |c");
}

TEST_CASE("tokenizer: bytes as characters", "[model][tokenizer]") {
    CHECK(to_byte_level(" \n!\xFF") == "ĠĊ!ÿ");
    CHECK(from_byte_level("ĠĊ!ÿ") == " \n!\xFF");
    CHECK(!from_byte_level("a b"));
    CHECK(!from_byte_level("｜"));
    std::string all;
    for (int byte = 0; byte < 256; ++byte) {
        all += static_cast<char>(byte);
    }
    CHECK(from_byte_level(to_byte_level(all)) == all);
}

TEST_CASE("tokenizer: a byte a token where there is no tokenizer.json", "[model][tokenizer]") {
    const ByteTokenizer small(256);
    CHECK(small.encode("a\xFF") == Tokens{'a', 255});
    CHECK(small.decode(Tokens{0xE4, 0xBD, 0xA0, 256, -1}) == "\xE4\xBD\xA0");
    CHECK(!small.begin_token());
    CHECK(!ByteTokenizer(257).end_token());
    CHECK(ByteTokenizer(258).begin_token() == Token{256});
    CHECK(ByteTokenizer(129'280).end_token() == Token{257});
    CHECK(contains(test::input_error([] { ByteTokenizer(255); }), "255 tokens is too small"));
}

TEST_CASE("tokenizer: a checkpoint brings its own", "[model][tokenizer]") {
    const test::TemporaryFolder folder("codec");
    CHECK(TextCodec::for_model(folder.path(), 512).end_token() == Token{257});
    test::write_bytes(folder / "tokenizer.json", test::tiny_tokenizer().dump());
    const TextCodec bare = TextCodec::for_model(folder.path(), 512);
    CHECK(bare.encode("<s>hello") == Tokens{265, 260});
    CHECK(bare.decode(Tokens{265, 260}, SpecialTokens::skip) == "hello");
    CHECK(!bare.end_token());
    CHECK(contains(test::input_error([&] { TextCodec::for_model(folder.path(), 268); }),
                   "ids up to 268"));
    test::write_bytes(folder / "tokenizer_config.json",
                      R"({"bos_token":{"content":"<s>"},"eos_token":"<think>",)"
                      R"("add_bos_token":true,"chat_template":"{{ messages }}"})");
    const TextCodec codec = TextCodec::for_model(folder.path(), 269);
    CHECK(codec.begin_token() == Token{265});
    CHECK(codec.end_token() == Token{266});
    CHECK(codec.adds_begin_token());
    CHECK(contains(test::input_error([&] { (void)codec.encode_chat({}, GenerationPrompt::think); }),
                   "/chat_template: is not that of DeepSeek-R1"));
    test::write_bytes(folder / "tokenizer_config.json", R"({"eos_token":"</s>"})");
    CHECK(contains(test::input_error([&] { TextCodec::for_model(folder.path(), 269); }),
                   "'</s>' is no added token"));
}

TEST_CASE("tokenizer: R1's chat template", "[model][tokenizer]") {
    const Json chat = {{{"role", "user"}, {"content", "q"}},
                       {{"role", "assistant"}, {"content", "<think>a</think>b</think>c"}},
                       {{"role", "system"}, {"content", "s"}},
                       {{"role", "developer"}},
                       {{"role", "system"}, {"content", "t"}}};
    CHECK(render_r1_chat(chat_of(chat), GenerationPrompt::think) ==
          "<｜begin▁of▁sentence｜>s\n\nt<｜User｜>q<｜Assistant｜>c<｜end▁of▁sentence｜>"
          "<｜Assistant｜><think>\n");
    CHECK(render_r1_chat({}, GenerationPrompt::none) == kR1BeginOfSentence);
    for (const Json& wrong :
         {Json{{"role", "user"}}, Json{{"role", "user"}, {"content", nullptr}},
          Json{{"content", "x"}}, Json("x"), Json{{"role", "assistant"}, {"tool_calls", 3}},
          Json{{"role", "assistant"}, {"tool_calls", Json::array()}},
          Json{{"role", "assistant"}, {"content", nullptr}},
          Json{{"role", "assistant"},
               {"content", nullptr},
               {"tool_calls", {{{"type", "function"}, {"function", {{"name", "f"}}}}}}}}) {
        INFO(wrong);
        CHECK(contains(test::input_error([&] { chat_of(Json::array({wrong})); }), "chat.json: /0"));
    }
}

TEST_CASE("tokenizer: published cases of encoding", "[model][tokenizer][golden]") {
    const fs::path folder = published();
    if (folder.empty()) {
        return;
    }
    const Tokenizer tokenizer = Tokenizer::from_file(folder);
    const std::vector<Json> cases = lines_of(folder / "encode.jsonl");
    CHECK(!cases.empty());
    for (const Json& item : cases) {
        INFO(item["id"]);
        const auto text = item["text"].get<std::string>();
        CHECK(tokenizer.encode(text) == item["ids"].get<Tokens>());
        CHECK(tokenizer.encode_plain(text) == item["ids_plain"].get<Tokens>());
        CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
    }
    for (const Json& item : lines_of(folder / "decode.jsonl")) {
        INFO(item["id"]);
        const auto ids = item["ids"].get<Tokens>();
        CHECK(tokenizer.decode(ids) == item["text"].get<std::string>());
        CHECK(tokenizer.decode(ids, SpecialTokens::skip) ==
              item["text_skip_special"].get<std::string>());
    }
}

TEST_CASE("tokenizer: published conversations", "[model][tokenizer][golden]") {
    const fs::path folder = published();
    if (folder.empty()) {
        return;
    }
    const Tokenizer tokenizer = Tokenizer::from_file(folder);
    for (const Json& item : lines_of(folder / "chat_r1.jsonl")) {
        INFO(item["id"]);
        const bool is_prompt = item["add_generation_prompt"] == Json(true);
        const std::string text =
            render_r1_chat(chat_of(item["messages"]),
                           is_prompt ? GenerationPrompt::think : GenerationPrompt::none);
        CHECK(text == item["text"].get<std::string>());
        CHECK(tokenizer.encode(text) == item["ids_r1"].get<Tokens>());
    }
    std::string r1 = test::read_bytes(folder / "chat_template.r1.jinja");
    CHECK(is_r1_template(r1));
    // The file of the released checkpoint has no blanks in "{{bos_token}}".
    r1.replace(r1.find("{{ bos_token }}"), 15, "{{bos_token}}");
    CHECK(is_r1_template(r1));
    const Json v3 = Json::parse(test::read_bytes(folder / "tokenizer_config.v3.json"));
    CHECK(!is_r1_template(v3["chat_template"].get<std::string>()));
}
