// Texts as sequences of tokens for training, and which of them a step reads. The step's number is
// all that it depends on, so a resumed run needs nothing else, and ranks need not agree on
// anything.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/tokenizer/text_codec.hpp"

namespace r1 {

struct TrainingDataSpec {
    std::int64_t sequence_length = 0;
    std::int64_t global_batch_sequences = 0;
    double held_out_fraction = 0;  // of the sequences; 0 to 0.5
    std::uint64_t seed = 0;        // of the order
};

// Documents stand one behind the other, each behind the begin token if the codec adds it and before
// the end token if there is one, and are cut into sequences wherever these end; what does not fill
// the last one is left out. Sequences are held out at even distances. Const access is safe from
// any thread.
class TrainingData {
public:
    using Sequence = std::vector<std::int32_t>;  // [sequence_length]

    // Reads text files and folders of them (text_files.hpp). Throws InputError with everything that
    // is wrong: missing files, no text, too little of it for a sequence.
    TrainingData(const std::vector<std::filesystem::path>& paths, const TextCodec& codec,
                 const TrainingDataSpec& spec);

    // What a step, counted from 1, reads as the index-th sequence of its global batch. All training
    // sequences in a random order, then all in another one.
    [[nodiscard]] Sequence sequence(std::int64_t step, std::int64_t index) const;

    // In the order of the text.
    [[nodiscard]] Sequence training(std::int64_t index) const;
    [[nodiscard]] Sequence held_out(std::int64_t index) const;

    [[nodiscard]] std::int64_t training_sequences() const;  // at least 1
    [[nodiscard]] std::int64_t held_out_sequences() const;
    [[nodiscard]] std::int64_t training_tokens() const;
    [[nodiscard]] std::int64_t held_out_tokens() const;
    // Above every token that occurs.
    [[nodiscard]] std::int64_t alphabet() const { return alphabet_; }
    [[nodiscard]] std::int64_t text_files() const { return text_files_; }
    [[nodiscard]] std::int64_t binary_files() const { return binary_files_; }  // skipped
    // Of the tokens and how they are divided; not of the order.
    [[nodiscard]] const std::string& hash() const { return hash_; }

private:
    void load(const std::vector<std::filesystem::path>& paths, const TextCodec& codec);
    void append(const std::string& text, const TextCodec& codec);
    void divide();
    [[nodiscard]] Sequence at(std::int64_t sequence) const;

    TrainingDataSpec spec_;
    std::vector<std::int32_t> tokens_;
    std::vector<std::int64_t> training_;  // sequences, ascending
    std::vector<std::int64_t> held_out_;
    std::int64_t alphabet_ = 0;
    std::int64_t text_files_ = 0;
    std::int64_t binary_files_ = 0;
    std::string hash_;
};

}  // namespace r1
