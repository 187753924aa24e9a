// Checkpoints: all tensors of a config, in one file or in shards, and what can be wrong with them.
#include <cmath>
#include <iostream>
#include <limits>

#include "model/base/check.hpp"
#include "tests/model/checkpoint_fixture.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/safetensors.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fs = std::filesystem;
using namespace r1;
using test::contains;
using test::small_config;
using test::small_config_json;
using test::small_tensors;

namespace {

constexpr const char* kDown = "model.layers.0.mlp.down_proj.weight";  // [160, 48], FP8

std::string open_error(const fs::path& path) {
    return test::input_error([&] { Checkpoint::open(path); });
}

// Values without our own conversions: the table of an E4M3 byte is that of model/base.
float value_of(const TensorView& tensor, const TensorView* scale, std::size_t i) {
    if (tensor.dtype == StoredType::bf16) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, tensor.data.data() + 2 * i, 2);
        return float_from_bf16(bits);
    }
    if (tensor.dtype == StoredType::f32) {
        float value = 0;
        std::memcpy(&value, tensor.data.data() + 4 * i, 4);
        return value;
    }
    R1_CHECK(tensor.dtype == StoredType::f8_e4m3 && scale != nullptr);
    const auto columns = static_cast<std::size_t>(tensor.shape[1]);
    const std::size_t block = i / columns / 128 * ((columns + 127) / 128) + i % columns / 128;
    float factor = 0;
    std::memcpy(&factor, scale->data.data() + 4 * block, 4);
    return float_from_e4m3(std::to_integer<std::uint8_t>(tensor.data[i])) * factor;
}

void check_values(const Checkpoint& checkpoint) {
    for (const Parameter& parameter : parameter_inventory(checkpoint.config())) {
        INFO(parameter.name);
        const TensorView& tensor = checkpoint.at(parameter.name);
        const std::vector<float> values = checkpoint.f32(parameter.name);
        REQUIRE(values.size() == static_cast<std::size_t>(parameter.count()));
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < values.size(); ++i) {
            wrong +=
                values[i] == value_of(tensor, checkpoint.scale_of(parameter.name), i) ? 0U : 1U;
        }
        CHECK(wrong == 0);
    }
}

void write_small(const fs::path& folder, const test::TensorSet& tensors,
                 std::int64_t shard_bytes = kShardBytes, const Json& config = small_config_json()) {
    write_checkpoint(folder, tensors.views(), shard_bytes, &config);
}

void change_index(const fs::path& folder, const std::string& tensor, const Json& shard) {
    Json index = Json::parse(test::read_bytes(folder / "model.safetensors.index.json"));
    if (shard.is_null()) {
        index["weight_map"].erase(tensor);
    } else {
        index["weight_map"][tensor] = shard;
    }
    test::write_bytes(folder / "model.safetensors.index.json", index.dump());
}

}  // namespace

TEST_CASE("checkpoint: one file, FP8 with partial blocks", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    write_small(folder.path(), small_tensors(small_config()));
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    CHECK(checkpoint.config().hidden_size == 160);
    check_values(checkpoint);
    CHECK(checkpoint.find("model.nothing") == nullptr);
    CHECK(checkpoint.file_of(kDown) == (folder / "model.safetensors").string());
    check_values(Checkpoint::open(folder / "model.safetensors"));
    CHECK(contains(test::input_error([&] { (void)checkpoint.at("model.nothing"); }),
                   "'model.nothing'"));
}

