// The executed training graph against golden gradients: every grads_main* and grads_mtp* file of
// the index, every tensor in it, by the index's comparison.
#include <filesystem>
#include <iostream>
#include <string>

#include "model/base/json.hpp"
#include "runtime/gradients.hpp"
#include "tests/runtime/golden_compare.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/safetensors.hpp"

using namespace r1;
namespace fs = std::filesystem;

namespace {

// Which loss a file is about; nullopt: it is no file of gradients.
std::optional<GradientLoss> gradient_loss_of(const std::string& path) {
    const std::string name = fs::path(path).filename().string();
    if (name.rfind("grads_main", 0) == 0) {
        return GradientLoss::main;
    }
    if (name.rfind("grads_mtp", 0) == 0) {
        return GradientLoss::mtp;
    }
    return std::nullopt;
}

// The MTP layer's own copies of embedding and head share the main tensors' gradient.
bool is_copy(const std::string& name) {
    return name.ends_with("shared_head.head.weight") ||
           (name.find(".layers.") != std::string::npos && name.ends_with("embed_tokens.weight"));
}

void check_gradients(const fs::path& file, const Json& entry, GradientLoss loss) {
    const test::SafeTensors golden(file);
    const test::Tensor& tokens = golden.at("tokens");
    const std::int64_t sequences = tokens.shape.size() > 1 ? tokens.shape.front() : 1;
    const Checkpoint checkpoint = Checkpoint::open(file.parent_path());
    EvaluateOptions options;
    options.policy.fp8 = Fp8Mode::dequantize;
    const Evaluation got =
        evaluate_gradients(checkpoint, golden.as_i32("tokens"), sequences, loss, options);
    std::size_t compared = 0;
    for (const auto& [name, about] : entry.at("tensors").items()) {
        // A file about the MTP loss may name the others too.
        const bool is_loss = name == (loss == GradientLoss::main ? "loss" : "loss_mtp_mean");
        if (!about.contains("atol") || is_copy(name) || (name.rfind("grad.", 0) != 0 && !is_loss)) {
            continue;
        }
        INFO(name);
        const auto found = got.tensors.find(is_loss ? "loss" : name);
        REQUIRE(found != got.tensors.end());
        CHECK(found->second.shape == golden.at(name).shape);
        test::compare_elements(found->second.f32, golden.as_f32(name),
                               about.at("atol").get<double>(), about.at("rtol").get<double>());
        ++compared;
    }
    CHECK(compared > 0);
}

}  // namespace

TEST_CASE("gradients: equal the golden ones", "[runtime][training][golden]") {
    const Document index = Document::from_file(test::golden_dir() / "index.json");
    bool is_any = false;
    for (const auto& [path, entry] : index.root().at("files").items()) {
        if (const auto loss = gradient_loss_of(path)) {
            INFO(path);
            is_any = true;
            check_gradients(test::golden_dir() / path, entry, *loss);
        }
    }
    if (!is_any) {
        std::cout << "r1 test skipped: no gradients in this set\n";
    }
}
