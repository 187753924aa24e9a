// Texts on disk as sequences of a training run.
#include "runtime/training_data.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "model/base/diagnostics.hpp"
#include "tests/model/tiny_tokenizer.hpp"
#include "tests/runtime/text_folder.hpp"
#include "tests/support/catch.hpp"

using namespace r1;
using Catch::Matchers::Contains;
using test::TextFolder;

namespace {

using Tokens = std::vector<std::int32_t>;

// Bytes; from 258 tokens on there is one (257) that ends a text.
TextCodec byte_codec(std::int64_t vocab_size = 258) {
    return TextCodec::for_model("no such folder", vocab_size);
}

TrainingDataSpec spec_of(std::int64_t length, std::int64_t batch = 4, double held_out = 0,
                         std::uint64_t seed = 1) {
    return {length, batch, held_out, seed};
}

Tokens all_training(const TrainingData& data) {
    Tokens tokens;
    for (std::int64_t i = 0; i < data.training_sequences(); ++i) {
        const Tokens next = data.training(i);
        tokens.insert(tokens.end(), next.begin(), next.end());
    }
    return tokens;
}

std::string text_of(const Tokens& tokens) { return byte_codec().decode(tokens); }

// `count` sequences of two bytes, each of its own.
std::string numbered(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
        text += static_cast<char>('!' + i / 64);
        text += static_cast<char>('!' + i % 64);
    }
    return text;
}

std::string error_of(const std::vector<std::filesystem::path>& paths, std::int64_t length = 4) {
    try {
        const TrainingData data(paths, byte_codec(), spec_of(length));
    } catch (const InputError& error) {
        return error.what();
    }
    return "no error";
}

// gzip -n of "zipped\n".
constexpr unsigned char kZipped[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                     0x03, 0xab, 0xca, 0x2c, 0x28, 0x48, 0x4d, 0xe1, 0x02,
                                     0x00, 0xac, 0x00, 0x3a, 0xc7, 0x07, 0x00, 0x00, 0x00};
std::string zipped() { return {reinterpret_cast<const char*>(kZipped), sizeof kZipped}; }

}  // namespace

TEST_CASE("training data: a folder's texts stand in the order of their paths, each ended",
          "[runtime][training]") {
    const TextFolder folder;
    folder.put("b.txt", "bb");
    folder.put("a/z.txt", "az");
    folder.put("a/inner/y.txt", "y");
    folder.put("empty.txt", "");
    const TrainingData data({folder.path()}, byte_codec(), spec_of(1));
    CHECK(all_training(data) == Tokens{'y', 257, 'a', 'z', 257, 'b', 'b', 257});
    CHECK(data.text_files() == 3);
    CHECK(data.alphabet() == 258);
}

TEST_CASE("training data: files come in the order in which they are named", "[runtime][training]") {
    const TextFolder folder;
    folder.put("a", "1");
    folder.put("b", "2");
    const TrainingData data({folder / "b", folder / "a"}, byte_codec(256), spec_of(1));
    CHECK(text_of(all_training(data)) == "21");  // no token to end a text with
}

TEST_CASE("training data: gzip files are unpacked, all of their members", "[runtime][training]") {
    const TextFolder folder;
    folder.put("a.gz", zipped() + zipped());
    const TrainingData data({folder.path()}, byte_codec(256), spec_of(1));
    CHECK(text_of(all_training(data)) == "zipped\nzipped\n");
}

TEST_CASE("training data: files with a byte 0 are skipped and counted", "[runtime][training]") {
    const TextFolder folder;
    folder.put("a", std::string("\x7f"
                                "ELF\0",
                                5));
    folder.put("b", "text");
    const TrainingData data({folder.path()}, byte_codec(256), spec_of(1));
    CHECK(text_of(all_training(data)) == "text");
    CHECK(data.text_files() == 1);
    CHECK(data.binary_files() == 1);
}

