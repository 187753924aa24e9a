#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cpu/threads.hpp"
#include "kernels/mla_attention.hpp"
#include "kernels/mla_decode.hpp"
#include "kernels/mla_prefill.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/positions.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::Workspace;

struct AttentionSizes {
    std::int64_t sequences;
    std::int64_t queries;
    std::int64_t keys;
    std::int64_t heads;
    std::int64_t nope;
    std::int64_t rope;
    std::int64_t v;
    std::int64_t lora;
};

MlaAttentionArgs naive_args(const AttentionSizes& s, Buffer& q, Buffer& k, Buffer& kv) {
    MlaAttentionArgs args;
    args.sequences = s.sequences;
    args.queries = s.queries;
    args.keys = s.keys;
    args.query_offset = s.keys - s.queries;
    args.heads = s.heads;
    args.qk_dim = s.nope + s.rope;
    args.nope_dim = s.nope;
    args.v_dim = s.v;
    args.scale = 0.7F;
    args.q = q.view();
    args.k = k.view();
    args.kv = kv.view();
    return args;
}

template <class Args>
void run_cpu(Args args, Matrix o, float* lse = nullptr) {
    std::size_t bytes = 0;
    if constexpr (std::is_same_v<Args, MlaAttentionArgs>) {
        bytes = cpu::mla_attention_workspace_bytes(args);
        args.lse = lse;
    } else {
        bytes = cpu::mla_decode_workspace_bytes(args);
    }
    Workspace workspace(bytes);
    args.workspace = workspace.span();
    args.o = o;
    if constexpr (std::is_same_v<Args, MlaAttentionArgs>) {
        cpu::mla_attention(args);
    } else {
        cpu::mla_decode(args);
    }
}

// Outputs are means of values below 1. A score is a float32 sum of qk products, so its error and
// that of its exponential are about sqrt(qk) units; means do not add to it.
double attention_tolerance(std::int64_t qk, DType type) {
    return 8 * std::sqrt(static_cast<double>(qk)) * 0x1p-23 + 2 * test::epsilon(type);
}

const std::vector<AttentionSizes>& attention_sizes() {
    static const std::vector<AttentionSizes> list = {
        {1, 1, 1, 1, 2, 2, 3, 5},      {2, 5, 5, 3, 6, 4, 5, 7},
        {1, 0, 3, 2, 4, 2, 4, 8},      {1, 130, 130, 2, 16, 8, 33, 40},
        {2, 3, 300, 2, 33, 7, 16, 64}, {1, 2, 513, 1, 260, 30, 40, 270},
    };
    return list;
}

// An absorbed problem, and the keys and values that it stands for.
struct Absorbed {
    Absorbed(const AttentionSizes& s, const std::vector<std::int32_t>& contexts,
             std::int64_t capacity, DType type, std::uint64_t seed)
        : positions(test::positions_of(contexts, s.queries)),
          q(Buffer::random(s.sequences * s.queries, s.heads * (s.nope + s.rope), type, seed)),
          latent(Buffer::random(s.sequences * capacity, s.lora + s.rope, type, seed + 1)),
          kv_b(Buffer::random(s.heads * (s.nope + s.v), s.lora, type, seed + 2)) {
        args.sequences = s.sequences;
        args.queries = s.queries;
        args.cache_rows = capacity;
        args.context_max = capacity;
        args.heads = s.heads;
        args.nope_dim = s.nope;
        args.rope_dim = s.rope;
        args.v_dim = s.v;
        args.kv_lora_rank = s.lora;
        args.scale = 0.3F;
        args.positions = positions.data();
        args.q = q.view();
        args.latent = latent.view();
        args.kv_b = kv_b.view();
    }

    std::vector<std::int32_t> positions;
    Buffer q;
    Buffer latent;
    Buffer kv_b;
    MlaCachedArgs args;
};

// mla_prefill: through the table of both versions.
std::vector<std::uint8_t> prefill(MlaCachedArgs args, bool reference) {
    Workspace workspace(reference ? reference::mla_prefill_workspace_bytes(args)
                                  : cpu::mla_prefill_workspace_bytes(args));
    Buffer o(args.sequences * args.queries, args.heads * args.v_dim, args.q.dtype);
    args.workspace = workspace.span();
    args.o = o.view();
    reference ? reference::mla_prefill(args) : cpu::mla_prefill(args);
    return o.bytes();
}

