#include "kernels/grpo.hpp"
#include "kernels/rope.hpp"
#include "kernels/rope_backward.hpp"
#include "kernels/sample.hpp"
#include "tests/cuda/kernel_check.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

using namespace r1::test;

namespace {

struct Heads {
    std::int64_t tokens, heads, nope, rope, v, lora;
};

const std::vector<Heads> kHeads = with_random<Heads>(
    {{0, 2, 8, 8, 8, 16}, {1, 1, 0, 2, 1, 3}, {5, 3, 12, 6, 10, 20}, {7, 4, 128, 64, 128, 64}},
    [](const auto& size) {
        return Heads{size(9), size(5), size(40), 2 * size(20), size(40), size(70)};
    });

// Frequencies of a rotary part, and positions far out too.
const float* frequencies(Place& on, const Heads& h) {
    Operand values = empty(1, h.rope / 2, DType::f32);
    for (std::int64_t i = 0; i < h.rope / 2; ++i) {
        values.as<float>()[i] =
            std::pow(10000.0F, -2.0F * static_cast<float>(i) / static_cast<float>(h.rope));
    }
    return on.data<float>(values);
}
const std::int32_t* positions(Place& on, const Heads& h) {
    return on.data<std::int32_t>(integers(random_integers(h.tokens, 160000, 9)));
}
// Each third row of a sequence's cache, last ones first.
const std::int32_t* cache_positions(Place& on, std::int64_t sequences, std::int64_t tokens) {
    std::vector<std::int32_t> positions;
    for (std::int64_t i = 0; i < sequences * tokens; ++i) {
        positions.push_back(static_cast<std::int32_t>(3 * (tokens - i % tokens) - 1));
    }
    return on.data<std::int32_t>(integers(positions));
}

}  // namespace

TEST_CASE("cuda rope: queries, keys by head, rows of the cache", "[cuda]") {
    for (const Heads& h : kHeads) {
        for (const DType type : {DType::f32, DType::bf16}) {
            for (const bool keys_rotated : {false, true}) {
                const std::int64_t qk = h.heads * (h.nope + h.rope);
                check_kernel(
                    [&](Place& on) {
                        RopeArgs a;
                        a.tokens = h.tokens;
                        a.heads = h.heads;
                        a.nope_dim = h.nope;
                        a.rope_dim = h.rope;
                        a.v_dim = h.v;
                        a.kv_lora_rank = h.lora;
                        a.positions = positions(on, h);
                        a.frequencies = frequencies(on, h);
                        a.magnitude = 1.25F;
                        a.keys_rotated = keys_rotated;
                        a.q = on.matrix(random(h.tokens, qk, type, 1));
                        a.kv_a = on.matrix(random(h.tokens, h.lora + h.rope, type, 2));
                        a.kv = on.matrix(random(h.tokens, h.heads * (h.nope + h.v), type, 3));
                        if (!keys_rotated) {
                            a.q_rope = on.matrix(empty(h.tokens, qk, type));
                        }
                        a.k = on.matrix(empty(h.tokens, qk, type));
                        return a;
                    },
                    &reference::rope, &cuda::rope);
            }
            check_kernel(
                [&](Place& on) {
                    RopeLatentArgs a;
                    a.sequences = 2;
                    a.tokens = h.tokens;
                    a.cache_rows = 3 * h.tokens + 2;
                    a.rope_dim = h.rope;
                    a.kv_lora_rank = h.lora;
                    a.positions = cache_positions(on, a.sequences, a.tokens);
                    a.frequencies = frequencies(on, h);
                    a.kv_a_norm = on.matrix(random(2 * h.tokens, h.lora, type, 1));
                    a.kv_a = on.matrix(random(2 * h.tokens, h.lora + h.rope, type, 2));
                    a.latent = on.matrix(empty(2 * a.cache_rows, h.lora + h.rope, type));
                    return a;
                },
                &reference::rope_latent, &cuda::rope_latent);
        }
    }
}

