// The emitted ops against closed forms that know nothing of ops: FLOPs and parameters of the
// model, and the algebra between chunks.
#include "model/layers/layers.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/config/parameters.hpp"
#include "model/layers/stage.hpp"
#include "model/workload/chunks.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/training_setup.hpp"

using namespace r1;
using test::balanced;
using test::recompute_of;
using test::tiny_setup;
using test::variant;
using test::variants;

namespace {

bool is_attention(const Op& op) {
    const ComputeOp* compute = op.compute();
    return compute != nullptr &&
           kernel_signature(compute->kernel)->cost_class == KernelClass::attention;
}

// Matrix FLOPs of the ops that `choose` takes, with balanced routing.
template <class Choose>
double flops_of(const ChunkTemplate& chunk, const LayerSizes& sizes, Choose choose) {
    double flops = 0;
    for (const Op& op : chunk.ops) {
        if (op.compute() != nullptr && choose(op)) {
            flops += op.compute()->work.matrix_flops.value(balanced(sizes));
        }
    }
    return flops;
}
double flops_of(const ChunkTemplate& chunk, const LayerSizes& sizes) {
    return flops_of(chunk, sizes, [](const Op&) { return true; });
}

std::vector<std::vector<Block>> all_blocks(const TrainingSetup& setup) {
    std::vector<std::vector<Block>> stages;
    for (const StageLayout& layout : stage_layouts(setup.stage_layers)) {
        stages.push_back(stage_blocks(setup.sizes, layout));
    }
    return stages;
}

// Forward FLOPs of a token in the MTP module: projection, a MoE layer, a head.
double mtp_flops_per_token(const ModelConfig& config, std::int64_t sequence_length) {
    if (config.num_nextn_predict_layers == 0) {
        return 0;
    }
    ModelConfig layer_and_head = config;
    layer_and_head.num_hidden_layers = 1;
    layer_and_head.first_k_dense_replace = 0;
    const double hidden = static_cast<double>(config.hidden_size);
    return 2 * 2 * hidden * hidden +
           forward_flops_per_token(layer_and_head, sequence_length, true).value();
}

bool is_weight_scale(const Tensor& tensor) {
    return tensor.name.find("weight_scale_inv") != std::string::npos;
}

}  // namespace

TEST_CASE("layers: forward FLOPs are those of the closed form", "[model][layers]") {
    for (const std::string& name : variants()) {
        for (const int ranks : {1, 3}) {
            INFO(name << ", " << ranks << " ranks");
            const TrainingSetup setup =
                tiny_setup(ScheduleKind::one_f_one_b, ranks, 4, variant(name));
            double flops = 0;
            for (const std::vector<Block>& stage : all_blocks(setup)) {
                flops += flops_of(forward_chunk("F", stage), setup.sizes);
            }
            const ModelConfig& config = setup.sizes.config;
            const std::int64_t length = setup.sizes.sequence_length;
            const double expected = forward_flops_per_token(config, length, true).value() +
                                    mtp_flops_per_token(config, length);
            const double tokens = static_cast<double>(setup.sizes.tokens());
            CHECK(flops / tokens == Approx(expected).epsilon(1e-12));
        }
    }
}

TEST_CASE("layers: forward FLOPs of V3 per token", "[model][layers]") {
    TrainingSetup setup = tiny_setup(ScheduleKind::dualpipe, 16, 32, model_preset("deepseek-v3"));
    setup.sizes.sequence_length = 4096;
    double flops = 0;
    for (const std::vector<Block>& stage : all_blocks(setup)) {
        flops += flops_of(forward_chunk("F", stage), setup.sizes);
    }
    const ModelConfig& config = setup.sizes.config;
    CHECK(flops / 4096 == Approx(forward_flops_per_token(config, 4096, true).value() +
                                 mtp_flops_per_token(config, 4096))
                              .epsilon(1e-12));
}

