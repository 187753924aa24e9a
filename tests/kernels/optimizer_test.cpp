// What happens to parameters at the end of a step: clipping, AdamW, the routers' bias.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "kernels/adamw.hpp"
#include "kernels/bias_update.hpp"
#include "kernels/ema_update.hpp"
#include "kernels/gradient_norm.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/golden_case.hpp"
#include "tests/kernels/golden_files.hpp"
#include "tests/kernels/numeric_gradient.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::Doubles;
using test::floats;

using Adamw = void (*)(const AdamwArgs&);
using GradientNorm = void (*)(const GradientNormArgs&);
using ExpertLoad = void (*)(const ExpertLoadArgs&);
using BiasUpdate = void (*)(const BiasUpdateArgs&);
constexpr Adamw kAdamw[] = {&reference::adamw, &cpu::adamw};
constexpr GradientNorm kGradientNorm[] = {&reference::gradient_norm, &cpu::gradient_norm};

// Parameters with their moments, step after step.
struct Parameters {
    Parameters(std::int64_t count, DType moments, DType updated_type)
        : elements(count),
          master(Buffer::random(1, count, DType::f32, 1)),
          exp_avg(1, count, moments),
          exp_avg_sq(1, count, moments),
          updated(1, count, updated_type) {
        for (std::int64_t i = 0; i < count; ++i) {
            store(exp_avg.view(), 0, i, 0);
            store(exp_avg_sq.view(), 0, i, 0);
        }
    }

    void step(AdamwArgs args, const float* grad, Adamw kernel) {
        args.elements = elements;
        args.grad = grad;
        args.master = floats(master);
        args.exp_avg = exp_avg.view();
        args.exp_avg_sq = exp_avg_sq.view();
        args.updated = updated.view();
        kernel(args);
    }

    [[nodiscard]] std::vector<std::vector<std::uint8_t>> bytes() const {
        return {master.bytes(), exp_avg.bytes(), exp_avg_sq.bytes(), updated.bytes()};
    }

    std::int64_t elements;
    Buffer master, exp_avg, exp_avg_sq, updated;
};

// "Exact, or one unit in the last place": neighbours of the same sign differ by 1 as integers.
void check_bf16(const test::GoldenCase& golden, const std::string& name, const Buffer& got) {
    INFO(name);
    const std::vector<std::uint8_t>& want = golden.file().at(name).bytes;
    REQUIRE(golden.file().at(name).dtype == "BF16");
    REQUIRE(got.bytes().size() == want.size());
    int worst = 0;
    for (std::size_t i = 0; i < want.size(); i += 2) {
        std::int16_t a = 0;
        std::int16_t b = 0;
        std::memcpy(&a, got.bytes().data() + i, 2);
        std::memcpy(&b, want.data() + i, 2);
        worst = std::max(worst, std::abs(a - b));
    }
    CHECK(worst <= 1);
}

// All steps of a golden case with one kind of moments; `group` names its parameters.
void check_golden_adamw(const test::GoldenCase& golden, const std::string& group, DType moments,
                        Adamw kernel) {
    const std::vector<float> hyper = golden.values("hyper");
    REQUIRE(hyper.size() == 5);
    AdamwArgs args;
    args.lr = hyper[0];
    args.beta1 = hyper[1];
    args.beta2 = hyper[2];
    args.epsilon = hyper[3];
    args.weight_decay = hyper[4];
    const std::int64_t elements = golden.extent("grads", 1);
    const std::vector<float> grads = golden.values("grads");
    const std::vector<float> start = golden.values("param0");
    Parameters parameters(elements, moments, DType::bf16);
    std::copy(start.begin(), start.end(), floats(parameters.master));
    for (args.step = 1; args.step <= golden.extent("grads", 0); ++args.step) {
        parameters.step(args, grads.data() + (args.step - 1) * elements, kernel);
        const float* master = floats(parameters.master);
        const std::string step = std::to_string(args.step);
        std::string param = group;
        param.append(".param").append(step);
        golden.check(param, std::vector<float>(master, master + elements));
        if (moments == DType::bf16) {
            check_bf16(golden, "m" + step, parameters.exp_avg);
            check_bf16(golden, "v" + step, parameters.exp_avg_sq);
            check_bf16(golden, param + "_bf16", parameters.updated);
        }
    }
}

