// generate with text: prompts through a tokenizer, the answer as it comes. The models have random
// weights; the text that they make is whatever it is, but it must be the same everywhere.
#include <iostream>
#include <sstream>

#include "model/tokenizer/utf8.hpp"
#include "tests/model/checkpoint_fixture.hpp"
#include "tests/model/tiny_tokenizer.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tools/cli.hpp"

using namespace r1;

namespace {

// A checkpoint in three shards at least, with text: bytes, or a tokenizer of its own.
class TextModel {
public:
    explicit TextModel(const std::string& name, bool tokenizer = false) : folder_(name) {
        Json json = test::small_config_json();
        json["vocab_size"] = 300;
        json["max_position_embeddings"] = 64;
        const ModelConfig config = test::small_config(json);
        const test::TensorSet tensors = test::small_tensors(config);
        write_checkpoint(folder_.path(), tensors.views(), 60'000, &json);
        if (tokenizer) {
            test::write_bytes(folder_ / "tokenizer.json", test::tiny_tokenizer().dump());
            test::write_bytes(folder_ / "tokenizer_config.json",
                              R"({"bos_token": "<s>", "add_bos_token": true})");
        }
    }

    [[nodiscard]] std::string path() const { return folder_.path().string(); }
    [[nodiscard]] std::string file(const std::string& name, const std::string& text) const {
        test::write_bytes(folder_ / name, text);
        return (folder_ / name).string();
    }

private:
    test::TemporaryFolder folder_;
};

struct Answer {
    int status = 0;
    std::string out;
    std::string err;
    [[nodiscard]] Json json() const { return Json::parse(out); }
};

Answer generate_with(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"r1sim", "generate"});
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) {
        argv.push_back(argument.c_str());
    }
    std::ostringstream out;
    std::ostringstream err;
    std::streambuf* const cout = std::cout.rdbuf(out.rdbuf());
    std::streambuf* const cerr = std::cerr.rdbuf(err.rdbuf());
    Answer answer;
    answer.status = run_command_line(static_cast<int>(argv.size()), argv.data());
    std::cout.rdbuf(cout);
    std::cerr.rdbuf(cerr);
    answer.out = out.str();
    answer.err = err.str();
    return answer;
}

std::vector<std::string> with(const TextModel& model, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"--model", model.path(), "--max-new-tokens", "12",
                                          "--ignore-eos"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

}  // namespace

TEST_CASE("generate: text is what the tokens say, streamed or not", "[tools][runtime]") {
    const TextModel model("generate_text");
    const Answer whole = generate_with(with(model, {"--prompt", "rail", "--json"}));
    REQUIRE(whole.status == kOk);
    const Json json = whole.json();
    CHECK(json["sequences"][0]["prompt_tokens"] == 4);  // bytes
    CHECK(json["tokens"].size() == 12);
    Utf8Stream utf8;
    std::string text;
    for (const Json& token : json["tokens"]) {
        if (token.get<int>() < 256) {
            text += utf8.put(std::string(1, static_cast<char>(token.get<int>())));
        }
    }
    text += utf8.finish();
    CHECK(json["text"] == text);
    const Answer streamed = generate_with(with(model, {"--prompt", "rail"}));
    CHECK(streamed.out == text + "\n");
    // The same as the bytes' ids.
    const Answer ids = generate_with(with(model, {"--tokens", "114,97,105,108", "--json"}));
    CHECK(ids.json()["tokens"] == json["tokens"]);
}

TEST_CASE("generate: prompts of a file are continued together, each as alone", "[tools][runtime]") {
    const TextModel model("generate_batch");
    const std::string file = model.file("prompts.txt", "rail\nleaf switch\r\nx\n");
    const Answer batch = generate_with(with(model, {"--prompts", file, "--json"}));
    REQUIRE(batch.status == kOk);
    const std::vector<std::string> prompts = {"rail", "leaf switch", "x"};
    REQUIRE(batch.json()["tokens"].size() == prompts.size());
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        const Answer alone = generate_with(with(model, {"--prompt", prompts[i], "--json"}));
        CHECK(batch.json()["tokens"][i] == alone.json()["tokens"]);
        CHECK(batch.json()["text"][i] == alone.json()["text"]);
    }
    const Answer table = generate_with(with(model, {"--prompts", file}));
    CHECK(table.out.starts_with("[1] "));
    CHECK(table.out.find("\n[3] ") != std::string::npos);
    // One line is a list of one.
    const Answer one =
        generate_with(with(model, {"--prompts", model.file("one.txt", "rail"), "--json"}));
    CHECK(one.json()["tokens"].size() == 1);
    CHECK(one.json()["text"].is_array());
}

TEST_CASE("generate: a tokenizer puts its first token in front", "[tools][runtime]") {
    const TextModel model("generate_bpe", true);
    // <s>, "hello" as one merge, "!".
    const Answer answer = generate_with(with(model, {"--prompt", "hello!", "--json"}));
    REQUIRE(answer.status == kOk);
    CHECK(answer.json()["sequences"][0]["prompt_tokens"] == 3);
    const Answer ids = generate_with(with(model, {"--tokens", "265,260,33", "--json"}));
    CHECK(ids.json()["tokens"] == answer.json()["tokens"]);
}

TEST_CASE("generate: chat needs R1's template", "[tools][runtime]") {
    const TextModel model("generate_chat", true);
    const Answer answer = generate_with(with(model, {"--prompt", "hello", "--chat"}));
    CHECK(answer.status == kInvalidInput);
    CHECK(answer.err.find("tokenizer_config.json") != std::string::npos);
    const Answer messages = generate_with(with(
        model, {"--messages", model.file("chat.json", R"([{"role": "user", "contents": "x"}])")}));
    CHECK(messages.status == kInvalidInput);
    CHECK(messages.err.find("chat.json") != std::string::npos);
    for (const char* text : {"[]", R"([{"role": "users", "content": "x"}])"}) {
        const Answer wrong =
            generate_with(with(model, {"--messages", model.file("chat.json", text)}));
        CHECK(wrong.status == kInvalidInput);
        CHECK(wrong.err.find("chat.json: ") != std::string::npos);
    }
}

TEST_CASE("generate: refuses empty and over-long prompts by name", "[tools][runtime]") {
    const TextModel model("generate_refuses");
    const auto refused = [&](const std::vector<std::string>& arguments, const std::string& text) {
        const Answer answer = generate_with(with(model, arguments));
        INFO(answer.err);
        CHECK(answer.status == kInvalidInput);
        CHECK(answer.out.empty());
        CHECK(answer.err.find(text) != std::string::npos);
    };
    refused({"--prompt", ""}, "--prompt: is empty");
    refused({"--prompts", model.file("gap.txt", "rail\n\nleaf\n")}, "gap.txt:2: is empty");
    refused({"--prompts", model.file("none.txt", "")}, "none.txt: holds no prompt");
    refused({"--prompt", std::string("\xff\xfe")}, "--prompt: is not UTF-8 at byte 0");
    refused({"--prompt", std::string(60, 'x')}, "72 tokens exceed the model's 64 positions");
    refused({"--prompts", model.file("long.txt", "x\n" + std::string(60, 'x'))},
            "long.txt, prompt 2");
}

TEST_CASE("generate: without --max-new-tokens there is as much as fits", "[tools][runtime]") {
    const TextModel model("generate_fits");
    const Answer answer = generate_with(
        {"--model", model.path(), "--ignore-eos", "--json", "--prompt", std::string(50, 'x')});
    REQUIRE(answer.status == kOk);
    CHECK(answer.json()["tokens"].size() == 14);
}
