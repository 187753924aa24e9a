// What evaluate() reports around the golden tensors.
#include "runtime/evaluate.hpp"

#include <cmath>

#include "tests/model/checkpoint_fixture.hpp"
#include "tests/runtime/tiny_model.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace r1;

namespace {

// The small checkpoint with changes to its config and tensors.
Evaluation evaluate_small(const Json& config, const test::TensorSet& tensors,
                          const EvaluateOptions& options) {
    const test::TemporaryFolder folder("evaluate");
    write_checkpoint(folder.path(), tensors.views(), kShardBytes, &config);
    return evaluate(Checkpoint::open(folder.path()), {3, 17, 5}, 1, options);
}

}  // namespace

TEST_CASE("evaluate: softmax router scores are probabilities", "[runtime]") {
    Json json = test::small_config_json();
    json["scoring_func"] = "softmax";
    json["topk_method"] = "greedy";
    json["norm_topk_prob"] = false;
    test::TensorSet tensors = test::small_tensors(test::small_config(json));
    EvaluateOptions options;
    options.router = true;
    const Evaluation evaluation = evaluate_small(json, tensors, options);
    const NamedTensor& scores = evaluation.tensors.at("layers.1.router.scores");
    const NamedTensor& dense = evaluation.tensors.at("layers.1.router.weights_dense");
    for (std::size_t row = 0; row < 3; ++row) {
        float sum = 0;
        for (std::size_t expert = 0; expert < 4; ++expert) {
            const float score = scores.f32[row * 4 + expert];
            CHECK(score >= 0);
            sum += score;
            // Not normalised: a chosen expert's weight is its score.
            const float weight = dense.f32[row * 4 + expert];
            CHECK((weight == 0 || weight == Approx(score)));
        }
        CHECK(sum == Approx(1));
    }
}

TEST_CASE("evaluate: an FP8 code that is no number names its tensor", "[runtime]") {
    const Json json = test::small_config_json();
    test::TensorSet tensors = test::small_tensors(test::small_config(json));
    const std::string name = "model.layers.0.mlp.down_proj.weight";
    const TensorView view = tensors.at(name);
    std::vector<std::byte> codes(view.data.begin(), view.data.end());
    codes[77] = std::byte{0xFF};
    const std::vector<std::int64_t> shape = view.shape;
    tensors.erase(name);
    tensors.add(name, StoredType::f8_e4m3, shape, codes);
    for (const Fp8Mode mode : {Fp8Mode::simulate, Fp8Mode::dequantize}) {
        EvaluateOptions options;
        options.policy.fp8 = mode;
        const std::string error =
            test::input_error([&] { evaluate_small(json, tensors, options); });
        CHECK(test::contains(error, name));
        CHECK(test::contains(error, "model.safetensors"));
    }
}

TEST_CASE("evaluate: one token has no loss, and indices stay integers", "[runtime]") {
    EvaluateOptions options;
    options.mtp = options.router = true;
    const Evaluation evaluation = evaluate(test::tiny_model(), {7}, 1, options);
    CHECK(std::isnan(evaluation.tensors.at("loss").f32.front()));
    CHECK(evaluation.tensors.at("nll").f32.empty());
    const NamedTensor& indices = evaluation.tensors.at("mtp.router.indices");
    CHECK(indices.is_integer);
    CHECK(indices.shape == std::vector<std::int64_t>{0, 4});
}

TEST_CASE("evaluate: a wrong token of a batch is named by its sequence", "[runtime]") {
    EvaluateOptions options;
    options.token_source = "batch.safetensors";
    const std::string error = test::input_error([&] {
        evaluate(test::tiny_model(), {1, 2, 3, 4, 5, 192}, 2, options);
    });
    CHECK(test::contains(error, "batch.safetensors"));
    CHECK(test::contains(error, "token 192 at position 2 of sequence 1"));
}