double rounded(double value, DType type) {
    return type == DType::f32
               ? value
               : static_cast<double>(float_from_bf16(bf16_from_float(static_cast<float>(value))));
}

// AdamW in double from its definition; moments are rounded where they are stored.
struct DoubleAdamw {
    Doubles p, m, v;
    DType moments = DType::f32;

    void step(const AdamwArgs& args, const float* grad) {
        const double time = static_cast<double>(args.step);
        for (std::size_t i = 0; i < p.size(); ++i) {
            const double g = static_cast<double>(args.gradient_scale) * grad[i];
            m[i] = args.beta1 * m[i] + (1 - args.beta1) * g;
            v[i] = args.beta2 * v[i] + (1 - args.beta2) * g * g;
            const double mean = m[i] / (1 - std::pow(args.beta1, time));
            const double square = v[i] / (1 - std::pow(args.beta2, time));
            p[i] -= args.lr * args.weight_decay * p[i];
            p[i] -= args.lr * mean / (std::sqrt(square) + args.epsilon);
            m[i] = rounded(m[i], moments);
            v[i] = rounded(v[i], moments);
        }
    }
};

// 1, -1, 2 and -2: the sum of their squares is exact even in the result's float32, and shows each.
std::vector<float> whole_numbers(std::size_t count, std::uint64_t seed) {
    const Rng rng(seed);
    std::vector<float> result(count);
    for (std::size_t i = 0; i < count; ++i) {
        const double size = 1 + std::floor(2 * rng.uniform(i));
        result[i] = static_cast<float>(i % 2 == 0 ? size : -size);
    }
    return result;
}

float norm_of(const std::vector<std::span<const float>>& parts, float carried,
              GradientNorm kernel) {
    float result = NAN;
    kernel({parts, carried, &result, {}});
    return result;
}

}  // namespace

TEST_CASE("adamw: the golden cases", "[kernels][optimizer][golden]") {
    for (const auto& path : test::golden_cases("adamw")) {
        INFO(path.filename().string());
        const test::GoldenCase golden(path);
        for (const Adamw kernel : kAdamw) {
            check_golden_adamw(golden, "unrounded", DType::bf16, kernel);
            check_golden_adamw(golden, "fp32moments", DType::f32, kernel);
        }
    }
}

TEST_CASE("adamw: twenty steps of the definition in double", "[kernels][optimizer]") {
    AdamwArgs args;
    args.lr = 0.01;
    args.weight_decay = 0.5;
    args.gradient_scale = 0.75F;
    const std::int64_t elements = 500;
    for (const DType moments : {DType::f32, DType::bf16}) {
        for (const Adamw kernel : kAdamw) {
            Parameters got(elements, moments, DType::f32);
            const Doubles zeros(static_cast<std::size_t>(elements));
            DoubleAdamw want{test::values(got.master, 1, elements), zeros, zeros, moments};
            const Doubles start = want.p;
            for (args.step = 1; args.step <= 20; ++args.step) {
                Buffer grad = Buffer::random(1, elements, DType::f32,
                                             100 + static_cast<std::uint64_t>(args.step));
                got.step(args, floats(grad), kernel);
                want.step(args, floats(grad));
            }
            const Doubles master = test::values(got.master, 1, elements);
            std::int64_t near = 0;
            for (std::size_t i = 0; i < master.size(); ++i) {
                near += std::abs(master[i] - want.p[i]) <= 2e-6;
            }
            // A moment between two BF16 values may be rounded the other way, a few times in all.
            CHECK(near >= (moments == DType::f32 ? elements : elements * 98 / 100));
            CHECK(test::largest_distance(master, want.p) <= 1e-3);
            CHECK(test::largest_distance(start, want.p) > 0.05);
            CHECK(test::largest_distance(test::values(got.updated, 1, elements), master) == 0);
        }
    }
}

