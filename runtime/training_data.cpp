#include "runtime/training_data.hpp"

#include <algorithm>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/content_hash.hpp"
#include "model/base/diagnostics.hpp"
#include "model/base/permutation.hpp"
#include "runtime/text_files.hpp"

namespace r1 {

namespace fs = std::filesystem;

TrainingData::TrainingData(const std::vector<fs::path>& paths, const TextCodec& codec,
                           const TrainingDataSpec& spec)
    : spec_(spec) {
    R1_CHECK(spec.sequence_length >= 1 && spec.global_batch_sequences >= 1);
    R1_CHECK(spec.held_out_fraction >= 0 && spec.held_out_fraction <= 0.5);
    if (paths.empty()) {
        throw InputError("", "training needs text: /workload/data names no file or folder");
    }
    load(paths, codec);
    divide();
}

void TrainingData::load(const std::vector<fs::path>& paths, const TextCodec& codec) {
    Diagnostics diagnostics;
    for (const fs::path& file : find_files(paths, diagnostics)) {
        std::optional<std::string> text;
        try {
            text = read_text(file);
        } catch (const InputError& error) {
            for (const Diagnostic& problem : error.diagnostics()) {
                diagnostics.error(problem);
            }
            continue;
        }
        if (!text) {
            ++binary_files_;
        } else if (!text->empty() && diagnostics.ok()) {  // else only the problems matter
            ++text_files_;
            append(*text, codec);
        }
    }
    diagnostics.throw_if_errors();
    const std::string where = paths.front().string();
    const auto count = static_cast<std::int64_t>(tokens_.size());
    if (text_files_ == 0) {
        throw InputError(where, fmt::format("no text to train on ({} binary files were skipped)",
                                            binary_files_));
    }
    if (count < spec_.sequence_length) {
        throw InputError(where, fmt::format("{} tokens of text are too few for one sequence of {}",
                                            count, spec_.sequence_length));
    }
}

void TrainingData::append(const std::string& text, const TextCodec& codec) {
    const std::vector<Token> encoded = codec.encode(text);
    if (codec.adds_begin_token() && codec.begin_token()) {
        tokens_.push_back(*codec.begin_token());
    }
    tokens_.insert(tokens_.end(), encoded.begin(), encoded.end());
    if (codec.end_token()) {
        tokens_.push_back(*codec.end_token());
    }
}

void TrainingData::divide() {
    const std::int64_t length = spec_.sequence_length;
    const std::int64_t sequences = static_cast<std::int64_t>(tokens_.size()) / length;
    tokens_.resize(static_cast<std::size_t>(sequences * length));
    tokens_.shrink_to_fit();
    const auto held =
        static_cast<std::int64_t>(static_cast<double>(sequences) * spec_.held_out_fraction);
    std::int64_t next = 0;
    for (std::int64_t i = 0; i < held; ++i) {
        // The last one of each of `held` nearly equal parts.
        held_out_.push_back((i + 1) * sequences / held - 1);
        for (; next < held_out_.back(); ++next) {
            training_.push_back(next);
        }
        ++next;
    }
    for (; next < sequences; ++next) {
        training_.push_back(next);
    }
    alphabet_ = *std::max_element(tokens_.begin(), tokens_.end()) + 1;
    const std::string_view bytes(reinterpret_cast<const char*>(tokens_.data()),
                                 tokens_.size() * sizeof(std::int32_t));
    hash_ = content_hash(fmt::format("{} {} {}", content_hash(bytes), length, held));
}

TrainingData::Sequence TrainingData::at(std::int64_t sequence) const {
    const auto begin = tokens_.begin() + sequence * spec_.sequence_length;
    return {begin, begin + spec_.sequence_length};
}

TrainingData::Sequence TrainingData::sequence(std::int64_t step, std::int64_t index) const {
    R1_CHECK(step >= 1 && index >= 0 && index < spec_.global_batch_sequences);
    const std::int64_t position = (step - 1) * spec_.global_batch_sequences + index;
    const std::int64_t epoch = position / training_sequences();
    const Permutation order(spec_.seed, static_cast<std::uint64_t>(epoch), training_.size());
    const auto place = static_cast<std::uint64_t>(position % training_sequences());
    return at(training_[order.at(place)]);
}

TrainingData::Sequence TrainingData::training(std::int64_t index) const {
    return at(training_.at(static_cast<std::size_t>(index)));
}

TrainingData::Sequence TrainingData::held_out(std::int64_t index) const {
    return at(held_out_.at(static_cast<std::size_t>(index)));
}

std::int64_t TrainingData::training_sequences() const {
    return static_cast<std::int64_t>(training_.size());
}

std::int64_t TrainingData::held_out_sequences() const {
    return static_cast<std::int64_t>(held_out_.size());
}

std::int64_t TrainingData::training_tokens() const {
    return training_sequences() * spec_.sequence_length;
}

std::int64_t TrainingData::held_out_tokens() const {
    return held_out_sequences() * spec_.sequence_length;
}

}  // namespace r1
