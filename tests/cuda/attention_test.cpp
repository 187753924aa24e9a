#include "kernels/mla_attention.hpp"
#include "kernels/mla_attention_backward.hpp"
#include "kernels/mla_decode.hpp"
#include "kernels/mla_prefill.hpp"
#include "tests/cuda/kernel_check.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/positions.hpp"

namespace r1 {

using namespace r1::test;

namespace {

struct Attended {
    std::int64_t sequences, queries, offset, heads, nope, rope, v;
    [[nodiscard]] std::int64_t qk() const { return nope + rope; }
};

// None, one, several tiles of queries and keys, more columns than a tile holds.
const std::vector<Attended> kAttended = with_random<Attended>(
    {{1, 0, 0, 1, 8, 8, 8},
     {2, 1, 0, 2, 3, 2, 5},
     {2, 20, 0, 2, 24, 8, 16},
     {1, 70, 0, 1, 16, 8, 24},
     {1, 3, 130, 2, 20, 12, 9},
     {1, 9, 2, 1, 160, 64, 140}},
    [](const auto& size) {
        return Attended{size(2), size(90), size(90), size(3), size(40), 2 * size(10), size(40)};
    });

struct Cached {
    std::int64_t sequences, queries, rows, heads, nope, rope, v, lora;
    std::vector<std::int32_t> contexts;
};

const std::vector<Cached> kCached = {{1, 1, 4, 2, 8, 4, 8, 16, {1}},
                                     {3, 1, 80, 3, 12, 6, 10, 20, {80, 1, 33}},
                                     {2, 5, 150, 2, 24, 8, 16, 40, {5, 141}},
                                     {1, 2, 40, 1, 16, 64, 16, 512, {40}}};

// Nobody has written behind the contexts: NaN.
Operand cached_latents(const Cached& c, DType type) {
    Operand latents = random(c.sequences * c.rows, c.lora + c.rope, type, 2);
    const auto row_bytes = static_cast<std::int64_t>(latents.bytes.size()) / latents.rows;
    for (std::int64_t i = 0; i < c.sequences; ++i) {
        const std::int64_t context = c.contexts[static_cast<std::size_t>(i)];
        const auto first = latents.bytes.begin() + i * c.rows * row_bytes;
        std::fill(first + context * row_bytes, first + c.rows * row_bytes, std::byte{0xFF});
    }
    return latents;
}

void decode_by_reference(MlaCachedArgs args) {
    Place scratch(false);
    args.workspace = scratch.workspace(reference::mla_decode_workspace_bytes(args));
    reference::mla_decode(args);
}

void prefill_by_reference(MlaCachedArgs args) {
    Place scratch(false);
    args.workspace = scratch.workspace(reference::mla_prefill_workspace_bytes(args));
    reference::mla_prefill(args);
}

MlaCachedArgs cached_args(const Cached& c, DType type, Place& on) {
    MlaCachedArgs a;
    a.sequences = c.sequences;
    a.queries = c.queries;
    a.cache_rows = c.rows;
    a.context_max = c.rows;
    a.heads = c.heads;
    a.nope_dim = c.nope;
    a.rope_dim = c.rope;
    a.v_dim = c.v;
    a.kv_lora_rank = c.lora;
    a.scale = 0.4F;
    a.positions = on.data<std::int32_t>(integers(test::positions_of(c.contexts, c.queries)));
    a.q = on.matrix(random(c.sequences * c.queries, c.heads * a.qk_dim(), type, 1));
    a.latent = on.matrix(cached_latents(c, type));
    a.kv_b = on.matrix(random(c.heads * (c.nope + c.v), c.lora, type, 3,
                              1 / std::sqrt(static_cast<double>(c.lora))));
    a.o = on.matrix(empty(c.sequences * c.queries, c.heads * c.v, type));
    return a;
}

MlaAttentionArgs attention_args(const Attended& s, DType type, Place& on) {
    const std::int64_t keys = s.offset + s.queries + 1;
    MlaAttentionArgs a;
    a.sequences = s.sequences;
    a.queries = s.queries;
    a.keys = keys;
    a.query_offset = s.offset;
    a.heads = s.heads;
    a.qk_dim = s.qk();
    a.nope_dim = s.nope;
    a.v_dim = s.v;
    a.scale = 0.8F;
    a.q = on.matrix(random(s.sequences * s.queries, s.heads * s.qk(), type, 1));
    a.k = on.matrix(random(s.sequences * keys, s.heads * s.qk(), type, 2));
    a.kv = on.matrix(random(s.sequences * keys, s.heads * (s.nope + s.v), type, 3));
    a.o = on.matrix(empty(s.sequences * s.queries, s.heads * s.v, type));
    if (s.queries != 1) {
        a.lse = on.data<float>(empty(s.sequences * s.queries, s.heads, DType::f32));
    }
    return a;
}

// Weights and gradients of scores are rounded to BF16 before they are multiplied, as in
// FlashAttention: single elements of a sum that cancels are off by more than their own rounding.
const Tolerance kRounded{1e-5, 3e-2, 0, 1e-6};

}  // namespace

TEST_CASE("cuda mla_attention: outputs and log sums over the keys each query sees", "[cuda]") {
    for (const Attended& s : kAttended) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO("queries " << s.queries << " offset " << s.offset << " qk " << s.qk());
            check_kernel_with_workspace([&](Place& on) { return attention_args(s, type, on); },
                                        &reference::mla_attention, &cuda::mla_attention,
                                        &cuda::mla_attention_workspace_bytes, kRounded);
        }
    }
}

