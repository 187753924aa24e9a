#include "model/base/dtype.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <vector>

#include <nlohmann/json.hpp>

#include "model/base/rng.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/safetensors.hpp"

using namespace r1;

namespace {

struct Fp8 {
    std::uint8_t (*encode)(float, Overflow);
    float (*decode)(std::uint8_t);
    std::uint8_t largest;   // code of the largest finite value
    std::uint8_t overflow;  // code beyond, when not saturating
    double beyond;          // the value that the code after `largest` would have
    std::uint8_t first_nan;
};

const Fp8 kE4m3{e4m3_from_float, float_from_e4m3, 0x7E, 0x7F, 480, 0x7F};
const Fp8 kE5m2{e5m2_from_float, float_from_e5m2, 0x7B, 0x7C, 65536, 0x7D};
const std::map<std::string, Fp8> kFp8Formats{{"e4m3fn", kE4m3}, {"e5m2", kE5m2}};

// Nearest value by trying all of them in double, ties to the even code.
std::uint8_t nearest_code(const Fp8& format, double value, Overflow overflow) {
    // Beyond all candidates they would look equally far away in double.
    const double magnitude = std::min(std::abs(value), format.beyond);
    int best = 0;
    double best_distance = std::numeric_limits<double>::infinity();
    for (int code = 0; code <= format.largest + 1; ++code) {
        const double candidate = code <= format.largest
                                     ? double{format.decode(static_cast<std::uint8_t>(code))}
                                     : format.beyond;
        const double distance = std::abs(magnitude - candidate);
        if (distance < best_distance || (distance == best_distance && code % 2 == 0)) {
            best = code;
            best_distance = distance;
        }
    }
    if (best > format.largest) {
        best = overflow == Overflow::saturate ? format.largest : format.overflow;
    }
    return static_cast<std::uint8_t>(best | (std::signbit(value) ? 0x80 : 0));
}

// Floats of all magnitudes that the format can tell apart, with ties and their neighbours.
std::vector<float> interesting_floats(const Fp8& format) {
    std::vector<float> out{0.0F, std::numeric_limits<float>::denorm_min(),
                           std::numeric_limits<float>::min(), std::numeric_limits<float>::max(),
                           std::numeric_limits<float>::infinity()};
    const auto beyond = static_cast<float>(format.beyond);
    for (int code = 0; code <= format.largest; ++code) {
        const float low = format.decode(static_cast<std::uint8_t>(code));
        const float high =
            code < format.largest ? format.decode(static_cast<std::uint8_t>(code + 1)) : beyond;
        const float middle = low + (high - low) / 2;
        for (const float value : {low, middle, high}) {
            out.push_back(value);
            out.push_back(std::nextafter(value, 0.0F));
            out.push_back(std::nextafter(value, 1e30F));
        }
    }
    const Rng rng(2024);
    for (std::uint64_t i = 0; i < 20'000; ++i) {
        const double exponent = rng.uniform(2 * i) * 40 - 22;
        out.push_back(static_cast<float>(std::exp2(exponent) * (1 + rng.uniform(2 * i + 1))));
    }
    const std::size_t count = out.size();
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back(-out[i]);
    }
    return out;
}

bool is_nan(const Fp8& format, std::uint8_t code) { return (code & 0x7F) >= format.first_nan; }

}  // namespace

TEST_CASE("dtype: names parse back and sizes count bits", "[model][base]") {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::e4m3, DType::e5m2,
                              DType::e5m6, DType::i32, DType::u8}) {
        CHECK(parse_dtype(name(dtype)) == dtype);
    }
    CHECK(name(DType::bf16) == "bf16");
    CHECK_FALSE(parse_dtype("fp7"));
    CHECK_FALSE(parse_dtype(""));
    CHECK(size_of(DType::e5m6, 2) == Bytes(3));
    CHECK(size_of(DType::bf16, 7168) == Bytes(14336));
}

TEST_CASE("dtype: every BF16 value survives the way to float and back", "[model][base]") {
    for (std::uint32_t code = 0; code < 0x10000; ++code) {
        const auto bits = static_cast<std::uint16_t>(code);
        const float value = float_from_bf16(bits);
        if (std::isnan(value)) {
            REQUIRE(std::isnan(float_from_bf16(bf16_from_float(value))));
        } else {
            REQUIRE(bf16_from_float(value) == bits);
        }
    }
}