TEST_CASE("layers: each gradient of a linear layer costs its forward pass", "[model][layers]") {
    const auto linear = [](const Op& op) { return !is_attention(op); };
    const auto input = [&](const Op& op) {
        return linear(op) && op.phase == Phase::backward_input;
    };
    const auto weight = [](const Op& op) { return op.phase == Phase::backward_weight; };
    for (const std::string& name : variants()) {
        INFO(name);
        TrainingSetup setup = tiny_setup(ScheduleKind::one_f_one_b, 2, 4, variant(name));
        setup.sizes.recompute = {false, false, false};
        for (const std::vector<Block>& stage : all_blocks(setup)) {
            const ChunkTemplate f = forward_chunk("F", stage);
            const ChunkTemplate b = backward_chunk("BW", stage, true, true);
            const double forward = flops_of(f, setup.sizes, linear);
            CHECK(flops_of(b, setup.sizes, input) == Approx(forward).epsilon(1e-12));
            CHECK(flops_of(b, setup.sizes, weight) == Approx(forward).epsilon(1e-12));
            // Attention: QK' and PV forward; QK', dOV', P'dO, dSK and dS'Q backward.
            const double qk = static_cast<double>(setup.sizes.config.qk_head_dim());
            const double v = static_cast<double>(setup.sizes.config.v_head_dim);
            CHECK(flops_of(b, setup.sizes, is_attention) ==
                  Approx(flops_of(f, setup.sizes, is_attention) * (3 * qk + 2 * v) / (qk + v))
                      .epsilon(1e-12));
        }
    }
}

TEST_CASE("layers: recomputation adds the up-projections of MLA and nothing else",
          "[model][layers]") {
    for (int bits = 0; bits < 8; ++bits) {
        INFO("recompute " << bits);
        TrainingSetup setup = tiny_setup(ScheduleKind::one_f_one_b, 1, 1);
        setup.sizes.recompute = {false, false, false};
        const double without =
            flops_of(backward_chunk("BW", all_blocks(setup)[0], true, true), setup.sizes);
        setup.sizes.recompute = recompute_of(bits);
        const double with =
            flops_of(backward_chunk("BW", all_blocks(setup)[0], true, true), setup.sizes);
        const ModelConfig& c = setup.sizes.config;
        const std::int64_t up =
            c.q_lora_rank * c.query_dim() +
            c.kv_lora_rank * c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim);
        const double expected = (bits & 2) == 0 ? 0
                                                : 2 * static_cast<double>(up) * 128 *
                                                      static_cast<double>(c.num_hidden_layers + 1);
        CHECK(with - without == Approx(expected));
    }
}

TEST_CASE("layers: stages hold the parameters of the inventory", "[model][layers]") {
    for (const std::string& name : variants()) {
        for (const int ranks : {1, 3}) {
            INFO(name << ", " << ranks << " ranks");
            const TrainingSetup setup =
                tiny_setup(ScheduleKind::one_f_one_b, ranks, 4, variant(name));
            const ModelConfig& config = setup.sizes.config;
            double parameters = 0;
            double gradients = 0;
            for (const std::vector<Block>& stage : all_blocks(setup)) {
                std::set<std::string> counted;
                for (const ChunkTemplate& chunk :
                     {forward_chunk("F", stage), backward_chunk("BW", stage, true, true)}) {
                    for (const Tensor& tensor : chunk.tensors) {
                        const bool expert = tensor.name.find(".experts.") != std::string::npos;
                        const double count =
                            elements(tensor).constant * (expert ? setup.plan.expert_parallel : 1);
                        if (is_weight_scale(tensor) || !counted.insert(tensor.name).second) {
                            continue;
                        }
                        parameters += tensor.role == TensorRole::parameter ? count : 0;
                        gradients += tensor.role == TensorRole::gradient ? count : 0;
                    }
                }
            }
            std::int64_t expected = 0;
            std::int64_t biases = 0;  // of the routers: they have no gradient
            std::int64_t loads = 0;   // counted for each expert beside the gradients
            for (const Parameter& parameter : parameter_inventory(config)) {
                expected += parameter.copy ? 0 : parameter.count();
                if (parameter.name.find("e_score_correction_bias") != std::string::npos) {
                    biases += parameter.count();
                }
                if (parameter.name.ends_with("gate.weight")) {
                    loads += config.n_routed_experts;
                }
            }
            if (ranks > 1 && (config.tie_word_embeddings || config.num_nextn_predict_layers > 0)) {
                expected += config.vocab_size * config.hidden_size;  // in the last stage too
            }
            CHECK(parameters == static_cast<double>(expected));
            CHECK(gradients == static_cast<double>(expected - biases + loads));
        }
    }
}