double largest_difference(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b,
                          DType type) {
    REQUIRE(a.size() == b.size());
    const auto count = static_cast<std::int64_t>(a.size() / (type == DType::f32 ? 4 : 2));
    double largest = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        const double difference = std::abs(static_cast<double>(load({a.data(), type, 0}, 0, i)) -
                                           static_cast<double>(load({b.data(), type, 0}, 0, i)));
        largest = std::max(largest, std::isnan(difference) ? INFINITY : difference);
    }
    return largest;
}

void reference_decode(MlaCachedArgs args, Matrix o) {
    Workspace workspace(reference::mla_decode_workspace_bytes(args));
    args.workspace = workspace.span();
    args.o = o;
    reference::mla_decode(args);
}

}  // namespace

TEST_CASE("mla_attention: by hand", "[kernels][attention]") {
    // One head, qk_dim 1, scale 1, q = 0: the mean of the values seen so far.
    std::vector<float> q = {0, 0, 0};
    std::vector<float> k = {1, 2, 3};
    std::vector<float> kv = {9, 3, 9, 5, 9, 10};  // nope_dim 1, then the value
    std::vector<float> o(3);
    std::vector<float> lse(3);
    MlaAttentionArgs args;
    args.queries = args.keys = 3;
    args.heads = args.qk_dim = args.nope_dim = args.v_dim = 1;
    args.q = {q.data(), DType::f32, 1};
    args.k = {k.data(), DType::f32, 1};
    args.kv = {kv.data(), DType::f32, 2};
    args.o = {o.data(), DType::f32, 1};
    args.lse = lse.data();
    reference::mla_attention(args);
    CHECK(o == std::vector<float>{3, 4, 6});
    CHECK(lse[2] == Approx(std::log(3.0)));
    std::fill(o.begin(), o.end(), 0.0F);
    run_cpu(args, args.o, lse.data());
    CHECK(o[0] == 3);
    CHECK(o[1] == 4);
    CHECK(o[2] == Approx(6));
    CHECK(lse[2] == Approx(std::log(3.0)));
}

TEST_CASE("mla_attention: cpu agrees with the reference", "[kernels][attention]") {
    for (const AttentionSizes& s : attention_sizes()) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO(s.queries << " queries, " << s.keys << " keys");
            const std::int64_t qk = s.nope + s.rope;
            Buffer q = Buffer::random(s.sequences * s.queries, s.heads * qk, type, 1);
            Buffer k = Buffer::random(s.sequences * s.keys, s.heads * qk, type, 2);
            Buffer kv = Buffer::random(s.sequences * s.keys, s.heads * (s.nope + s.v), type, 3);
            Buffer want(s.sequences * s.queries, s.heads * s.v, type);
            Buffer got(s.sequences * s.queries, s.heads * s.v, type);
            Buffer want_lse(s.sequences * s.queries, s.heads, DType::f32);
            Buffer got_lse(s.sequences * s.queries, s.heads, DType::f32);
            MlaAttentionArgs args = naive_args(s, q, k, kv);
            args.o = want.view();
            args.lse = static_cast<float*>(want_lse.view().data);
            reference::mla_attention(args);
            run_cpu(args, got.view(), static_cast<float*>(got_lse.view().data));
            CHECK(distance(want, got) <= attention_tolerance(qk, type));
            CHECK(distance(want_lse, got_lse) <= attention_tolerance(qk, DType::f32) * 16);
        }
    }
}

TEST_CASE("mla_attention: chunks of queries give the same bytes", "[kernels][attention]") {
    const AttentionSizes s{1, 600, 600, 2, 24, 8, 20, 0};
    Buffer q = Buffer::random(600, 64, DType::f32, 4);
    Buffer k = Buffer::random(600, 64, DType::f32, 5);
    Buffer kv = Buffer::random(600, 2 * 44, DType::f32, 6);
    Buffer whole(600, 40, DType::f32);
    Buffer parts(600, 40, DType::f32);
    const MlaAttentionArgs args = naive_args(s, q, k, kv);
    run_cpu(args, whole.view());
    for (std::int64_t first = 0; first < 600; first += 170) {
        MlaAttentionArgs part = args;
        part.queries = std::min<std::int64_t>(170, 600 - first);
        part.query_offset = first;
        part.keys = first + part.queries;
        part.q.data = q.codes() + first * 64 * 4;
        run_cpu(part, {parts.codes() + first * 40 * 4, DType::f32, 40});
    }
    CHECK(whole.bytes() == parts.bytes());
}