// Queries that end inside a tile, keys of several, keys before the queries.
TEST_CASE("cuda mla_attention: heads of DeepSeek-R1's sizes", "[cuda]") {
    for (const Attended& s :
         {Attended{2, 150, 0, 2, 128, 64, 128}, Attended{1, 70, 333, 1, 128, 64, 128}}) {
        for (const bool at_best : {true, false}) {
            INFO("queries " << s.queries << " at best " << at_best);
            check_kernel_with_workspace(
                [&](Place& on) { return attention_args(s, DType::bf16, on); },
                &reference::mla_attention, &cuda::mla_attention,
                &cuda::mla_attention_workspace_bytes, kRounded, at_best,
                at_best ? kOrdersOfWaits : kOrders);
        }
    }
}

TEST_CASE("cuda mla_attention_backward: queries, keys and values", "[cuda]") {
    for (const Attended& s : kAttended) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO("queries " << s.queries << " qk " << s.qk() << " " << name(type));
            const std::int64_t rows = s.sequences * s.queries;
            const std::int64_t kv_width = s.heads * (s.nope + s.v);
            Operand q = random(rows, s.heads * s.qk(), type, 1);
            Operand k = random(rows, s.heads * s.qk(), type, 2);
            Operand kv = random(rows, kv_width, type, 3);
            Operand o = empty(rows, s.heads * s.v, type);
            Operand lse = empty(rows, s.heads, DType::f32);
            reference::mla_attention({s.sequences,
                                      s.queries,
                                      s.queries,
                                      0,
                                      s.heads,
                                      s.qk(),
                                      s.nope,
                                      s.v,
                                      0.8F,
                                      q.view(),
                                      k.view(),
                                      kv.view(),
                                      o.view(),
                                      lse.as<float>(),
                                      {}});
            check_kernel_with_workspace(
                [&](Place& on) {
                    MlaAttentionBackwardArgs a;
                    a.sequences = s.sequences;
                    a.tokens = s.queries;
                    a.heads = s.heads;
                    a.qk_dim = s.qk();
                    a.nope_dim = s.nope;
                    a.v_dim = s.v;
                    a.scale = 0.8F;
                    a.d_o = on.matrix(random(rows, s.heads * s.v, type, 4));
                    a.q = on.matrix(q);
                    a.k = on.matrix(k);
                    a.kv = on.matrix(kv);
                    a.o = on.matrix(o);
                    a.lse = on.data<float>(lse);
                    a.dq = on.matrix(empty(rows, s.heads * s.qk(), type));
                    a.dk = on.matrix(empty(rows, s.heads * s.qk(), type));
                    a.dv = on.matrix(empty(rows, s.heads * s.v, type));
                    return a;
                },
                &reference::mla_attention_backward, &cuda::mla_attention_backward,
                &cuda::mla_attention_backward_workspace_bytes, kRounded);
        }
    }
}

