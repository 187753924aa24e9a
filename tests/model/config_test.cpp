// ModelConfig, the parameter inventory and what follows from it: against published numbers, the
// released config files and the tensors of the golden checkpoints.
#include "model/base/json.hpp"
#include "model/config/model_config.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/config/parameters.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/safetensors.hpp"

using namespace r1;
namespace fs = std::filesystem;

namespace {

ModelConfig parse_config(const Json& json, Diagnostics& diagnostics) {
    return read_model_config(Document::from_json(json, "test"), "", diagnostics);
}

ModelConfig parse_config(const Json& json) {
    Diagnostics diagnostics;
    ModelConfig config = parse_config(json, diagnostics);
    diagnostics.throw_if_errors();
    return config;
}

ModelConfig load(const std::string& name) {
    Diagnostics diagnostics;
    ModelConfig config = read_model_config(load_model_document(name, "."), "", diagnostics);
    diagnostics.throw_if_errors();
    return config;
}

bool has_parameter(const ModelConfig& config, const std::string& part) {
    const std::vector<Parameter> all = parameter_inventory(config);
    return std::any_of(all.begin(), all.end(), [&](const Parameter& parameter) {
        return parameter.name.find(part) != std::string::npos;
    });
}

void check_r1(const ModelConfig& config) {
    const ParameterCounts counts = count_parameters(config);
    CHECK(counts.total == 671026419200);
    CHECK(counts.active_per_token == 37552297472);
    CHECK(counts.active_per_token_without_embedding == 36625618432);
    CHECK(counts.mtp == 11610068224);
    CHECK(kv_cache_bytes_per_token(config).value() == 70272);
    CHECK(config.fp8_weights);
    REQUIRE(config.rope_scaling);
    CHECK(config.rope_scaling->factor == 40);
    CHECK(config.rope_scaling->original_max_position_embeddings == 4096);
}

// Names and shapes of a checkpoint's tensors, without FP8 scales.
using Shapes = std::map<std::string, std::vector<std::int64_t>>;

Shapes checkpoint_shapes(const fs::path& folder) {
    Shapes shapes;
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string file = entry.path().filename().string();
        if (file.rfind("model", 0) != 0 || entry.path().extension() != ".safetensors") {
            continue;
        }
        const test::SafeTensors checkpoint(entry.path());
        for (const auto& [name, tensor] : checkpoint.tensors()) {
            if (name.find("_scale_inv") == std::string::npos) {
                shapes[name] = tensor.shape;
            }
        }
    }
    return shapes;
}

}  // namespace

TEST_CASE("config: R1 has its published parameters", "[model][config]") {
    for (const std::string preset : {"deepseek-r1", "deepseek-v3"}) {
        INFO(preset);
        check_r1(load(preset));
    }
}

TEST_CASE("config: the golden configs give the published counts", "[model][config][golden]") {
    for (const fs::path& entry : test::golden_entries("configs")) {
        INFO(entry);
        const ModelConfig config = load(entry.string());
        if (entry.filename() == "deepseek-r1") {
            check_r1(config);
        }
        CHECK(count_parameters(config).total > 0);
    }
}

TEST_CASE("config: FLOPs per token follow from the weights", "[model][config]") {
    const ModelConfig config = load("deepseek-r1");
    // isca25_insights.json: 250 GFLOPs a token for forward and backward, causal.
    CHECK(training_flops_per_token(config, 4096, true).value() == Approx(250e9).epsilon(0.01));
    CHECK(training_flops_per_token(config, 4096, true).value() ==
          3 * forward_flops_per_token(config, 4096, true).value());
    // Every active weight but the embedding multiplies each token once; norms and biases do not.
    const ParameterCounts counts = count_parameters(config);
    std::int64_t vectors = 0;
    for (const Parameter& parameter : parameter_inventory(config)) {
        if (parameter.layer < config.num_hidden_layers && parameter.shape.size() == 1) {
            vectors += parameter.count();
        }
    }
    const double matrices =
        2 * static_cast<double>(counts.active_per_token_without_embedding - vectors);
    CHECK(forward_flops_per_token(config, 0, true).value() == matrices);
    // Scores and values of 128 heads of widths 192 and 128, in 61 layers.
    const double attention = 2.0 * 61 * 128 * (192 + 128) * 4096;
    CHECK(forward_flops_per_token(config, 4096, false).value() == matrices + attention);
    CHECK(forward_flops_per_token(config, 4096, true).value() == matrices + attention / 2);
}

