// The executed forward graph against the golden model outputs: every model folder of the index,
// every expected_* file, every tensor that the graph computes, by the index's comparison.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "runtime/evaluate.hpp"
#include "runtime/generate.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/safetensors.hpp"

using namespace r1;
namespace fs = std::filesystem;

namespace {

// Greedy continuations are generate's, and another reading of MTP's input is not what the graph
// computes.
bool not_computed(const std::string& name) {
    return name.starts_with("greedy.") || name.starts_with("mtp_prenorm.") ||
           name.starts_with("kvb_fp8gemm.") || name.ends_with("router.margin");
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
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

void compare_elements(const std::vector<float>& got, const std::vector<float>& want, double atol,
                      double rtol) {
    REQUIRE(got.size() == want.size());
    double worst = -1e30;
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double excess = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])) -
                              (atol + rtol * std::abs(static_cast<double>(want[i])));
        worst = std::max(worst, std::isnan(excess) ? 1e30 : excess);
    }
    CHECK(worst <= 0);
}

// Share of rows whose chosen experts are the same set.
double equal_sets(const std::vector<std::int32_t>& got, const std::vector<std::int32_t>& want,
                  std::size_t width) {
    REQUIRE(got.size() == want.size());
    std::size_t equal = 0;
    for (std::size_t row = 0; row < got.size(); row += width) {
        const auto set_of = [&](const std::vector<std::int32_t>& values) {
            const auto begin = values.begin() + static_cast<std::ptrdiff_t>(row);
            return std::set<std::int32_t>(begin, begin + static_cast<std::ptrdiff_t>(width));
        };
        equal += set_of(got) == set_of(want);
    }
    return static_cast<double>(equal * width) / static_cast<double>(got.size());
}

// Rounding of FP8 activations is discontinuous: distances of rows as the set's README suggests.
void compare_statistically(const std::vector<float>& got, const std::vector<float>& want,
                           std::size_t width, bool is_short) {
    REQUIRE(got.size() == want.size());
    std::vector<double> distances;
    std::size_t same_top = 0;
    for (std::size_t row = 0; row < got.size(); row += width) {
        double difference = 0;
        double norm = 0;
        for (std::size_t i = row; i < row + width; ++i) {
            difference += std::pow(got[i] - want[i], 2);
            norm += std::pow(want[i], 2);
        }
        distances.push_back(std::sqrt(difference / norm));
        const auto top = [&](const std::vector<float>& values) {
            const auto begin = values.begin() + static_cast<std::ptrdiff_t>(row);
            return std::max_element(begin, begin + static_cast<std::ptrdiff_t>(width)) - begin;
        };
        same_top += top(got) == top(want);
    }
    std::sort(distances.begin(), distances.end());
    const auto quantile = [&](double q) {
        return distances[static_cast<std::size_t>(q * static_cast<double>(distances.size() - 1))];
    };
    if (is_short) {
        // Seven rows: one may have flipped.
        CHECK(quantile(0.8) <= 1e-3);
        CHECK(distances.back() <= 0.10);
    } else {
        CHECK(quantile(0.5) <= 0.05);
        CHECK(quantile(0.9) <= 0.09);
        CHECK(static_cast<double>(same_top) >= 0.92 * static_cast<double>(distances.size()));
    }
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
        compare_statistically(greedy_logits(checkpoint, policy, prompt, greedy), want,
                              want.size() / greedy.size(), contains(file, "_short"));
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

void check_file(const fs::path& folder, const std::string& file, const Json& entry) {
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
            const double share = equal_sets(got.i32, golden.as_i32(name),
                                            static_cast<std::size_t>(got.shape.back()));
            CHECK(share >= (contains(file, "_fp8sim") ? 0.95 : 1.0));
        } else if (statistical && name == "logits") {
            compare_statistically(got.f32, golden.as_f32(name),
                                  static_cast<std::size_t>(got.shape.back()),
                                  contains(file, "_short"));
        } else if (!statistical) {
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
            check_file(test::golden_dir() / fs::path(path).parent_path(), file.string(), entry);
            ++files;
        }
    }
    CHECK(files > 0);
}