TEST_CASE("checkpoint: shards, weights and scales in different ones", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    write_small(folder.path(), small_tensors(small_config()), 120'000);
    CHECK(!fs::exists(folder / "model.safetensors"));
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    check_values(checkpoint);
    CHECK(checkpoint.file_of(kDown) != checkpoint.file_of(std::string(kDown) + "_scale_inv"));
    check_values(Checkpoint::open(folder / "model.safetensors.index.json"));
    // No shard is larger than asked for.
    std::size_t shards = 0;
    for (const auto& item : fs::directory_iterator(folder.path())) {
        if (item.path().extension() == ".safetensors") {
            std::size_t bytes = 0;
            const SafetensorsFile file(item.path());
            for (const TensorView& tensor : file.tensors()) {
                bytes += tensor.data.size();
            }
            CHECK(bytes <= 120'000);
            ++shards;
        }
    }
    CHECK(shards >= 2);
    // Written again as one file: the index goes, or it would describe what is no more.
    write_small(folder.path(), small_tensors(small_config()));
    CHECK(!fs::exists(folder / "model.safetensors.index.json"));
    check_values(Checkpoint::open(folder.path()));
}

TEST_CASE("checkpoint: a tensor larger than a shard gets one of its own", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    test::TensorSet set;
    for (const char* name : {"a", "b", "c"}) {
        set.add(name, StoredType::u8, {10}, std::vector<std::uint8_t>(10, 1));
    }
    write_checkpoint(folder.path(), set.views(), 4);
    const Json index = Json::parse(test::read_bytes(folder / "model.safetensors.index.json"));
    CHECK(index["weight_map"]["b"] == "model-00002-of-00003.safetensors");
    CHECK(index["metadata"]["total_size"] == 30);
}

TEST_CASE("checkpoint: dequantisation of a weight by hand", "[model][checkpoint]") {
    // 130 x 129 has four blocks; 0x38 is 1, 0x3C is 1.5 in E4M3.
    std::vector<std::uint8_t> codes(130 * 129, 0x38);
    codes[129 * 129 + 128] = 0x3C;
    test::TensorSet set;
    set.add("w", StoredType::f8_e4m3, {130, 129}, codes);
    set.add("s", StoredType::f32, {2, 2}, std::vector<float>{1, 2, 4, 8});
    const std::vector<float> values = dequantize_to_f32(set.at("w"), set.at("s"));
    const auto at = [&](std::size_t row, std::size_t column) { return values[row * 129 + column]; };
    CHECK(at(0, 0) == 1);
    CHECK(at(127, 127) == 1);
    CHECK(at(127, 128) == 2);
    CHECK(at(128, 127) == 4);
    CHECK(at(128, 128) == 8);
    CHECK(at(129, 128) == 12);
}

TEST_CASE("checkpoint: every stored type as float32", "[model][checkpoint]") {
    const auto convert = [](StoredType type, auto value) {
        test::TensorSet set;
        set.add("t", type, {1}, std::vector<decltype(value)>{value});
        return to_f32(set.at("t")).at(0);
    };
    CHECK(convert(StoredType::boolean, std::uint8_t{1}) == 1);
    CHECK(convert(StoredType::u8, std::uint8_t{200}) == 200);
    CHECK(convert(StoredType::i8, std::int8_t{-3}) == -3);
    CHECK(convert(StoredType::i16, std::int16_t{-300}) == -300);
    CHECK(convert(StoredType::u16, std::uint16_t{65535}) == 65535);
    CHECK(convert(StoredType::i32, -70'000) == -70'000);
    CHECK(convert(StoredType::u32, 3'000'000'000U) == 3e9F);
    CHECK(convert(StoredType::i64, std::int64_t{-1} << 40) == -0x1p40F);
    CHECK(convert(StoredType::u64, std::uint64_t{1} << 63) == 0x1p63F);
    CHECK(convert(StoredType::f64, 0.5) == 0.5F);
    CHECK(convert(StoredType::f32, 0.1F) == 0.1F);
    CHECK(convert(StoredType::bf16, std::uint16_t{0xC040}) == -3);
    CHECK(convert(StoredType::f8_e4m3, std::uint8_t{0x7E}) == 448);
    CHECK(convert(StoredType::f8_e5m2, std::uint8_t{0xFB}) == -57344);
    CHECK(convert(StoredType::f8_e8m0, std::uint8_t{130}) == 8);
    // IEEE half: 1, the largest, the least normal and subnormal, -0, infinity, NaN.
    CHECK(convert(StoredType::f16, std::uint16_t{0x3C00}) == 1);
    CHECK(convert(StoredType::f16, std::uint16_t{0x7BFF}) == 65504);
    CHECK(convert(StoredType::f16, std::uint16_t{0x0400}) == 0x1p-14F);
    CHECK(convert(StoredType::f16, std::uint16_t{0x8001}) == -0x1p-24F);
    CHECK(std::signbit(convert(StoredType::f16, std::uint16_t{0x8000})));
    CHECK(convert(StoredType::f16, std::uint16_t{0xFC00}) ==
          -std::numeric_limits<float>::infinity());
    CHECK(std::isnan(convert(StoredType::f16, std::uint16_t{0x7E01})));
}

TEST_CASE("checkpoint: all wrong tensors are reported at once", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    test::TensorSet set = small_tensors(small_config());
    set.erase("model.norm.weight");
    set.add("model.norm.wieght", StoredType::f32, {160}, std::vector<float>(160));
    set.erase("model.layers.0.input_layernorm.weight");
    set.add("model.layers.0.input_layernorm.weight", StoredType::f32, {8, 20},
            std::vector<float>(160));
    set.erase("model.layers.1.input_layernorm.weight");
    set.add("model.layers.1.input_layernorm.weight", StoredType::i64, {160},
            std::vector<std::int64_t>(160));
    set.erase(std::string(kDown) + "_scale_inv");
    const std::string gate = "model.layers.0.mlp.gate_proj.weight_scale_inv";  // of [48, 160]
    set.erase(gate);
    set.add(gate, StoredType::f32, {1, 1}, std::vector<float>{1});
    const std::string up = "model.layers.0.mlp.up_proj.weight_scale_inv";
    set.erase(up);
    set.add(up, StoredType::f32, {1, 2}, std::vector<float>{1, NAN});
    set.add("lm_head.weight_scale_inv", StoredType::f32, {1, 2}, std::vector<float>{1, 1});
    set.erase("model.layers.2.embed_tokens.weight");
    set.add("model.layers.2.embed_tokens.weight", StoredType::bf16, {24, 160},
            std::vector<std::uint16_t>(24 * 160));
    write_small(folder.path(), set);
    const std::string text = open_error(folder.path());
    for (const char* part :
         {"'model.norm.weight' of shape [160] is missing",
          "'model.norm.wieght': the config calls for no such tensor, did you mean 'model.norm.w",
          "'model.layers.0.input_layernorm.weight': has shape [8, 20], the config calls for [160]",
          "'model.layers.1.input_layernorm.weight': I64 is no type for a parameter",
          "its scale 'model.layers.0.mlp.down_proj.weight_scale_inv' of shape [2, 1] is missing",
          "'model.layers.0.mlp.gate_proj.weight_scale_inv': must be F32 of shape [1, 2]",
          "'model.layers.0.mlp.up_proj.weight_scale_inv': a scale is negative or not finite",
          "'lm_head.weight_scale_inv': is the scale of a tensor of type BF16",
          "'model.layers.2.embed_tokens.weight': must be a copy of 'model.embed_tokens.weight'"}) {
        INFO(part << "\n" << text);
        CHECK(contains(text, part));
    }
    CHECK(std::count(text.begin(), text.end(), '\n') == 8);
    CHECK(contains(text, (folder / "model.safetensors").string()));
}

TEST_CASE("checkpoint: copies may be absent, the head may be tied", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    const std::string head = "model.layers.2.shared_head.head.weight";
    const std::string embedding = "model.layers.2.embed_tokens.weight";
    test::TensorSet set = small_tensors(small_config());
    set.erase(head);
    set.erase(embedding);
    write_small(folder.path(), set);
    const Checkpoint without = Checkpoint::open(folder.path());
    CHECK(without.find(head) == without.find("lm_head.weight"));
    CHECK(without.find(embedding) == without.find("model.embed_tokens.weight"));
    CHECK(without.find(embedding) != nullptr);

    Json tied = small_config_json();
    tied["tie_word_embeddings"] = true;
    write_small(folder.path(), set, kShardBytes, tied);
    CHECK(contains(open_error(folder.path()), "'lm_head.weight': must be a copy of"));
    set.erase("lm_head.weight");
    write_small(folder.path(), set, kShardBytes, tied);
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    CHECK(checkpoint.find("lm_head.weight") == checkpoint.find("model.embed_tokens.weight"));
    CHECK(checkpoint.find(head) == checkpoint.find("model.embed_tokens.weight"));
    CHECK(checkpoint.f32("lm_head.weight").size() == 24 * 160);
}

TEST_CASE("checkpoint: an index and its shards must agree", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    write_small(folder.path(), small_tensors(small_config()), 50'000);
    const std::string first =
        Json::parse(test::read_bytes(folder / "model.safetensors.index.json"))["weight_map"][kDown];
    SECTION("a missing shard") {
        fs::remove(folder / first);
        CHECK(contains(open_error(folder.path()), (folder / first).string() + ": cannot be read"));
    }
    SECTION("a tensor that its shard does not hold") {
        change_index(folder.path(), "model.extra", first);
        CHECK(contains(open_error(folder.path()), first + ": has no tensor 'model.extra'"));
    }
    SECTION("a tensor in another shard than the index says") {
        change_index(folder.path(), "lm_head.weight", first);
        CHECK(contains(open_error(folder.path()), first + ": has no tensor 'lm_head.weight'"));
    }
    SECTION("a tensor that the index leaves out") {
        change_index(folder.path(), kDown, nullptr);
        CHECK(contains(open_error(folder.path()), std::string(kDown) + "' is not in"));
    }
    SECTION("a tensor in two shards") {
        fs::copy(folder / first, folder / "copy.safetensors");
        change_index(folder.path(), kDown, "copy.safetensors");
        CHECK(contains(open_error(folder.path()), "lies also in"));
    }
    SECTION("shard names that lead elsewhere") {
        for (const Json& name :
             {Json("../" + first), Json("/tmp/" + first), Json("a/" + first), Json(""), Json(3),
              Json(".."), Json("a\\b.safetensors"), Json(std::string("a\0.safetensors", 14)),
              Json("x.bin"), Json(".safetensors")}) {
            INFO(name);
            change_index(folder.path(), kDown, name);
            CHECK(contains(open_error(folder.path()), "/weight_map/" + std::string(kDown)));
        }
    }
    SECTION("no map at all") {
        test::write_bytes(folder / "model.safetensors.index.json", R"({"weight_map":[]})");
        CHECK(contains(open_error(folder.path()), "/weight_map"));
    }
}

TEST_CASE("checkpoint: folders that hold none", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    CHECK(contains(open_error(folder / "nowhere"), "no such checkpoint"));
    CHECK(contains(open_error(folder.path()), "config.json"));
    test::write_bytes(folder / "config.json", small_config_json().dump());
    CHECK(contains(open_error(folder.path()), "holds neither"));
    Json config = small_config_json();
    config["quantization_config"]["weight_block_size"] = {64, 128};
    test::write_bytes(folder / "config.json", config.dump());
    CHECK(contains(open_error(folder.path()), "/quantization_config/weight_block_size"));
}

TEST_CASE("checkpoint: a value that is not finite names tensor and place", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    test::TensorSet set = small_tensors(small_config());
    std::vector<std::uint8_t> codes(160 * 48, 0x38);
    codes[3 * 48 + 5] = 0xFF;  // NaN in E4M3
    set.erase(kDown);
    set.add(kDown, StoredType::f8_e4m3, {160, 48}, codes);
    write_small(folder.path(), set);
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    const std::string text = test::input_error([&] { (void)checkpoint.f32(kDown); });
    CHECK(contains(text, kDown));
    CHECK(contains(text, "[3, 5] is not finite"));
    CHECK(contains(text, "model.safetensors"));
}

TEST_CASE("checkpoint: damaged files are refused or read, never worse", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    write_small(folder.path(), small_tensors(small_config()));
    const fs::path file = folder / "model.safetensors";
    const std::string whole = test::read_bytes(file);
    const ModelConfig config = small_config();
    const Rng rng(5);
    for (std::uint64_t round = 0; round < 60; ++round) {
        test::write_bytes(file, whole.substr(0, rng.bits(round) % whole.size()));
        const std::string text = test::input_error([&] { Checkpoint::open(file, config); });
        CHECK(contains(text, file.string()));
    }
    std::uint64_t header = 0;
    std::memcpy(&header, whole.data(), 8);
    for (std::uint64_t round = 100; round < 300; ++round) {
        std::string damaged = whole;
        damaged[rng.bits(round) % (8 + header)] ^=
            static_cast<char>(1U << rng.bits(round + 999) % 8);
        test::write_bytes(file, damaged);
        const std::string text = test::input_error([&] { Checkpoint::open(file, config); });
        CHECK((text.empty() || contains(text, file.string())));
    }
}

TEST_CASE("checkpoint: golden models open, and their values are right",
          "[model][checkpoint][golden]") {
    std::size_t models = 0;
    if (fs::exists(test::golden_dir())) {
        for (const auto& item : fs::directory_iterator(test::golden_dir())) {
            const fs::path& folder = item.path();
            if (!fs::exists(folder / "model.safetensors") &&
                !fs::exists(folder / "model.safetensors.index.json")) {
                continue;
            }
            INFO(folder);
            ++models;
            const Checkpoint checkpoint = Checkpoint::open(folder);
            check_values(checkpoint);
            // Written in small shards and read again: the same tensors.
            std::vector<TensorView> tensors;
            for (const Parameter& parameter : parameter_inventory(checkpoint.config())) {
                if (!parameter.copy) {
                    tensors.push_back(checkpoint.at(parameter.name));
                    if (const TensorView* scale = checkpoint.scale_of(parameter.name)) {
                        tensors.push_back(*scale);
                    }
                }
            }
            const test::TemporaryFolder copy("checkpoint_copy");
            write_checkpoint(copy.path(), tensors, 300'000);
            const Checkpoint again = Checkpoint::open(copy.path(), checkpoint.config());
            for (const TensorView& tensor : tensors) {
                const TensorView& read = again.at(tensor.name);
                CHECK(std::equal(read.data.begin(), read.data.end(), tensor.data.begin(),
                                 tensor.data.end()));
            }
        }
    }
    if (models == 0) {
        std::cout << "r1 test skipped: no checkpoints in " << test::golden_dir() << "\n";
    }
}

TEST_CASE("checkpoint: an FP8 format that is not ours is refused", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    const test::TensorSet tensors = small_tensors(small_config());
    const auto refusal = [&](const Json& quantization) {
        Json config = small_config_json();
        config["quantization_config"] = quantization;
        write_small(folder.path(), tensors, kShardBytes, config);
        return test::input_error([&] { Checkpoint::open(folder.path()); });
    };
    const Json ours = small_config_json()["quantization_config"];
    CHECK(refusal(ours).empty());
    // FP8 weights that the config does not speak of would run as if they were plain.
    CHECK(contains(refusal(nullptr), "quantization_config"));
    CHECK(contains(refusal({{"quant_method", "awq"}}), kDown));
    for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
             {"fmt", "e5m2"}, {"activation_scheme", "static"}, {"weight_block_size", {64, 64}}}) {
        Json other = ours;
        other[key] = value;
        CHECK(contains(refusal(other), std::string("/quantization_config/") + key));
    }
    Json rounded = ours;
    rounded["scale_fmt"] = "ue8m0";
    CHECK(refusal(rounded).empty());
    const std::vector<std::string> notes = Checkpoint::open(folder.path()).notes();
    REQUIRE(!notes.empty());
    CHECK(contains(notes.back(), "ue8m0"));
}

TEST_CASE("checkpoint: who names config.json means its folder", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    write_small(folder.path(), small_tensors(small_config()));
    check_values(Checkpoint::open(folder / "config.json"));
}

TEST_CASE("checkpoint: released pages are read again from the file", "[model][checkpoint]") {
    const test::TemporaryFolder folder("checkpoint");
    write_small(folder.path(), small_tensors(small_config()));
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    const std::vector<float> before = checkpoint.f32(kDown);
    for (const Parameter& parameter : parameter_inventory(checkpoint.config())) {
        checkpoint.release(parameter.name);
    }
    CHECK(checkpoint.f32(kDown) == before);
    check_values(checkpoint);
}