TEST_CASE("config: released configs of the same architecture are read", "[model][config]") {
    const fs::path folder = test::data_dir() / "formats" / "huggingface";
    if (!fs::exists(folder)) {
        WARN("r1 test skipped: no " << folder);
        return;
    }
    for (const std::string name : {"deepseek-v3", "deepseek-r1", "deepseek-v3.1-nvfp4"}) {
        INFO(name);
        const ModelConfig config = load((folder / name).string());
        CHECK(count_parameters(config).total == 671026419200);
        CHECK(config.fp8_weights == (name != "deepseek-v3.1-nvfp4"));
    }
    const ModelConfig lite = load((folder / "deepseek-v2-lite").string());
    CHECK(lite.q_lora_rank == 0);
    CHECK(lite.n_group == 1);
    CHECK(lite.scoring_func == ScoringFunc::softmax);
    CHECK(lite.topk_method == TopkMethod::greedy);
    CHECK_FALSE(has_parameter(lite, "e_score_correction_bias"));
    CHECK(count_parameters(lite).mtp == 0);
    CHECK(count_parameters(lite).total == 15706484224);  // DeepSeek-V2-Lite: 15.7B
}

TEST_CASE("config: another attention is refused with its name", "[model][config]") {
    const fs::path file = test::data_dir() / "formats" / "huggingface" / "glm-5" / "config.json";
    Diagnostics diagnostics;
    if (fs::exists(file)) {
        read_model_config(Document::from_file(file), "", diagnostics);
    } else {
        Json json = model_preset("tiny-r1");
        json["model_type"] = "glm_moe_dsa";
        parse_config(json, diagnostics);
    }
    REQUIRE(diagnostics.errors().size() == 1);
    CHECK(diagnostics.errors().front().pointer == "/model_type");
    CHECK(diagnostics.errors().front().message.find("'glm_moe_dsa' is not supported") !=
          std::string::npos);
}

TEST_CASE("config: the inventory is that of the golden checkpoints", "[model][config][golden]") {
    int seen = 0;
    for (const std::string name : {"tiny_a", "mid_b", "mid_b_fp8"}) {
        const fs::path folder = test::golden_dir() / name;
        if (!fs::exists(folder)) {
            continue;
        }
        INFO(folder);
        Shapes expected;
        for (const Parameter& parameter : parameter_inventory(load(folder.string()))) {
            const bool is_new = expected.emplace(parameter.name, parameter.shape).second;
            CHECK(is_new);
        }
        CHECK(expected == checkpoint_shapes(folder));
        ++seen;
    }
    if (seen == 0) {
        WARN("r1 test skipped: no checkpoints in " << test::golden_dir());
    }
}

