// The executed forward graph against the golden model outputs: every model folder of the index,
// every expected_* file, every tensor that the graph computes, by the index's comparison.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "runtime/evaluate.hpp"
#include "runtime/generate.hpp"
#include "tests/runtime/golden_compare.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/safetensors.hpp"

using namespace r1;
using test::compare_elements;
using test::contains;
namespace fs = std::filesystem;

namespace {

// Greedy continuations are generate's, and another reading of MTP's input is not what the graph
// computes.
bool not_computed(const std::string& name) {
    return name.starts_with("greedy.") || name.starts_with("mtp_prenorm.") ||
           name.starts_with("kvb_fp8gemm.") || name.ends_with("router.margin");
}

// The rows of `got` that the file kept: all, or those of "positions".
std::vector<float> kept_rows(const NamedTensor& got, std::size_t wanted,
                             const std::vector<std::int32_t>& positions) {
    if (got.f32.size() == wanted) {
        return got.f32;
    }
    const std::size_t width = got.f32.size() / static_cast<std::size_t>(got.shape.front());
    std::vector<float> rows;
    for (const std::int32_t position : positions) {
        if (position < got.shape.front()) {
            const auto begin = got.f32.begin() + static_cast<std::ptrdiff_t>(
                                                     static_cast<std::size_t>(position) * width);
            rows.insert(rows.end(), begin, begin + static_cast<std::ptrdiff_t>(width));
        }
    }
    return rows;
}

// The stored continuation, fed back: the logits that chose each of its tokens come from the cache.
std::vector<float> greedy_logits(const Checkpoint& checkpoint, const ExecutionPolicy& policy,
                                 TokenIds tokens, const TokenIds& greedy) {
    GenerateOptions options;
    options.policy = policy;
    options.max_new_tokens = 1;
    options.keep_logits = true;
    std::vector<float> logits;
    for (const std::int32_t token : greedy) {
        const Generation one = generate(checkpoint, {tokens}, options);
        const std::vector<float>& row = one.sequences.front().logits;
        logits.insert(logits.end(), row.begin(), row.end());
        tokens.push_back(token);
    }
    return logits;
}

void check_greedy(const Checkpoint& checkpoint, const test::SafeTensors& golden,
                  const std::string& file, const Json& entry, const ExecutionPolicy& policy) {
    const TokenIds prompt = golden.as_i32("tokens");
    const TokenIds greedy = golden.as_i32("greedy.tokens");
    const std::vector<float> want = golden.as_f32("greedy.logits");
    INFO(file << ": greedy");
    if (contains(file, "_fp8sim")) {
        const std::vector<float> got = greedy_logits(checkpoint, policy, prompt, greedy);
        const std::size_t width = want.size() / greedy.size();
        test::compare_fp8_rows(got, want, width, contains(file, "_short"), 1);
        test::compare_top(got, want, width);
        return;
    }
    GenerateOptions options;
    options.policy = policy;
    options.max_new_tokens = static_cast<std::int64_t>(greedy.size());
    options.keep_logits = true;
    const Generation generation = generate(checkpoint, {prompt}, options);
    CHECK(generation.sequences.front().tokens == greedy);
    const Json& about = entry.at("tensors").at("greedy.logits");
    compare_elements(generation.sequences.front().logits, want, about.at("atol").get<double>(),
                     about.at("rtol").get<double>());
}

// A tensor of an FP8 file. Rows are wide enough to tell a flip from a wrong value, or narrow.
void compare_fp8(const NamedTensor& got, const std::vector<float>& want, const std::string& name,
                 const std::vector<std::int32_t>& positions, bool is_short) {
    constexpr std::int64_t kWide = 100;
    const std::vector<float> rows = kept_rows(got, want.size(), positions);
    const std::int64_t width = got.shape.size() == 1 ? 1 : got.shape.back();
    if (width < kWide) {
        test::compare_fp8_values(rows, want);
        return;
    }
    const bool is_logits = name == "logits";
    test::compare_fp8_rows(rows, want, static_cast<std::size_t>(width), is_short,
                           is_logits ? 1 : 2);
    if (is_logits && !is_short) {
        test::compare_top(rows, want, static_cast<std::size_t>(width));
    }
}

// What a file says twice: losses follow from logits, dense weights from chosen experts. A value
// that no statistics would notice is noticed here.
void check_consistency(const test::SafeTensors& golden, const Json& tensors) {
    const auto near = [](double a, double b) {
        return std::abs(a - b) <= 1e-4 * (1 + std::abs(b));
    };
    const std::vector<std::int32_t> tokens = golden.as_i32("tokens");
    const std::vector<float> logits = golden.as_f32("logits");
    const std::vector<float> nll = golden.as_f32("nll");
    const std::size_t width = logits.size() / tokens.size();
    double sum = 0;
    for (std::size_t i = 0; i < nll.size(); ++i) {
        const float* row = logits.data() + i * width;
        const double largest = *std::max_element(row, row + width);
        double total = 0;
        for (std::size_t j = 0; j < width; ++j) {
            total += std::exp(row[j] - largest);
        }
        CHECK(near(largest + std::log(total) - row[tokens[i + 1]], nll[i]));
        sum += nll[i];
    }
    CHECK(near(sum / static_cast<double>(nll.size()), golden.as_f32("loss").front()));
    for (const auto& [name, about] : tensors.items()) {
        if (!name.ends_with("router.weights_dense")) {
            continue;
        }
        const std::string router =
            name.substr(0, name.size() - std::string("weights_dense").size());
        std::vector<float> dense = golden.as_f32(name);
        const std::vector<std::int32_t> indices = golden.as_i32(router + "indices");
        const std::vector<float> weights = golden.as_f32(router + "weights");
        const auto shape = about.at("shape").get<std::vector<std::size_t>>();
        const std::size_t slots = indices.size() / shape.front();
        for (std::size_t i = 0; i < indices.size(); ++i) {
            float& value =
                dense.at(i / slots * shape.back() + static_cast<std::size_t>(indices[i]));
            CHECK(near(value, weights[i]));
            value = 0;
        }
        CHECK(std::all_of(dense.begin(), dense.end(), [](float value) { return value == 0; }));
    }
}

void check_outputs(const fs::path& folder, const std::string& file, const Json& entry) {
    const fs::path config =
        folder / (contains(file, "_noyarn") ? "config_noyarn.json" : "config.json");
    Diagnostics diagnostics;
    const ModelConfig model = read_model_config(Document::from_file(config), "", diagnostics);
    diagnostics.throw_if_errors();
    const Checkpoint checkpoint = Checkpoint::open(folder, model);
    const test::SafeTensors golden(folder / file);
    EvaluateOptions options;
    options.hidden = options.router = options.mtp = true;
    options.policy.fp8 = contains(file, "_fp8sim") ? Fp8Mode::simulate : Fp8Mode::dequantize;
    const Evaluation result = evaluate(checkpoint, golden.as_i32("tokens"), 1, options);
    INFO(file);
    check_consistency(golden, entry.at("tensors"));
    if (golden.has("greedy.tokens")) {
        check_greedy(checkpoint, golden, file, entry, options.policy);
    }
    const std::vector<std::int32_t> positions =
        golden.has("positions") ? golden.as_i32("positions") : std::vector<std::int32_t>{};
    for (const auto& [name, about] : entry.at("tensors").items()) {
        const std::string compare = about.value("compare", Json("")).get<std::string>();
        if (not_computed(name) || compare == "input" || compare == "information") {
            continue;
        }
        INFO(file << ": " << name);
        REQUIRE(result.tensors.count(name) == 1);
        const NamedTensor& got = result.tensors.at(name);
        const bool statistical = contains(compare, "statistical");
        if (contains(compare, "as a set")) {
            const double share = test::equal_sets(got.i32, golden.as_i32(name),
                                                  static_cast<std::size_t>(got.shape.back()));
            CHECK(share >= (contains(file, "_fp8sim") ? 0.95 : 1.0));
        } else if (statistical) {
            compare_fp8(got, golden.as_f32(name), name, positions, contains(file, "_short"));
        } else {
            const std::vector<float> want = golden.as_f32(name);
            compare_elements(kept_rows(got, want.size(), positions), want,
                             about.at("atol").get<double>(), about.at("rtol").get<double>());
        }
    }
}

}  // namespace

TEST_CASE("runtime: the executed graph gives the golden model outputs", "[runtime][golden]") {
    const Document index = Document::from_file(test::golden_dir() / "index.json");
    std::size_t files = 0;
    for (const auto& [path, entry] : index.root().at("files").items()) {
        const fs::path file = fs::path(path).filename();
        if (file.string().starts_with("expected_")) {
            check_outputs(test::golden_dir() / fs::path(path).parent_path(), file.string(), entry);
            ++files;
        }
    }
    CHECK(files > 0);
}
