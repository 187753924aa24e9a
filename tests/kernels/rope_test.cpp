#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/rope.hpp"
#include "kernels/rope_table.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/golden_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/safetensors.hpp"

namespace r1 {
namespace {

using test::Buffer;

double largest_distance(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
    }
    return largest;
}

struct GoldenRope {
    RopeSettings settings;
    std::int64_t nope_dim = 128;
};

// The settings of a case are in its note in the index: "theta=…, dim=…, rope_scaling={…}|null, …
// qk_nope_head_dim=…".
GoldenRope golden_settings(const std::filesystem::path& path) {
    std::ifstream stream(test::golden_dir() / "index.json");
    const auto index = nlohmann::json::parse(stream);
    const std::string note =
        index.at("files").at("cases/" + path.filename().string()).at("note").get<std::string>();
    const auto after = [&note](const std::string& key) {
        const std::size_t at = note.find(key + "=");
        REQUIRE(at != std::string::npos);
        return note.substr(at + key.size() + 1);
    };
    GoldenRope golden;
    RopeSettings& settings = golden.settings;
    settings.theta = std::stod(after("theta"));
    settings.dim = std::stoll(after(" dim"));
    golden.nope_dim = std::stoll(after("qk_nope_head_dim"));
    const std::string scaling = after("rope_scaling");
    settings.yarn = scaling.front() == '{';
    if (settings.yarn) {
        const auto json = nlohmann::json::parse(scaling.substr(0, scaling.find('}') + 1));
        settings.factor = json.at("factor");
        settings.original_positions = json.at("original_max_position_embeddings");
        settings.beta_fast = json.at("beta_fast");
        settings.beta_slow = json.at("beta_slow");
        settings.mscale = json.at("mscale");
        settings.mscale_all_dim = json.at("mscale_all_dim");
    }
    return golden;
}

RopeArgs random_args(std::int64_t tokens, DType type, Buffer& q, Buffer& kv_a, Buffer& kv) {
    RopeArgs args;
    args.tokens = tokens;
    args.heads = 3;
    args.nope_dim = 5;
    args.rope_dim = 6;
    args.v_dim = 4;
    args.kv_lora_rank = 7;
    q = Buffer::random(tokens, 33, type, 1, 40);
    kv_a = Buffer::random(tokens, 13, type, 2);
    kv = Buffer::random(tokens, 27, type, 3);
    args.q = q.view();
    args.kv_a = kv_a.view();
    args.kv = kv.view();
    return args;
}

const std::vector<float> kFrequencies = {1.0F, 0.1F, 0.01F};

}  // namespace

TEST_CASE("rope: the golden tables and rotations", "[kernels][rope][golden]") {
    for (const auto& path : test::golden_cases("rope_")) {
        INFO(path.filename().string());
        const test::SafeTensors file(path);
        const std::vector<std::int32_t> positions = file.as_i32("positions");
        const GoldenRope golden = golden_settings(path);
        const RopeSettings& settings = golden.settings;
        REQUIRE(settings.dim == file.at("x").shape[2]);
        std::vector<float> frequencies(static_cast<std::size_t>(settings.dim / 2));
        rope_frequencies(settings, frequencies);
        const std::vector<float> want_frequencies = file.as_f32("inv_freq");
        for (std::size_t i = 0; i < frequencies.size(); ++i) {
            CHECK(frequencies[i] == Approx(want_frequencies[i]).epsilon(1e-6));
        }
        CHECK(softmax_scale(settings, golden.nope_dim + settings.dim) ==
              Approx(file.as_f32("softmax_scale")[0]).epsilon(1e-6));
        CHECK((rope_magnitude(settings) == 1 || settings.mscale != settings.mscale_all_dim));
        std::vector<float> cos;
        std::vector<float> sin;
        for (const std::int32_t position : positions) {
            for (const float frequency : frequencies) {
                const Rotation turn = rotation(position, frequency, rope_magnitude(settings));
                cos.push_back(turn.cos);
                sin.push_back(turn.sin);
            }
        }
        // The reference's own table sharply, the exact one within what float32 angles allow.
        CHECK(largest_distance(cos, file.as_f32("cos_ref_f32")) <= 1e-6);
        CHECK(largest_distance(sin, file.as_f32("sin_ref_f32")) <= 1e-6);
        CHECK(largest_distance(cos, file.as_f32("cos")) <= 0.00045);
        CHECK(largest_distance(sin, file.as_f32("sin")) <= 0.00045);

        std::vector<float> x = file.as_f32("x");
        std::vector<float> y(x.size());
        RopeArgs args;
        args.tokens = static_cast<std::int64_t>(positions.size());
        args.heads = file.at("x").shape[1];
        args.rope_dim = settings.dim;
        args.positions = positions.data();
        args.frequencies = frequencies.data();
        args.magnitude = rope_magnitude(settings);
        args.q = {x.data(), DType::f32, args.heads * args.rope_dim};
        args.q_rope = {y.data(), DType::f32, args.heads * args.rope_dim};
        reference::rope(args);
        CHECK(largest_distance(y, file.as_f32("y")) <= 0.0027);
        std::fill(y.begin(), y.end(), 0.0F);
        cpu::rope(args);
        CHECK(largest_distance(y, file.as_f32("y")) <= 0.0027);
    }
}