TEST_CASE("layers: a GEMM moves its operands and its result", "[model][layers]") {
    const std::map<DType, double> width = {
        {DType::f32, 4}, {DType::bf16, 2}, {DType::e4m3, 1}, {DType::i32, 4}};
    int seen = 0;
    for (const DType precision : {DType::e4m3, DType::bf16}) {
        TrainingSetup setup = tiny_setup(ScheduleKind::one_f_one_b, 1, 1);
        setup.sizes.precision.gemm = precision;
        const std::vector<Block> stage = all_blocks(setup)[0];
        for (const ChunkTemplate& chunk :
             {forward_chunk("F", stage), backward_chunk("BW", stage, true, true)}) {
            for (const Op& op : chunk.ops) {
                if (op.compute() == nullptr || kernel_signature(op.compute()->kernel)->cost_class >
                                                   KernelClass::grouped_gemm) {
                    continue;
                }
                const Work& work = op.compute()->work;
                const bool accumulates = op.phase == Phase::backward_weight;
                double scales = 0;  // and expert offsets
                for (const TensorId id : op.inputs) {
                    const Tensor& tensor = chunk.tensors[id.index()];
                    const bool aside = tensor.name.find("scale") != std::string::npos ||
                                       tensor.name.find("offsets") != std::string::npos;
                    scales += aside ? bytes(tensor).value(balanced(setup.sizes)) : 0;
                }
                // m, n, k of one matrix product; `groups` of them share m (or k, for gradients).
                std::vector<double> d;
                for (const Extent& extent : op.compute()->dims) {
                    d.push_back(extent.value(balanced(setup.sizes)));
                }
                const double groups = d.size() == 4 ? d[0] : 1;
                const double m = d[d.size() - 3];
                const double n = d[d.size() - 2];
                const double k = d[d.size() - 1];
                const double a = width.at(chunk.tensors[op.inputs[0].index()].dtype);
                const std::size_t second = scales > 0 && op.inputs.size() >= 4 ? 2 : 1;
                const double b = width.at(chunk.tensors[op.inputs[second].index()].dtype);
                const double out = width.at(chunk.tensors[op.outputs[0].index()].dtype);
                const double result = (accumulates ? groups : 1) * m * n * out;
                CHECK(work.matrix_flops.value(balanced(setup.sizes)) == 2 * m * n * k);
                CHECK(work.written_bytes.value(balanced(setup.sizes)) == result);
                CHECK(work.read_bytes.value(balanced(setup.sizes)) ==
                      Approx(m * k * a + (accumulates ? 1 : groups) * n * k * b + scales +
                             (accumulates ? result : 0)));
                ++seen;
            }
        }
    }
    CHECK(seen > 200);
}

TEST_CASE("layers: an embedding moves the rows of its tokens", "[model][layers]") {
    const TrainingSetup setup = tiny_setup(ScheduleKind::one_f_one_b, 1, 1, variant("no MTP"));
    const std::vector<Block> stage = all_blocks(setup)[0];
    const double rows = 128 * 128;  // tokens x hidden
    const Op forward = forward_chunk("F", stage).ops.front();
    REQUIRE(kind_name(forward) == "embedding");
    CHECK(forward.compute()->work.read_bytes == Extent(rows * 2 + 128 * 4));
    CHECK(forward.compute()->work.written_bytes == Extent(rows * 2));
    const Op backward = backward_chunk("BW", stage, true, true).ops.back();
    REQUIRE(kind_name(backward) == "embedding_backward");
    CHECK(backward.compute()->work.read_bytes == Extent(rows * 2 + 128 * 4 + rows * 4));
    CHECK(backward.compute()->work.written_bytes == Extent(rows * 4));
}