TEST_CASE("dtype: BF16 rounds to the nearest of its values, ties to even", "[model][base]") {
    // All magnitudes in order; infinity takes the place of 2^128, as IEEE 754 rounding has it.
    std::vector<double> values;
    for (std::uint32_t code = 0; code < 0x7F80; ++code) {
        values.push_back(double{float_from_bf16(static_cast<std::uint16_t>(code))});
    }
    values.push_back(0x1p128);
    const auto nearest = [&values](double magnitude) {
        const auto above = std::lower_bound(values.begin(), values.end(), magnitude);
        const auto code = static_cast<std::size_t>(above - values.begin());
        if (code == 0 || code == values.size()) {
            return code == 0 ? code : code - 1;
        }
        const double down = magnitude - values[code - 1];
        const double up = values[code] - magnitude;
        return down < up || (down == up && code % 2 == 1) ? code - 1 : code;
    };
    const Rng rng(5);
    for (std::uint64_t i = 0; i < 200'000; ++i) {
        auto bits = static_cast<std::uint32_t>(rng.bits(i)) & 0x7FFFFFFFU;
        if (i % 4 == 0) {
            bits = (bits & 0xFFFF0000U) | (0x7FFFU + static_cast<std::uint32_t>(i / 4 % 3));
        }
        const auto value = std::bit_cast<float>(bits);
        if (std::isnan(value)) {
            REQUIRE(std::isnan(float_from_bf16(bf16_from_float(value))));
            continue;
        }
        REQUIRE(bf16_from_float(value) == nearest(double{value}));
        REQUIRE(bf16_from_float(-value) == (nearest(double{value}) | 0x8000U));
    }
    CHECK(std::isinf(float_from_bf16(bf16_from_float(std::numeric_limits<float>::max()))));
}

TEST_CASE("dtype: a NaN whose payload is in the low bits stays NaN in BF16", "[model][base]") {
    CHECK(std::isnan(float_from_bf16(bf16_from_float(std::bit_cast<float>(0x7F800001U)))));
    CHECK(std::isnan(float_from_bf16(bf16_from_float(std::bit_cast<float>(0xFFFFFFFFU)))));
}

TEST_CASE("dtype: every FP8 value survives the way to float and back", "[model][base]") {
    for (const auto& [which, format] : kFp8Formats) {
        INFO(which);
        for (int i = 0; i < 256; ++i) {
            const auto code = static_cast<std::uint8_t>(i);
            CAPTURE(i);
            const float value = format.decode(code);
            CHECK(std::isnan(value) == is_nan(format, code));
            const std::uint8_t back = format.encode(value, Overflow::no_saturate);
            CHECK((is_nan(format, code) ? is_nan(format, back) : back == code));
        }
    }
}

TEST_CASE("dtype: FP8 decodes to sign times mantissa times power of two", "[model][base]") {
    // Written from the OCP FP8 tables: exponent 0 has no hidden bit.
    const auto expect = [](int code, int mantissa_bits, int bias) {
        const int exponent = (code & 0x7F) >> mantissa_bits;
        const int mantissa = code & ((1 << mantissa_bits) - 1);
        const int hidden = exponent > 0 ? 1 << mantissa_bits : 0;
        const double magnitude =
            std::ldexp(hidden + mantissa, std::max(exponent, 1) - bias - mantissa_bits);
        return code >= 0x80 ? -magnitude : magnitude;
    };
    for (int code = 0; code < 256; ++code) {
        CAPTURE(code);
        const auto byte = static_cast<std::uint8_t>(code);
        if (!is_nan(kE4m3, byte)) {
            CHECK(double{float_from_e4m3(byte)} == expect(code, 3, 7));
        }
        if ((code & 0x7F) < 0x7C) {
            CHECK(double{float_from_e5m2(byte)} == expect(code, 2, 15));
        }
    }
    CHECK(float_from_e4m3(0x7E) == kE4m3Max);
    CHECK(float_from_e5m2(0x7B) == kE5m2Max);
    CHECK(float_from_e5m2(0x7C) == std::numeric_limits<float>::infinity());
    CHECK(float_from_e5m2(0xFC) == -std::numeric_limits<float>::infinity());
    CHECK(std::signbit(float_from_e4m3(0x80)));
}