TEST_CASE("rope: without a ramp all frequencies are divided", "[kernels][rope]") {
    // Both betas beyond the original context: every pair turns less than once, so all are scaled.
    RopeSettings settings;
    settings.dim = 8;
    settings.yarn = true;
    settings.factor = 4;
    settings.original_positions = 1;
    settings.mscale = 2;
    std::vector<float> scaled(4);
    rope_frequencies(settings, scaled);
    settings.yarn = false;
    std::vector<float> plain(4);
    rope_frequencies(settings, plain);
    for (std::size_t i = 1; i < plain.size(); ++i) {
        CHECK(scaled[i] == Approx(plain[i] / 4));
    }
    settings.yarn = true;
    CHECK(rope_magnitude(settings) ==
          Approx((0.2 * std::log(4.0) + 1) / (0.1 * std::log(4.0) + 1)));
}

TEST_CASE("rope: keys by hand", "[kernels][rope]") {
    // A quarter turn of (1, 2) is (-2, 1); both heads get it after their own nope part.
    std::vector<float> q(6);
    std::vector<float> kv_a = {9, 1, 2};
    std::vector<float> kv = {3, 30, 4, 40};
    std::vector<float> q_rope(6);
    std::vector<float> k(6);
    const std::int32_t position = 1;
    const float frequency = 1.57079633F;
    RopeArgs args;
    args.tokens = 1;
    args.heads = 2;
    args.nope_dim = args.v_dim = args.kv_lora_rank = 1;
    args.rope_dim = 2;
    args.positions = &position;
    args.frequencies = &frequency;
    args.q = {q.data(), DType::f32, 6};
    args.kv_a = {kv_a.data(), DType::f32, 3};
    args.kv = {kv.data(), DType::f32, 4};
    args.q_rope = {q_rope.data(), DType::f32, 6};
    args.k = {k.data(), DType::f32, 6};
    const std::vector<float> want = {3, -2, 1, 4, -2, 1};
    reference::rope(args);
    CHECK(largest_distance(k, want) <= 1e-6);
    std::fill(k.begin(), k.end(), 0.0F);
    cpu::rope(args);
    CHECK(largest_distance(k, want) <= 1e-6);
    args.keys_rotated = true;
    cpu::rope(args);
    CHECK(k == std::vector<float>{3, 1, 2, 4, 1, 2});
}

TEST_CASE("rope_latent: a token's row in the cache of its sequence is its position",
          "[kernels][rope]") {
    const std::vector<std::int32_t> positions = {2, 1};
    const float frequency = 0;  // nothing is turned
    const std::vector<float> norm = {5, 6};
    const std::vector<float> kv_a = {9, 1, 2, 9, 3, 4};
    RopeLatentArgs args;
    args.sequences = 2;
    args.tokens = 1;
    args.cache_rows = 3;
    args.rope_dim = 2;
    args.kv_lora_rank = 1;
    args.positions = positions.data();
    args.frequencies = &frequency;
    args.kv_a_norm = {norm.data(), DType::f32, 1};
    args.kv_a = {kv_a.data(), DType::f32, 3};
    for (const bool fast : {false, true}) {
        std::vector<float> latent(18, 7);
        args.latent = {latent.data(), DType::f32, 3};
        fast ? cpu::rope_latent(args) : reference::rope_latent(args);
        CHECK(latent == std::vector<float>{7, 7, 7, 7, 7, 7, 5, 1, 2, 7, 7, 7, 6, 3, 4, 7, 7, 7});
    }
    args.cache_rows = 2;
    CHECK_THROWS_AS(cpu::rope_latent(args), InternalError);
}

TEST_CASE("rope: cpu agrees with the reference to the bit", "[kernels][rope]") {
    for (const std::int64_t tokens : {0, 1, 40}) {
        for (const DType type : {DType::f32, DType::bf16}) {
            std::vector<std::int32_t> positions;
            for (std::int32_t t = 0; t < tokens; ++t) {
                positions.push_back(3000 * t + 5);
            }
            Buffer q(0, 1, type);
            Buffer kv_a(0, 1, type);
            Buffer kv(0, 1, type);
            RopeArgs args = random_args(tokens, type, q, kv_a, kv);
            args.positions = positions.data();
            args.frequencies = kFrequencies.data();
            args.magnitude = 1.25F;
            Buffer want_q(tokens, 33, type);
            Buffer want_k(tokens, 33, type);
            Buffer got_q(tokens, 33, type);
            Buffer got_k(tokens, 33, type);
            args.q_rope = want_q.view();
            args.k = want_k.view();
            reference::rope(args);
            args.q_rope = got_q.view();
            args.k = got_k.view();
            cpu::rope(args);
            CHECK(want_q.bytes() == got_q.bytes());
            CHECK(want_k.bytes() == got_k.bytes());

            Buffer norm = Buffer::random(tokens, 7, type, 4);
            Buffer want(3000 * tokens + 6, 13, type);
            Buffer got(3000 * tokens + 6, 13, type);
            RopeLatentArgs latent;
            latent.tokens = tokens;
            latent.cache_rows = 3000 * tokens + 6;
            latent.rope_dim = 6;
            latent.kv_lora_rank = 7;
            latent.positions = positions.data();
            latent.frequencies = kFrequencies.data();
            latent.magnitude = 1.25F;
            latent.kv_a_norm = norm.view();
            latent.kv_a = kv_a.view();
            latent.latent = want.view();
            reference::rope_latent(latent);
            latent.latent = got.view();
            cpu::rope_latent(latent);
            CHECK(want.bytes() == got.bytes());
        }
    }
}

}  // namespace r1