TEST_CASE("cuda rope_backward: turned back, the shared key summed over heads", "[cuda]") {
    for (const Heads& h : kHeads) {
        for (const DType type : {DType::f32, DType::bf16}) {
            const std::int64_t qk = h.heads * (h.nope + h.rope);
            check_kernel(
                [&](Place& on) {
                    RopeBackwardArgs a;
                    a.tokens = h.tokens;
                    a.heads = h.heads;
                    a.nope_dim = h.nope;
                    a.rope_dim = h.rope;
                    a.v_dim = h.v;
                    a.positions = positions(on, h);
                    a.frequencies = frequencies(on, h);
                    a.magnitude = 1.25F;
                    a.q_rope_grad = on.matrix(random(h.tokens, qk, type, 1));
                    a.k_grad = on.matrix(random(h.tokens, qk, type, 2));
                    a.v_grad = on.matrix(random(h.tokens, h.heads * h.v, type, 3));
                    a.q_grad = on.matrix(empty(h.tokens, qk, type));
                    a.kv_grad = on.matrix(empty(h.tokens, h.heads * (h.nope + h.v), type));
                    a.k_rope_grad = on.matrix(empty(h.tokens, h.rope, type));
                    return a;
                },
                &reference::rope_backward, &cuda::rope_backward);
        }
    }
}

TEST_CASE("cuda sample: the reference's tokens for any temperature and top_p", "[cuda]") {
    struct Case {
        std::int64_t rows, vocabulary;
        double temperature, top_p;
    };
    for (const Case& c : {Case{0, 5, 0, 1}, Case{3, 1, 1, 1}, Case{6, 50, 0, 1}, Case{9, 50, 1, 1},
                          Case{9, 1500, 0.6, 0.95}, Case{9, 1500, 2, 0.3}, Case{70, 20, 1, 1e-9}}) {
        INFO("rows " << c.rows << " temperature " << c.temperature << " top_p " << c.top_p);
        std::vector<std::int32_t> randoms = random_integers(c.rows, 1 << 30, 4);
        for (std::int32_t& number : randoms) {
            number *= 2;
        }
        // Rounded to few values: ties.
        Operand logits = random(c.rows, c.vocabulary, DType::f32, 1, 3, c.vocabulary + 3);
        for (std::int64_t row = 0; row < c.rows; row += 2) {
            for (std::int64_t i = 0; i < c.vocabulary; ++i) {
                store(logits.view(), row, i, std::round(logits.at(row, i)));
            }
        }
        check_kernel_with_workspace(
            [&](Place& on) {
                SampleArgs a;
                a.rows = c.rows;
                a.vocabulary = c.vocabulary;
                a.temperature = c.temperature;
                a.top_p = c.top_p;
                a.logits = on.matrix(logits);
                a.randoms = on.data<std::int32_t>(integers(randoms));
                a.tokens = on.data<std::int32_t>(empty(1, c.rows, DType::i32));
                return a;
            },
            [&](SampleArgs a) {
                Place scratch_memory(false);
                a.workspace = scratch_memory.workspace(sample_workspace_bytes(a));
                reference::sample(a);
            },
            &cuda::sample, &cuda::sample_workspace_bytes);
    }
}

TEST_CASE("cuda grpo: advantages, objective and gradient", "[cuda]") {
    for (const std::int64_t outputs : {0, 1, 6, 300}) {
        const std::int64_t length = 13;
        check_kernel(
            [&](Place& on) {
                return GrpoAdvantagesArgs{
                    outputs, outputs % 2, on.data<float>(random(1, outputs, DType::f32, 1)),
                    on.data<std::int32_t>(integers(random_integers(outputs, 3, 2))),
                    on.data<float>(empty(1, outputs, DType::f32))};
            },
            &reference::grpo_advantages, &cuda::grpo_advantages);
        const auto batch = [&](Place& on) {
            GrpoBatch b;
            b.outputs = outputs;
            b.length_max = length;
            b.beta = 0.04F;
            b.mean = outputs == 6 ? GrpoMean::tokens : GrpoMean::outputs;
            b.count = 17;
            b.nll = on.data<float>(random(outputs, length, DType::f32, 1));
            b.old_nll = on.data<float>(random(outputs, length, DType::f32, 2));
            b.ref_nll = on.data<float>(random(outputs, length, DType::f32, 3));
            b.mask = on.data<std::int32_t>(integers(random_integers(outputs * length, 2, 4)));
            b.advantages = on.data<float>(random(1, outputs, DType::f32, 5));
            return b;
        };
        const Operand values = empty(outputs, length, DType::f32);
        check_kernel(
            [&](Place& on) {
                return GrpoObjectiveArgs{batch(on), on.data<float>(values), on.data<float>(values),
                                         on.data<float>(values),
                                         on.data<float>(empty(1, outputs, DType::f32))};
            },
            &reference::grpo_objective, &cuda::grpo_objective);
        check_kernel(
            [&](Place& on) {
                return GrpoBackwardArgs{batch(on), on.data<float>(values)};
            },
            &reference::grpo_backward, &cuda::grpo_backward);
    }
}

}  // namespace r1