TEST_CASE("config: variants of the architecture", "[model][config]") {
    const Json tiny = model_preset("tiny-r1");
    const ParameterCounts base = count_parameters(parse_config(tiny));

    Json json = tiny;
    json["q_lora_rank"] = nullptr;
    CHECK(parse_config(json).q_lora_rank == 0);
    CHECK(has_parameter(parse_config(json), "q_proj"));
    CHECK_FALSE(has_parameter(parse_config(json), "q_a_proj"));

    json = tiny;
    json["n_group"] = 1;
    json["topk_group"] = 1;
    json["rope_scaling"] = nullptr;
    CHECK_FALSE(parse_config(json).rope_scaling);
    CHECK(count_parameters(parse_config(json)).total == base.total);

    json = tiny;
    json.erase("num_nextn_predict_layers");
    CHECK(count_parameters(parse_config(json)).mtp == 0);
    CHECK(count_parameters(parse_config(json)).total == base.total);

    // 6 MoE layers; a routed expert is 3 matrices of 128 x 64, a gate row 128 and a bias.
    json = tiny;
    json["n_routed_experts"] = 32;
    CHECK(count_parameters(parse_config(json)).total == base.total + 6 * 16 * (3 * 128 * 64 + 129));

    json = tiny;
    json["tie_word_embeddings"] = true;
    CHECK(count_parameters(parse_config(json)).total == base.total - 512 * 128);

    json = {{"text_config", tiny}};
    CHECK(count_parameters(parse_config(json)).total == base.total);

    json = tiny;
    json["n_routed_experts"] = 0;  // a dense model
    CHECK_FALSE(has_parameter(parse_config(json), "experts"));
    CHECK(count_parameters(parse_config(json)).active_per_token ==
          count_parameters(parse_config(json)).total);
}

TEST_CASE("config: malformed configs name the place", "[model][config]") {
    struct Case {
        const char* key;
        Json value;
        const char* pointer;
    };
    const std::vector<Case> cases = {
        {"hidden_size", "7168", "/hidden_size"},
        {"hidden_size", 0, "/hidden_size"},
        {"hidden_size", 12.5, "/hidden_size"},
        {"hidden_size", nullptr, "/hidden_size"},
        {"vocab_size", -1, "/vocab_size"},
        {"num_hidden_layers", Json::array(), "/num_hidden_layers"},
        {"num_nextn_predict_layers", 2, "/num_nextn_predict_layers"},
        {"intermediate_size", true, "/intermediate_size"},
        {"qk_rope_head_dim", 15, "/qk_rope_head_dim"},
        {"q_lora_rank", -4, "/q_lora_rank"},
        {"n_group", 3, "/n_group"},
        {"topk_group", 5, "/topk_group"},
        {"num_experts_per_tok", 9, "/num_experts_per_tok"},
        {"moe_layer_freq", 0, "/moe_layer_freq"},
        {"scoring_func", "tanh", "/scoring_func"},
        {"topk_method", "noaux", "/topk_method"},
        {"norm_topk_prob", "yes", "/norm_topk_prob"},
        {"rms_norm_eps", 0, "/rms_norm_eps"},
        {"rope_scaling", "yarn", "/rope_scaling"},
        {"rope_scaling", {{"type", "linear"}, {"factor", 2}}, "/rope_scaling/type"},
        {"rope_scaling", {{"type", "yarn"}, {"factor", 0.5}}, "/rope_scaling/factor"},
        {"model_type", "llama", "/model_type"},
        {"model_type", 3, "/model_type"},
    };
    for (const Case& c : cases) {
        INFO(c.key << " = " << c.value.dump());
        Json json = model_preset("tiny-r1");
        json[c.key] = c.value;
        Diagnostics diagnostics;
        parse_config(json, diagnostics);
        REQUIRE_FALSE(diagnostics.ok());
        const std::vector<Diagnostic>& errors = diagnostics.errors();
        CHECK(std::any_of(errors.begin(), errors.end(),
                          [&](const Diagnostic& e) { return e.pointer == c.pointer; }));
    }
}

TEST_CASE("config: missing keys are reported all at once", "[model][config]") {
    const std::vector<std::string> needed = {
        "vocab_size",   "hidden_size",      "num_hidden_layers", "intermediate_size",
        "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",  "v_head_dim"};
    Json json = model_preset("tiny-r1");
    for (const std::string& key : needed) {
        json.erase(key);
    }
    Diagnostics diagnostics;
    parse_config(json, diagnostics);
    CHECK(diagnostics.errors().size() >= needed.size());

    Diagnostics of_array;
    parse_config(Json::array(), of_array);
    CHECK_FALSE(of_array.ok());
    CHECK_THROWS_AS(load_model_document("deepseek-r2", "."), InputError);
}