TEST_CASE("mla_attention: large scores do not overflow", "[kernels][attention]") {
    const AttentionSizes s{1, 300, 300, 1, 8, 8, 4, 0};
    Buffer q = Buffer::random(300, 16, DType::f32, 7);
    Buffer k = Buffer::random(300, 16, DType::f32, 8);
    Buffer kv = Buffer::random(300, 12, DType::f32, 9);
    Buffer want(300, 4, DType::f32);
    Buffer got(300, 4, DType::f32);
    MlaAttentionArgs args = naive_args(s, q, k, kv);
    args.scale = 500;
    args.o = want.view();
    reference::mla_attention(args);
    run_cpu(args, got.view());
    CHECK(distance(want, got) <= 500 * attention_tolerance(16, DType::f32));
}

TEST_CASE("mla_decode: cpu agrees with the reference", "[kernels][attention]") {
    for (const AttentionSizes& s : attention_sizes()) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO(s.queries << " queries, " << s.keys << " keys");
            std::vector<std::int32_t> contexts;
            for (std::int64_t i = 0; i < s.sequences; ++i) {
                contexts.push_back(
                    static_cast<std::int32_t>(std::max<std::int64_t>(s.keys - 2 * i, s.queries)));
            }
            Absorbed problem(s, contexts, s.keys + 1, type, 10);
            Buffer want(s.sequences * s.queries, s.heads * s.v, type);
            Buffer got(s.sequences * s.queries, s.heads * s.v, type);
            reference_decode(problem.args, want.view());
            run_cpu(problem.args, got.view());
            // Values are sums of lora products, and scores of nope * lora.
            const double size = std::sqrt(static_cast<double>(s.lora));
            CHECK(distance(want, got) <= 4 * size * attention_tolerance(s.nope * s.lora, type));
        }
    }
}

TEST_CASE("mla_decode: the absorbed form agrees with the naive one", "[kernels][attention]") {
    const AttentionSizes s{1, 3, 70, 2, 12, 6, 10, 24};
    Absorbed problem(s, {70}, 70, DType::f32, 20);
    Buffer absorbed(3, 20, DType::f32);
    run_cpu(problem.args, absorbed.view());
    // Keys and values: kv = latent kv_b^T, k = [nope | rotary part of the cache].
    Buffer kv(70, 2 * 22, DType::f32);
    Buffer k(70, 2 * 18, DType::f32);
    for (std::int64_t key = 0; key < 70; ++key) {
        for (std::int64_t i = 0; i < 44; ++i) {
            double sum = 0;
            for (std::int64_t j = 0; j < 24; ++j) {
                sum += static_cast<double>(problem.latent.at(key, j)) * problem.kv_b.at(i, j);
            }
            store(kv.view(), key, i, static_cast<float>(sum));
        }
        for (std::int64_t i = 0; i < 36; ++i) {
            const std::int64_t head = i / 18;
            const std::int64_t column = i % 18;
            store(k.view(), key, i,
                  column < 12 ? kv.at(key, head * 22 + column)
                              : problem.latent.at(key, 24 + column - 12));
        }
    }
    MlaAttentionArgs args = naive_args(s, problem.q, k, kv);
    args.scale = 0.3F;
    Buffer naive(3, 20, DType::f32);
    run_cpu(args, naive.view());
    CHECK(distance(naive, absorbed) <=
          4 * std::sqrt(24.0) * attention_tolerance(12 * 24, DType::f32));
}