TEST_CASE("layers: chunks are sums of their parts", "[model][layers]") {
    for (const std::string& name : variants()) {
        for (const int bits : {0, 2, 7}) {
            INFO(name << ", recompute " << bits);
            TrainingSetup setup = tiny_setup(ScheduleKind::dualpipe, 2, 4, variant(name));
            setup.sizes.recompute = recompute_of(bits);
            const auto stages = all_blocks(setup);
            for (const auto& [forward, backward] : {std::pair{0, 1}, {1, 0}, {1, 1}}) {
                const std::vector<Block>& to = stages[static_cast<std::size_t>(forward)];
                const std::vector<Block>& back = stages[static_cast<std::size_t>(backward)];
                const ChunkTemplate f = forward_chunk("F", to);
                const ChunkTemplate b = backward_chunk("B", back, true, false);
                const ChunkTemplate w = backward_chunk("W", back, false, true);
                const ChunkTemplate bw = backward_chunk("BW", back, true, true);
                const ChunkTemplate fb = overlapped_chunk("FB", to, back);
                CHECK(b.ops.size() + w.ops.size() == bw.ops.size());
                CHECK(f.ops.size() + bw.ops.size() == fb.ops.size());
                const double whole = flops_of(bw, setup.sizes);
                CHECK(flops_of(b, setup.sizes) + flops_of(w, setup.sizes) == Approx(whole));
                CHECK(flops_of(fb, setup.sizes) == Approx(flops_of(f, setup.sizes) + whole));
            }
        }
    }
}

TEST_CASE("layers: attention over the cache counts what it multiplies", "[model][layers]") {
    // R1's heads, three new tokens of each of two sequences that have 100 before them. Tokens see
    // 101, 102 and 103: 306 pairs a sequence and head.
    const std::vector<Extent> dims = {2, 3, 128, 128, 64, 128, 512, Symbol::past_tokens};
    SymbolValues values{};
    values[static_cast<std::size_t>(Symbol::past_tokens)] = 100;
    // Keys and values of 103 tokens from their latents, then scores of 192 and values of 128.
    CHECK(matrix_flops(KernelId::mla_prefill, dims).value(values) ==
          2.0 * 2 * 128 * (103 * 512 * 256 + 306 * (192 + 128)));
    // Queries to the latents and sums from them, then scores of 576 and values of 512.
    CHECK(matrix_flops(KernelId::mla_decode, dims).value(values) ==
          2.0 * 2 * 128 * (3 * 512 * 256 + 306 * (576 + 512)));
}

TEST_CASE("layers: a step moves the rows of the cache that it adds and sees", "[model][layers]") {
    const ModelConfig config = test::model_config(test::variant("R1"));
    const ExecutionGraph graph =
        build_forward_graph(generation_setup(config, CacheUse::decode, 2, 3, false));
    SymbolValues values{};
    values[static_cast<std::size_t>(Symbol::past_tokens)] = 100;
    values[static_cast<std::size_t>(Symbol::cache_capacity)] = 1'000'000;  // does not matter
    const auto row = static_cast<double>(2 * (config.kv_lora_rank + config.qk_rope_head_dim));
    int found = 0;
    for (const Op& op : graph.templates().front().ops) {
        const std::string_view kind = kind_name(op);
        if (kind == "cache_latent") {
            CHECK(op.compute()->work.written_bytes.value(values) == 2 * 3 * row);
            ++found;
        } else if (kind == "mla_decode") {
            const double kv_b =
                2.0 * static_cast<double>(config.num_attention_heads *
                                          (config.qk_nope_head_dim + config.v_head_dim) *
                                          config.kv_lora_rank);
            const double q = 2.0 * 2 * 3 * static_cast<double>(config.query_dim());
            const double positions = 4.0 * 2 * 3;
            CHECK(op.compute()->work.read_bytes.value(values) ==
                  2 * 103 * row + kv_b + q + positions);
            ++found;
        }
    }
    CHECK(found == 2 * config.num_hidden_layers);
}

TEST_CASE("layers: a prompt's graph ends where its last cache is filled", "[model][layers]") {
    const ModelConfig config = test::model_config(test::variant("R1"));
    for (const bool mtp : {false, true}) {
        const ExecutionGraph graph =
            build_forward_graph(generation_setup(config, CacheUse::prefill, 1, 8, mtp));
        const ChunkTemplate& chunk = graph.templates().front();
        CHECK(kind_name(chunk.ops.back()) == "cache_latent");
        std::int64_t caches = 0;
        std::int64_t attentions = 0;
        for (const Op& op : chunk.ops) {
            caches += kind_name(op) == "cache_latent" ? 1 : 0;
            attentions += kind_name(op) == "mla_prefill" ? 1 : 0;
        }
        CHECK(caches == config.num_hidden_layers + (mtp ? 1 : 0));
        CHECK(attentions == caches - 1);
    }
}