TEST_CASE("config: unknown keys of foreign files are notes", "[model][config]") {
    Json json = model_preset("tiny-r1");
    json["brand_new_key"] = 1;
    Diagnostics diagnostics;
    parse_config(json, diagnostics);
    CHECK(diagnostics.ok());
    CHECK(diagnostics.notes().size() == 1);
}

TEST_CASE("config: what an override names must be read", "[model][config]") {
    const auto problems = [](Document document, const char* pointer, const Json& value) {
        REQUIRE(document.set(pointer, value, {"--set", 0, 0}));
        Diagnostics diagnostics;
        read_model_config(document, "", diagnostics);
        return diagnostics.errors().size();
    };
    const Json tiny = model_preset("tiny-r1");
    const Document plain = Document::from_json(tiny, "test");
    CHECK(problems(plain, "/num_hidden_layers", 5) == 0);
    CHECK(problems(plain, "/num_hiden_layers", 5) == 1);
    CHECK(problems(plain, "/torch_dtype", "float32") == 1);
    CHECK(problems(plain, "", tiny) == 0);  // harmless keys of a whole model
    // The text model of a larger one, whose other keys nothing reads.
    const Document wrapped = Document::from_json(
        {{"model_type", "kimi_k25"}, {"vision_config", 1}, {"text_config", tiny}}, "test");
    CHECK(problems(wrapped, "/text_config/num_hidden_layers", 5) == 0);
    CHECK(problems(wrapped, "/num_hidden_layers", 5) == 1);
}

TEST_CASE("config: what would be computed differently is refused", "[model][config]") {
    const auto problems = [](const char* key, const Json& value) {
        Json json = model_preset("tiny-r1");
        json[key] = value;
        Diagnostics diagnostics;
        parse_config(json, diagnostics);
        return diagnostics.errors();
    };
    for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
             {"hidden_act", "gelu"},
             {"attention_bias", true},
             {"rope_interleave", false},
             {"eos_token_id", "two"},
             {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2}}}}) {
        INFO(key);
        const std::vector<Diagnostic> found = problems(key, value);
        REQUIRE(!found.empty());
        CHECK(found.front().pointer.rfind(std::string("/") + key, 0) == 0);
    }
    CHECK(problems("hidden_act", "silu").empty());
    CHECK(problems("attention_bias", false).empty());
    CHECK(problems("rope_interleave", true).empty());
}

TEST_CASE("config: rope_parameters say what rope_scaling and rope_theta say", "[model][config]") {
    Json json = model_preset("tiny-r1");
    json.erase("rope_theta");
    json.erase("rope_scaling");
    json["rope_parameters"] = {{"rope_type", "yarn"},
                               {"rope_theta", 1e6},
                               {"factor", 8},
                               {"original_max_position_embeddings", 128}};
    const ModelConfig scaled = parse_config(json);
    CHECK(scaled.rope_theta == 1e6);
    REQUIRE(scaled.rope_scaling);
    CHECK(scaled.rope_scaling->factor == 8);
    CHECK(scaled.rope_scaling->original_max_position_embeddings == 128);
    json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 500}};
    CHECK(parse_config(json).rope_theta == 500);
    CHECK(!parse_config(json).rope_scaling);
}

TEST_CASE("config: end tokens are one, several or none", "[model][config]") {
    Json json = model_preset("tiny-r1");
    json["eos_token_id"] = 3;
    CHECK(parse_config(json).eos_token_ids == std::vector<std::int64_t>{3});
    json["eos_token_id"] = {3, 5};
    CHECK(parse_config(json).eos_token_ids == std::vector<std::int64_t>{3, 5});
    json["eos_token_id"] = nullptr;
    CHECK(parse_config(json).eos_token_ids.empty());
}