TEST_CASE("training data: links to files count, links to folders and to nothing do not",
          "[runtime][training]") {
    const TextFolder folder;
    folder.put("in/a", "text");
    std::filesystem::create_symlink("a", folder / "in/b");
    std::filesystem::create_symlink("nothing", folder / "in/c");
    std::filesystem::create_directory_symlink("..", folder / "in/d");
    const TrainingData data({folder / "in"}, byte_codec(256), spec_of(1));
    CHECK(text_of(all_training(data)) == "texttext");
}

TEST_CASE("training data: a tokenizer's begin and end tokens enclose a text",
          "[runtime][training]") {
    const TextFolder folder;
    folder.put("model/tokenizer.json", test::tiny_tokenizer().dump());
    folder.put("model/tokenizer_config.json",
               R"({"bos_token": "<s>", "eos_token": "<|x|>", "add_bos_token": true})");
    folder.put("text/a", "hello");
    folder.put("text/b", "ab");
    const TextCodec codec = TextCodec::for_model(folder / "model", 300);
    const TrainingData data({folder / "text"}, codec, spec_of(1));
    CHECK(all_training(data) == Tokens{265, 260, 268, 265, 261, 268});
}

TEST_CASE("training data: what does not fill a sequence is left out", "[runtime][training]") {
    const TextFolder folder;
    folder.put("a", "abcdefghij");
    const TrainingData data({folder / "a"}, byte_codec(256), spec_of(4));
    CHECK(data.training_sequences() == 2);
    CHECK(data.training_tokens() == 8);
    CHECK(text_of(data.training(0)) == "abcd");
    CHECK(text_of(data.training(1)) == "efgh");
}

TEST_CASE("training data: held-out sequences are spread evenly and never trained on",
          "[runtime][training]") {
    const TextFolder folder;
    folder.put("a", numbered(103));
    const TrainingData data({folder / "a"}, byte_codec(256), spec_of(2, 4, 0.1));
    CHECK(data.held_out_sequences() == 10);
    CHECK(data.training_sequences() == 93);
    CHECK(data.held_out_tokens() == 20);
    std::map<Tokens, std::int64_t> place;
    for (std::int64_t i = 0; i < 93; ++i) {
        place[data.training(i)] = i;
    }
    CHECK(place.size() == 93);
    for (std::int64_t i = 0; i < 10; ++i) {
        const Tokens held_out = data.held_out(i);
        const double number = (held_out[0] - '!') * 64 + held_out[1] - '!';
        CHECK(std::abs(number - (10.3 * static_cast<double>(i) + 9.3)) <= 1);
        CHECK(place.count(held_out) == 0);
    }
}

TEST_CASE("training data: little text may leave nothing to hold out", "[runtime][training]") {
    const TextFolder folder;
    folder.put("a", numbered(9));
    CHECK(TrainingData({folder / "a"}, byte_codec(256), spec_of(2, 4, 0.1)).held_out_sequences() ==
          0);
    folder.put("b", numbered(1));
    const TrainingData one({folder / "b"}, byte_codec(256), spec_of(2, 4, 0.5));
    CHECK(one.training_sequences() == 1);
    CHECK(one.sequence(3, 3) == one.training(0));
}

TEST_CASE("training data: each epoch has every training sequence once, in another order",
          "[runtime][training]") {
    const TextFolder folder;
    folder.put("a", numbered(50));
    // Epochs end within a step: 47 sequences, batches of 6.
    const TrainingData data({folder / "a"}, byte_codec(256), spec_of(2, 6, 0.07));
    REQUIRE(data.training_sequences() == 47);
    std::vector<Tokens> read;
    for (std::int64_t position = 0; position < 3 * 47; ++position) {
        read.push_back(data.sequence(position / 6 + 1, position % 6));
    }
    std::vector<Tokens> epochs[3];
    for (std::size_t epoch = 0; epoch < 3; ++epoch) {
        const auto begin = read.begin() + static_cast<std::ptrdiff_t>(epoch) * 47;
        epochs[epoch].assign(begin, begin + 47);
    }
    CHECK(epochs[0] != epochs[1]);
    CHECK(epochs[1] != epochs[2]);
    std::vector<Tokens> all;
    for (std::int64_t i = 0; i < 47; ++i) {
        all.push_back(data.training(i));
    }
    std::sort(all.begin(), all.end());
    for (std::vector<Tokens>& epoch : epochs) {
        CHECK(epoch != all);
        std::sort(epoch.begin(), epoch.end());
        CHECK(epoch == all);
    }
}