TEST_CASE("mla_decode: a token is the same bytes alone and beside others", "[kernels][attention]") {
    // Contexts that end just after a split of keys begins, and queries on both sides of it.
    const AttentionSizes s{1, 3, 2049, 2, 8, 4, 8, 40};
    Absorbed problem(s, {2049}, 2049, DType::f32, 30);
    Buffer together(3, 16, DType::f32);
    run_cpu(problem.args, together.view());
    for (std::int32_t query = 0; query < 3; ++query) {
        MlaCachedArgs one = problem.args;
        const std::int32_t position = 2049 - 3 + query;
        one.positions = &position;
        one.queries = 1;
        one.q.data = problem.q.codes() + query * 24 * 4;
        Buffer alone(1, 16, DType::f32);
        run_cpu(one, alone.view());
        CHECK(std::memcmp(alone.codes(), together.codes() + query * 16 * 4, 16 * 4) == 0);
    }
}

TEST_CASE("mla_prefill: cpu agrees with the reference", "[kernels][attention]") {
    std::vector<AttentionSizes> all = attention_sizes();
    all.push_back({1, 150, 1500, 2, 12, 6, 10, 24});  // several blocks of keys and of queries
    for (const AttentionSizes& s : all) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO(s.queries << " queries, " << s.keys << " keys");
            std::vector<std::int32_t> contexts;
            for (std::int64_t i = 0; i < s.sequences; ++i) {
                contexts.push_back(
                    static_cast<std::int32_t>(std::max<std::int64_t>(s.keys - 2 * i, s.queries)));
            }
            Absorbed problem(s, contexts, s.keys + 1, type, 50);
            // BF16: keys and values are rounded to it, sums of lora products.
            const double size = std::sqrt(static_cast<double>(s.lora));
            CHECK(largest_difference(prefill(problem.args, true), prefill(problem.args, false),
                                     type) <=
                  4 * size * attention_tolerance(s.nope * s.lora, type));
        }
    }
}

TEST_CASE("mla_prefill: agrees with the absorbed form", "[kernels][attention]") {
    const AttentionSizes s{2, 40, 1100, 2, 12, 6, 10, 24};
    Absorbed problem(s, {1100, 600}, 1100, DType::f32, 60);
    Buffer absorbed(80, 20, DType::f32);
    run_cpu(problem.args, absorbed.view());
    CHECK(largest_difference(absorbed.bytes(), prefill(problem.args, false), DType::f32) <=
          4 * std::sqrt(24.0) * attention_tolerance(12 * 24, DType::f32));
}

TEST_CASE("mla_prefill: chunks of a prompt give the same bytes", "[kernels][attention]") {
    // Chunks that begin inside a block of keys, and one that ends just behind its start.
    const AttentionSizes s{1, 1300, 1300, 2, 8, 4, 8, 40};
    Absorbed problem(s, {1300}, 1300, DType::bf16, 70);
    const std::vector<std::uint8_t> whole = prefill(problem.args, false);
    std::vector<std::uint8_t> parts;
    for (const auto& [first, end] : {std::pair{0, 1}, {1, 700}, {700, 1025}, {1025, 1300}}) {
        MlaCachedArgs part = problem.args;
        part.positions = problem.positions.data() + first;
        part.queries = end - first;
        part.q.data = problem.q.codes() + first * 24 * 2;
        const std::vector<std::uint8_t> bytes = prefill(part, false);
        parts.insert(parts.end(), bytes.begin(), bytes.end());
    }
    CHECK(parts == whole);
}

TEST_CASE("attention: the same bytes for any number of threads", "[kernels][attention]") {
    const AttentionSizes s{1, 200, 4500, 3, 8, 4, 8, 40};
    Absorbed problem(s, {4500}, 4500, DType::bf16, 40);
    Buffer k = Buffer::random(4500, 36, DType::bf16, 43);
    Buffer kv = Buffer::random(4500, 48, DType::bf16, 44);
    const MlaAttentionArgs args = naive_args(s, problem.q, k, kv);
    const std::int64_t before = cpu::thread_count();
    std::vector<std::vector<std::uint8_t>> results;
    for (const int threads : {1, 2, 5}) {
        cpu::set_thread_count(threads);
        Buffer o(200, 24, DType::f32);
        run_cpu(problem.args, o.view());
        results.push_back(o.bytes());
        run_cpu(args, o.view());
        results.push_back(o.bytes());
        results.push_back(prefill(problem.args, false));
    }
    cpu::set_thread_count(before);
    for (std::size_t i = 3; i < results.size(); ++i) {
        CHECK(results[i] == results[i % 3]);
    }
}

}  // namespace r1