TEST_CASE("cuda mla_prefill and mla_decode: over the cache, in both forms", "[cuda]") {
    for (const Cached& c : kCached) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO("sequences " << c.sequences << " lora " << c.lora << " " << name(type));
            const auto arguments = [&](Place& on) { return cached_args(c, type, on); };
            check_kernel_with_workspace(arguments, &prefill_by_reference, &cuda::mla_prefill,
                                        &cuda::mla_prefill_workspace_bytes, kRounded);
            check_kernel_with_workspace(arguments, &decode_by_reference, &cuda::mla_decode,
                                        &cuda::mla_decode_workspace_bytes, kRounded);
        }
    }
}

// Keys of each head and a rotary part that all share; more of the cache than has been written.
TEST_CASE("cuda mla_prefill: heads of DeepSeek-R1's sizes", "[cuda]") {
    const Cached c{2, 30, 200, 2, 128, 64, 128, 32, {140, 30}};
    for (const bool at_best : {true, false}) {
        check_kernel_with_workspace([&](Place& on) { return cached_args(c, DType::bf16, on); },
                                    &prefill_by_reference, &cuda::mla_prefill,
                                    &cuda::mla_prefill_workspace_bytes, kRounded, at_best,
                                    at_best ? kOrdersOfWaits : kOrders);
    }
}

TEST_CASE("cuda mla_decode: contexts in splits, some of them without keys", "[cuda]") {
    const Cached c{2, 2, 2500, 2, 8, 8, 8, 16, {2500, 1030}};
    check_kernel_with_workspace([&](Place& on) { return cached_args(c, DType::bf16, on); },
                                &decode_by_reference, &cuda::mla_decode,
                                &cuda::mla_decode_workspace_bytes, kRounded);
}

// Sizes of DeepSeek-R1's cache: rows that end inside a tile, a context of few keys more than tiles,
// one that ends in a tile that others' keys or nothing follow, a split without keys.
TEST_CASE("cuda mla_decode: latents of 512 and 64 columns", "[cuda]") {
    for (const Cached& c : {Cached{2, 2, 200, 40, 8, 64, 8, 512, {200, 67}},
                            Cached{2, 2, 1100, 2, 8, 64, 8, 512, {1100, 70}}}) {
        for (const bool at_best : {true, false}) {
            check_kernel_with_workspace([&](Place& on) { return cached_args(c, DType::bf16, on); },
                                        &decode_by_reference, &cuda::mla_decode,
                                        &cuda::mla_decode_workspace_bytes, kRounded, at_best,
                                        at_best ? kOrdersOfWaits : kOrders);
        }
    }
}

TEST_CASE("cuda mla_decode: a token's bytes do not depend on the longest context", "[cuda]") {
    const Cached c{1, 1, 40000, 2, 8, 8, 8, 16, {1500}};
    const auto decoded = [&](std::int64_t longest) {
        Place device(true);
        MlaCachedArgs args = cached_args(c, DType::bf16, device);
        args.context_max = longest;
        args.workspace = device.workspace(cuda::mla_decode_workspace_bytes(args));
        cuda::mla_decode(args, device_launch(true));
        std::vector<Operand> got = device.contents();
        got.resize(5);  // operands, without the workspace
        return got;
    };
    compare_bytes(decoded(1500), decoded(c.rows));
}

// The workspace is allocated once, for the longest context.
TEST_CASE("cuda mla_prefill and mla_decode: a shorter context needs no larger workspace",
          "[cuda]") {
    MlaCachedArgs args;  // sizes of DeepSeek-R1
    args.queries = 2;
    args.cache_rows = args.context_max = 1 << 18;
    args.heads = 128;
    args.nope_dim = args.v_dim = 128;
    args.rope_dim = 64;
    args.kv_lora_rank = 512;
    args.q.dtype = args.latent.dtype = DType::bf16;
    std::size_t prefill = cuda::mla_prefill_workspace_bytes(args);
    std::size_t decode = cuda::mla_decode_workspace_bytes(args);
    for (; args.context_max > 0; args.context_max -= 63) {
        const std::size_t shorter_prefill = cuda::mla_prefill_workspace_bytes(args);
        const std::size_t shorter_decode = cuda::mla_decode_workspace_bytes(args);
        if (shorter_prefill > prefill || shorter_decode > decode) {
            FAIL("context " << args.context_max);
        }
        prefill = shorter_prefill;
        decode = shorter_decode;
    }
}

}  // namespace r1