TEST_CASE("adamw: cpu agrees with the reference to the bit", "[kernels][optimizer]") {
    AdamwArgs args;
    args.lr = 0.03;
    args.gradient_scale = 0.3F;
    for (const std::int64_t elements : {0, 1, 7, 1024, 33000}) {
        for (const DType moments : {DType::f32, DType::bf16}) {
            for (const DType updated : {DType::f32, DType::bf16}) {
                INFO(elements);
                const auto run = [&](Adamw kernel) {
                    Parameters parameters(elements, moments, updated);
                    for (std::int64_t step = 1; step <= 3; ++step) {
                        args.step = step;
                        Buffer grad = Buffer::random(1, elements, DType::f32,
                                                     static_cast<std::uint64_t>(step));
                        parameters.step(args, floats(grad), kernel);
                    }
                    return parameters.bytes();
                };
                const auto want = run(reference::adamw);
                CHECK(run(cpu::adamw) == want);
                CHECK(test::same_for_any_threads([&] { return run(cpu::adamw); }));
            }
        }
    }
}

TEST_CASE("adamw: the updated parameters need not be wanted", "[kernels][optimizer]") {
    // Step 1 moves by lr * sign(gradient), and decay takes lr * weight_decay of the old value.
    AdamwArgs args;
    args.elements = 2;
    args.lr = 0.125;
    args.weight_decay = 0.5;
    args.epsilon = 0;
    for (const Adamw kernel : kAdamw) {
        const std::vector<float> grad = {5, -0.25F};
        std::vector<float> master = {1, 2};
        std::vector<float> m(2), v(2);
        args.grad = grad.data();
        args.master = master.data();
        args.exp_avg = {m.data(), DType::f32, 2};
        args.exp_avg_sq = {v.data(), DType::f32, 2};
        kernel(args);
        CHECK(master[0] == Approx(1 - 0.0625 - 0.125));
        CHECK(master[1] == Approx(2 - 0.125 + 0.125));
        CHECK(m[0] == Approx(0.5));
        CHECK(v[0] == Approx(1.25));
        args.step = 0;
        CHECK_THROWS_AS(kernel(args), InternalError);
        args.step = 1;
    }
}

TEST_CASE("gradient_norm: every element counts once", "[kernels][optimizer]") {
    // More blocks than one round has, ends that fill no block, and arrays without elements.
    const std::vector<std::vector<float>> parts = {
        whole_numbers(1, 1), {}, whole_numbers((1 << 22) + 20005, 2), whole_numbers(33000, 3)};
    std::vector<std::span<const float>> spans(parts.begin(), parts.end());
    double want = 7;
    for (const std::vector<float>& part : parts) {
        for (const float value : part) {
            want += static_cast<double>(value) * static_cast<double>(value);
        }
    }
    for (const GradientNorm kernel : kGradientNorm) {
        CHECK(norm_of(spans, 7, kernel) == static_cast<float>(want));
        CHECK(norm_of({}, 7, kernel) == 7);
    }
    CHECK(test::same_for_any_threads([&] { return norm_of(spans, 7, cpu::gradient_norm); }));
}

TEST_CASE("gradient_norm: small gradients beside a large one, any threads",
          "[kernels][optimizer]") {
    // 2^24 + 39,999 * 0.0025: float32 sums would stay at 2^24.
    std::vector<float> values(40000, 0.05F);
    values[0] = 4096;
    const std::vector<std::span<const float>> spans = {values};
    const double small = static_cast<double>(0.05F);
    for (const GradientNorm kernel : kGradientNorm) {
        CHECK(norm_of(spans, 0, kernel) == static_cast<float>(0x1p24 + 39999 * small * small));
        values[0] = 0.05F;
        CHECK(norm_of(spans, 0, kernel) == Approx(40000 * small * small).epsilon(1e-7));
        values[0] = 4096;
    }
    Buffer random = Buffer::random(1, 200000, DType::f32, 4);
    const std::vector<std::span<const float>> uneven = {{floats(random), 200000}};
    CHECK(test::same_for_any_threads([&] { return norm_of(uneven, 0, cpu::gradient_norm); }));
    CHECK(norm_of(uneven, 0, cpu::gradient_norm) ==
          Approx(norm_of(uneven, 0, reference::gradient_norm)).epsilon(1e-7));
}