TEST_CASE("dtype: FP8 rounds to the nearest of its values, ties to even", "[model][base]") {
    for (const auto& [which, format] : kFp8Formats) {
        INFO(which);
        for (const float value : interesting_floats(format)) {
            for (const Overflow overflow : {Overflow::saturate, Overflow::no_saturate}) {
                const int want = nearest_code(format, double{value}, overflow);
                const int got = format.encode(value, overflow);
                if (got != want) {
                    CAPTURE(value, want, got);
                    CHECK(got == want);
                }
            }
        }
        const float nan = std::numeric_limits<float>::quiet_NaN();
        CHECK(is_nan(format, format.encode(nan, Overflow::saturate)));
        CHECK(is_nan(format, format.encode(-nan, Overflow::no_saturate)));
    }
}

TEST_CASE("dtype: FP8 rounding never reverses an order", "[model][base]") {
    for (const auto& [which, format] : kFp8Formats) {
        INFO(which);
        std::vector<float> values = interesting_floats(format);
        std::sort(values.begin(), values.end());
        float last = -std::numeric_limits<float>::infinity();
        for (const float value : values) {
            const float rounded = format.decode(format.encode(value, Overflow::saturate));
            REQUIRE(rounded >= last);
            last = rounded;
        }
    }
}

namespace {

// Bitwise, NaN like any NaN. Counts instead of 2000 assertions; the first miss is shown.
void check_encoding(const Fp8& format, const std::vector<float>& in,
                    const std::vector<std::uint8_t>& want, Overflow overflow) {
    REQUIRE(in.size() == want.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
        const std::uint8_t got = format.encode(in[i], overflow);
        if (got != want[i] && !(is_nan(format, got) && is_nan(format, want[i]))) {
            CAPTURE(i, in[i], int{want[i]}, int{got});
            CHECK(int{got} == int{want[i]});
        }
    }
}

void check_group(const test::SafeTensors& file, const std::string& group) {
    INFO("group " << group);
    const auto known = kFp8Formats.find(group);
    REQUIRE(known != kFp8Formats.end());
    const Fp8& format = known->second;
    if (file.has(group + ".decode")) {
        const std::vector<float> want = file.as_f32(group + ".decode");
        REQUIRE(want.size() == 256);
        for (std::size_t i = 0; i < want.size(); ++i) {
            const float got = format.decode(static_cast<std::uint8_t>(i));
            CAPTURE(i, got, want[i]);
            CHECK((std::isnan(want[i]) ? std::isnan(got)
                                       : std::bit_cast<std::uint32_t>(got) ==
                                             std::bit_cast<std::uint32_t>(want[i])));
        }
    }
    if (file.has(group + ".encode_in_bits")) {
        std::vector<float> in;
        for (const std::int32_t bits : file.as_i32(group + ".encode_in_bits")) {
            in.push_back(std::bit_cast<float>(bits));
        }
        check_encoding(format, in, file.as_u8(group + ".encode_out_saturate"), Overflow::saturate);
        check_encoding(format, in, file.as_u8(group + ".encode_out_nosat"), Overflow::no_saturate);
    }
}

}  // namespace

TEST_CASE("dtype: FP8 agrees with the golden tables bit by bit", "[model][base][golden]") {
    const auto root = test::golden_dir();
    std::ifstream stream(root / "index.json");
    INFO(root);
    REQUIRE(stream.good());
    const auto index = nlohmann::json::parse(stream);
    int tables = 0;
    for (const auto& [path, entry] : index.at("files").items()) {
        if (path.rfind("tables/", 0) != 0) {
            continue;
        }
        INFO(path);
        const test::SafeTensors file(root / path);
        std::map<std::string, int> groups;
        for (const auto& [tensor, unused] : file.tensors()) {
            ++groups[tensor.substr(0, tensor.find('.'))];
        }
        for (const auto& [group, unused] : groups) {
            check_group(file, group);
        }
        ++tables;
    }
    if (tables == 0) {
        WARN("skipped: " << root << " lists no tables");
    }
}