TEST_CASE("training data: the order depends on seed and step only", "[runtime][training]") {
    const TextFolder folder;
    folder.put("a", numbered(60));
    const TrainingData data({folder / "a"}, byte_codec(256), spec_of(2, 6, 0.1, 5));
    const TrainingData again({folder / "a"}, byte_codec(256), spec_of(2, 6, 0.1, 5));
    const TrainingData other({folder / "a"}, byte_codec(256), spec_of(2, 6, 0.1, 6));
    const TrainingData half({folder / "a"}, byte_codec(256), spec_of(2, 3, 0.1, 5));
    int different = 0;
    for (std::int64_t step = 20; step >= 1; --step) {
        for (std::int64_t i = 0; i < 6; ++i) {
            CHECK(data.sequence(step, i) == again.sequence(step, i));
            // The stream of sequences does not depend on how it is cut into batches.
            CHECK(data.sequence(step, i) == half.sequence(2 * step - 1 + i / 3, i % 3));
            different += data.sequence(step, i) != other.sequence(step, i) ? 1 : 0;
        }
    }
    CHECK(different > 100);
}

TEST_CASE("training data: the hash tells other tokens and another division apart",
          "[runtime][training]") {
    const TextFolder folder;
    folder.put("a", numbered(60));
    folder.put("b", numbered(59) + "!?");
    const auto hash = [&](const char* file, const TrainingDataSpec& spec) {
        return TrainingData({folder / file}, byte_codec(256), spec).hash();
    };
    const std::string known = hash("a", spec_of(2, 4, 0.1, 1));
    CHECK(known.size() == 32);
    CHECK(hash("a", spec_of(2, 8, 0.1, 2)) == known);  // the order is the seed's matter
    CHECK(hash("b", spec_of(2, 4, 0.1, 1)) != known);
    CHECK(hash("a", spec_of(3, 4, 0.1, 1)) != known);
    CHECK(hash("a", spec_of(2, 4, 0.2, 1)) != known);
}

TEST_CASE("training data: everything wrong with the files is said at once", "[runtime][training]") {
    const TextFolder folder;
    folder.put("good", "some text");
    folder.put("cut.gz", zipped().substr(0, 15));
    std::string damaged = zipped();
    damaged[12] ^= 0x55;
    folder.put("damaged.gz", damaged);
    const std::string errors = error_of({folder / "missing", folder / "good", folder / "cut.gz",
                                         folder / "gone/too", folder / "damaged.gz", "/dev/null"});
    CHECK_THAT(errors, Contains("missing: no such file or folder"));
    CHECK_THAT(errors, Contains("gone/too: no such file or folder"));
    CHECK_THAT(errors, Contains("cut.gz: cannot be unpacked"));
    CHECK_THAT(errors, Contains("damaged.gz: cannot be unpacked"));
    CHECK_THAT(errors, Contains("/dev/null: is neither a file nor a folder"));
    CHECK_THAT(errors, !Contains("good"));
}

TEST_CASE("training data: no text, or too little for one sequence, is an error",
          "[runtime][training]") {
    const TextFolder folder;
    CHECK_THAT(error_of({}), Contains("/workload/data names no file or folder"));
    CHECK_THAT(error_of({folder.path()}), Contains("no text to train on"));
    folder.put("a", std::string("\0", 1));
    CHECK_THAT(error_of({folder.path()}), Contains("(1 binary files were skipped)"));
    folder.put("b", "abc");
    CHECK_THAT(error_of({folder.path()}, 5), Contains("4 tokens of text are too few for one "
                                                      "sequence of 5"));
    CHECK(error_of({folder.path()}, 4) == "no error");
}