namespace {

void check_golden_bias(const test::GoldenCase& golden, ExpertLoad count, BiasUpdate update) {
    std::vector<float> bias = golden.values("bias0");
    const auto experts = static_cast<std::int64_t>(bias.size());
    int batches = 0;
    for (int batch = 1; golden.file().has("indices" + std::to_string(batch)); ++batch) {
        const std::string name = std::to_string(batch);
        const std::vector<std::int32_t> indices = golden.file().as_i32("indices" + name);
        std::vector<std::int32_t> load(bias.size());
        count({golden.extent("indices" + name, 0), experts, golden.extent("indices" + name, 1),
               indices.data(), load.data()});
        CHECK(load == golden.file().as_i32("load" + name));
        update({experts, golden.value("gamma"), load.data(), bias.data()});
        golden.check("bias" + name, bias);
        ++batches;
    }
    CHECK(batches > 0);
}

}  // namespace

TEST_CASE("ema_update: the share of each step shrinks by the decay", "[kernels][optimizer]") {
    for (const auto kernel : {&reference::ema_update, &cpu::ema_update}) {
        for (const std::int64_t count : {0, 1, 37, 70001}) {
            Buffer first = Buffer::random(1, count, DType::f32, 1);
            Buffer second = Buffer::random(1, count, DType::f32, 2);
            Buffer third = Buffer::random(1, count, DType::f32, 3);
            std::vector<float> ema(floats(first), floats(first) + count);
            kernel({count, 0.75F, floats(second), ema.data()});
            kernel({count, 0.75F, floats(third), ema.data()});
            double worst = 0;
            for (std::int64_t i = 0; i < count; ++i) {
                const double want = 0.5625 * floats(first)[i] + 0.1875 * floats(second)[i] +
                                    0.25 * floats(third)[i];
                worst = std::max(worst, std::abs(ema[static_cast<std::size_t>(i)] - want));
            }
            CHECK(worst < 1e-6);
        }
    }
}

TEST_CASE("bias_update: the golden cases", "[kernels][optimizer][golden]") {
    for (const auto& path : test::golden_cases("bias_update")) {
        INFO(path.filename().string());
        const test::GoldenCase golden(path);
        check_golden_bias(golden, reference::expert_load, reference::bias_update);
        check_golden_bias(golden, cpu::expert_load, cpu::bias_update);
    }
}

TEST_CASE("bias_update: the mean load itself moves nothing", "[kernels][optimizer]") {
    // Mean 7/3: nobody has it. Mean 2 of three: the one that has it stays.
    for (const BiasUpdate update : {&reference::bias_update, &cpu::bias_update}) {
        std::vector<float> bias = {0, 0, 0};
        update({3, 0.5F, std::vector<std::int32_t>{2, 2, 3}.data(), bias.data()});
        CHECK(bias == std::vector<float>{0.5F, 0.5F, -0.5F});
        update({3, 0.5F, std::vector<std::int32_t>{1, 2, 3}.data(), bias.data()});
        CHECK(bias == std::vector<float>{1.0F, 0.5F, -1.0F});
    }
}

TEST_CASE("expert_load: batches add up, for any number of threads", "[kernels][optimizer]") {
    const std::int64_t experts = 37;
    for (const std::int64_t tokens : {0, 1, 9001}) {
        const Rng rng(9);
        std::vector<std::int32_t> indices(static_cast<std::size_t>(tokens * 5));
        std::vector<std::int32_t> want(37, 3);
        for (std::size_t i = 0; i < indices.size(); ++i) {
            indices[i] = static_cast<std::int32_t>(std::floor(rng.uniform(i) * 37));
            ++want[static_cast<std::size_t>(indices[i])];
        }
        const auto run = [&](ExpertLoad count) {
            std::vector<std::int32_t> load(37, 3);
            const std::int64_t first = tokens / 3;
            count({first, experts, 5, indices.data(), load.data()});
            count({tokens - first, experts, 5, indices.data() + first * 5, load.data()});
            return load;
        };
        CHECK(run(reference::expert_load) == want);
        CHECK(run(cpu::expert_load) == want);
        CHECK(test::same_for_any_threads([&] { return run(cpu::expert_load); }));
    }
}

}  // namespace r1
