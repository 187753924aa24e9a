#include "runtime/cuda_calibration/own_memory.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <vector>

#include "kernels/adamw.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/cross_entropy_backward.hpp"
#include "kernels/dequantize_fp8.hpp"
#include "kernels/permute.hpp"
#include "kernels/quantize_e5m6.hpp"
#include "kernels/quantize_fp8.hpp"
#include "kernels/requantize_transpose_fp8.hpp"
#include "kernels/residual_add.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rms_norm_backward.hpp"
#include "kernels/rope.hpp"
#include "kernels/rope_backward.hpp"
#include "kernels/router_topk.hpp"
#include "kernels/router_topk_backward.hpp"
#include "kernels/swiglu.hpp"
#include "kernels/swiglu_backward.hpp"
#include "kernels/unpermute.hpp"
#include "model/base/check.hpp"
#include "runtime/calibration/own_kernels.hpp"
#include "runtime/calibration/v3_sizes.hpp"
#include "runtime/cuda_calibration/own_operation.hpp"

namespace r1::cuda {

namespace {

using namespace v3;

constexpr std::int64_t kLocalExperts = 4;  // of 256, with 64-way expert parallelism
constexpr std::int64_t kSequence = 4096;

using Make = Operation (*)(Operands& o, std::int64_t rows, const Launch& launch);

// ---- norms, precision and sums: rows of the hidden state
// -----------------------------------------

Operation make_rms_norm(Operands& o, std::int64_t rows, const Launch& launch) {
    RmsNormArgs args;
    args.rows = rows;
    args.width = kHidden;
    args.x = o.read_bf16(rows, kHidden);
    args.weight = o.read_bf16(1, kHidden);
    args.y = o.written_bf16(rows, kHidden);
    return o.operation("rms_norm", args, launch, rms_norm);
}

Operation make_rms_norm_backward(Operands& o, std::int64_t rows, const Launch& launch) {
    RmsNormBackwardArgs args;
    args.rows = rows;
    args.width = kHidden;
    args.x = o.read_bf16(rows, kHidden);
    args.grad = o.read_bf16(rows, kHidden);
    args.weight = o.read_bf16(1, kHidden);
    args.residual = o.read_bf16(rows, kHidden);
    args.dx = o.written_bf16(rows, kHidden);
    args.weight_grad = o.written<float>(kHidden);
    args.workspace = o.workspace(rms_norm_backward_workspace_bytes(args));
    return o.operation("rms_norm_backward", args, launch, rms_norm_backward);
}

Operation make_quantize_fp8(Operands& o, std::int64_t rows, const Launch& launch) {
    QuantizeFp8Args args;
    args.rows = rows;
    args.width = kHidden;
    args.x = o.read_bf16(rows, kHidden);
    args.codes = o.written<std::uint8_t>(rows * kHidden);
    args.scales = o.written<float>(rows * tiles(kHidden));
    return o.operation("quantize_fp8", args, launch, quantize_fp8);
}

Operation make_dequantize_fp8(Operands& o, std::int64_t rows, const Launch& launch) {
    DequantizeFp8Args args;
    args.rows = rows;
    args.width = 2 * kExpertWidth;
    args.codes = o.pools().fp8_a.as<std::uint8_t>();
    args.scales = o.pools().scales.as<float>();
    args.y = o.written_bf16(rows, args.width);
    return o.operation("dequantize_fp8", args, launch, dequantize_fp8);
}

Operation make_requantize_transpose_fp8(Operands& o, std::int64_t rows, const Launch& launch) {
    RequantizeTransposeFp8Args args;
    args.rows = rows;
    args.width = kHidden;
    args.codes = o.pools().fp8_a.as<std::uint8_t>();
    args.scales = o.pools().scales.as<float>();
    args.transposed_codes = o.written<std::uint8_t>(rows * kHidden);
    args.transposed_scales = o.written<float>(kHidden * tiles(rows));
    return o.operation("requantize_transpose_fp8", args, launch, requantize_transpose_fp8);
}

Operation make_quantize_e5m6(Operands& o, std::int64_t rows, const Launch& launch) {
    QuantizeE5m6Args args;
    args.rows = rows;
    args.width = kHeads * kValueDim;
    args.x = o.read_bf16(rows, args.width);
    args.packed = o.written<std::uint8_t>(rows * args.width * 3 / 2);
    return o.operation("quantize_e5m6", args, launch, quantize_e5m6);
}

Operation make_dequantize_e5m6(Operands& o, std::int64_t rows, const Launch& launch) {
    DequantizeE5m6Args args;
    args.rows = rows;
    args.width = kHeads * kValueDim;
    args.packed = o.read<std::uint8_t>(rows * args.width * 3 / 2);
    args.y = o.written_bf16(rows, args.width);
    return o.operation("dequantize_e5m6", args, launch, dequantize_e5m6);
}

Operation make_residual_add(Operands& o, std::int64_t rows, const Launch& launch) {
    ResidualAddArgs args;
    args.rows = rows;
    args.width = kHidden;
    args.term_count = 2;
    args.terms[0] = o.read_bf16(rows, kHidden);
    args.terms[1] = o.read_bf16(rows, kHidden);
    args.y = o.written_bf16(rows, kHidden);
    return o.operation("residual_add", args, launch, residual_add);
}

// A row is 7168 elements. Zero moments and masters, which stay in place.
Operation make_adamw(Operands& o, std::int64_t rows, const Launch& launch) {
    const std::int64_t elements = rows * kHidden;
    AdamwArgs args;
    args.elements = elements;
    args.lr = 1e-4;
    args.grad = o.read<float>(elements);
    args.master = o.written<float>(elements);
    args.exp_avg = o.written_bf16(1, elements);
    args.exp_avg_sq = o.written_bf16(1, elements);
    args.updated = o.written_bf16(1, elements);
    return o.operation("adamw", args, launch, adamw);
}

// ---- experts ------------------------------------------------------------------------------------

Operation make_swiglu(Operands& o, std::int64_t rows, const Launch& launch) {
    SwigluArgs args;
    args.rows = rows;
    args.width = kExpertWidth;
    args.gate_up = o.read_bf16(rows, 2 * kExpertWidth);
    args.row_weights = o.read<float>(rows);
    args.codes = o.written<std::uint8_t>(rows * kExpertWidth);
    args.scales = o.written<float>(rows * tiles(kExpertWidth));
    return o.operation("swiglu", args, launch, swiglu);
}

Operation make_swiglu_backward(Operands& o, std::int64_t rows, const Launch& launch) {
    SwigluBackwardArgs args;
    args.rows = rows;
    args.width = kExpertWidth;
    args.gate_up = o.read_bf16(rows, 2 * kExpertWidth);
    args.d_act = o.read_bf16(rows, kExpertWidth);
    args.row_weights = o.read<float>(rows);
    args.d_gate_up = o.written_bf16(rows, 2 * kExpertWidth);
    args.act = o.written_bf16(rows, kExpertWidth);
    args.route_grad = o.written<float>(rows);
    return o.operation("swiglu_backward", args, launch, swiglu_backward);
}

// The local expert that each received token goes to, the same every time.
std::vector<std::int32_t> chosen_experts(std::int64_t tokens) {
    std::mt19937 random(1);
    std::vector<std::int32_t> experts(static_cast<std::size_t>(tokens));
    std::generate(experts.begin(), experts.end(),
                  [&] { return static_cast<std::int32_t>(random() % kLocalExperts); });
    return experts;
}

Operation make_permute(Operands& o, std::int64_t rows, const Launch& launch) {
    const std::vector<std::int32_t> experts = chosen_experts(rows);
    std::vector<float> route;
    for (const std::int32_t expert : experts) {
        std::vector<float> slots(2 * kExpertsPerToken, -1);
        slots[0] = static_cast<float>(expert);
        slots[kExpertsPerToken] = 1;  // its weight
        route.insert(route.end(), slots.begin(), slots.end());
    }
    constexpr std::int64_t kScaleBytes = 4 * tiles(kHidden);
    PermuteArgs args;
    args.received = rows;
    args.slots = kExpertsPerToken;
    args.experts = kLocalExperts;
    args.rows_max = rows;
    args.route = o.values(route);
    args.data = {kHidden, o.read<std::uint8_t>(rows * kHidden),
                 o.written<std::uint8_t>(rows * kHidden)};
    args.scales = {kScaleBytes, o.read<std::uint8_t>(rows * kScaleBytes),
                   o.written<std::uint8_t>(rows * kScaleBytes)};
    args.row_map = o.written<std::int32_t>(rows);
    args.row_weights = o.written<float>(rows);
    args.offsets = o.written<std::int32_t>(kLocalExperts + 1);
    return o.operation("permute", args, launch, permute);
}

Operation make_unpermute(Operands& o, std::int64_t rows, const Launch& launch) {
    const std::vector<std::int32_t> experts = chosen_experts(rows);
    std::vector<std::int32_t> map(experts.size());
    for (std::size_t token = 0; token < map.size(); ++token) {
        map[token] = static_cast<std::int32_t>(token);
    }
    std::stable_sort(map.begin(), map.end(), [&](std::int32_t a, std::int32_t b) {
        return experts[static_cast<std::size_t>(a)] < experts[static_cast<std::size_t>(b)];
    });
    UnpermuteArgs args;
    args.rows = rows;
    args.received = rows;
    args.width = kHidden;
    args.x = o.read_bf16(rows, kHidden);
    args.row_map = o.values(map);
    args.y = o.written_bf16(rows, kHidden);
    args.workspace = o.workspace(unpermute_workspace_bytes(args));
    return o.operation("unpermute", args, launch, unpermute);
}

Operation make_router_topk(Operands& o, std::int64_t tokens, const Launch& launch) {
    RouterTopkArgs args;
    args.tokens = tokens;
    args.experts = kExperts;
    args.experts_per_token = kExpertsPerToken;
    args.groups = kExpertGroups;
    args.groups_per_token = kGroupsPerToken;
    args.scaling_factor = kScalingFactor;
    args.logits = o.read<float>(tokens * kExperts);
    args.bias = o.values(std::vector<float>(kExperts, 0.0F));
    args.indices = o.written<std::int32_t>(tokens * kExpertsPerToken);
    args.weights = o.written<float>(tokens * kExpertsPerToken);
    return o.operation("router_topk", args, launch, router_topk);
}

Operation make_router_topk_backward(Operands& o, std::int64_t tokens, const Launch& launch) {
    std::mt19937 random(1);
    std::vector<std::int32_t> indices;
    for (std::int64_t token = 0; token < tokens; ++token) {  // a token's experts are distinct
        const auto first = static_cast<std::int32_t>(random() % kExperts);
        for (std::int32_t slot = 0; slot < kExpertsPerToken; ++slot) {
            indices.push_back((first + 31 * slot) % static_cast<std::int32_t>(kExperts));
        }
    }
    RouterTopkBackwardArgs args;
    args.tokens = tokens;
    args.experts = kExperts;
    args.experts_per_token = kExpertsPerToken;
    args.scaling_factor = kScalingFactor;
    args.logits = o.read<float>(tokens * kExperts);
    args.indices = o.values(indices);
    args.weights = o.read<float>(tokens * kExpertsPerToken);
    args.d_weights = o.read<float>(tokens * kExpertsPerToken);
    args.d_logits = o.written<float>(tokens * kExperts);
    return o.operation("router_topk_backward", args, launch, router_topk_backward);
}

// ---- positions and the loss ---------------------------------------------------------------------

const std::int32_t* positions(Operands& o, std::int64_t tokens) {
    std::vector<std::int32_t> values;
    for (std::int64_t token = 0; token < tokens; ++token) {
        values.push_back(static_cast<std::int32_t>(token % kSequence));
    }
    return o.values(values);
}

// Without YaRN: the angles do not change what is done.
const float* frequencies(Operands& o) {
    std::vector<float> values;
    for (std::int64_t pair = 0; pair < kRopeDim / 2; ++pair) {
        const double exponent = -2.0 * static_cast<double>(pair) / kRopeDim;
        values.push_back(static_cast<float>(std::pow(kRopeTheta, exponent)));
    }
    return o.values(values);
}

Operation make_rope(Operands& o, std::int64_t tokens, const Launch& launch) {
    RopeArgs args;
    args.tokens = tokens;
    args.heads = kHeads;
    args.nope_dim = kNopeDim;
    args.rope_dim = kRopeDim;
    args.v_dim = kValueDim;
    args.kv_lora_rank = kLatent;
    args.positions = positions(o, tokens);
    args.frequencies = frequencies(o);
    args.q = o.read_bf16(tokens, kHeads * kQkDim);
    args.kv_a = o.read_bf16(tokens, kLatent + kRopeDim);
    args.kv = o.read_bf16(tokens, kHeads * (kNopeDim + kValueDim));
    args.q_rope = o.written_bf16(tokens, kHeads * kQkDim);
    args.k = o.written_bf16(tokens, kHeads * kQkDim);
    return o.operation("rope", args, launch, rope);
}

Operation make_rope_backward(Operands& o, std::int64_t tokens, const Launch& launch) {
    RopeBackwardArgs args;
    args.tokens = tokens;
    args.heads = kHeads;
    args.nope_dim = kNopeDim;
    args.rope_dim = kRopeDim;
    args.v_dim = kValueDim;
    args.positions = positions(o, tokens);
    args.frequencies = frequencies(o);
    args.q_rope_grad = o.read_bf16(tokens, kHeads * kQkDim);
    args.k_grad = o.read_bf16(tokens, kHeads * kQkDim);
    args.v_grad = o.read_bf16(tokens, kHeads * kValueDim);
    args.q_grad = o.written_bf16(tokens, kHeads * kQkDim);
    args.kv_grad = o.written_bf16(tokens, kHeads * (kNopeDim + kValueDim));
    args.k_rope_grad = o.written_bf16(tokens, kRopeDim);
    return o.operation("rope_backward", args, launch, rope_backward);
}

const std::int32_t* labels(Operands& o, std::int64_t tokens) {
    std::mt19937 random(1);
    std::vector<std::int32_t> values(static_cast<std::size_t>(tokens));
    std::generate(values.begin(), values.end(),
                  [&] { return static_cast<std::int32_t>(random() % kVocabulary); });
    return o.values(values);
}

Operation make_cross_entropy(Operands& o, std::int64_t tokens, const Launch& launch) {
    CrossEntropyArgs args;
    args.tokens = tokens;
    args.vocabulary = kVocabulary;
    args.logits = o.read_bf16(tokens, kVocabulary);
    args.labels = labels(o, tokens);
    args.nll = o.written<float>(tokens);
    args.log_sum_exp = o.written<float>(tokens);
    return o.operation("cross_entropy", args, launch, cross_entropy);
}

Operation make_cross_entropy_backward(Operands& o, std::int64_t tokens, const Launch& launch) {
    CrossEntropyBackwardArgs args;
    args.tokens = tokens;
    args.vocabulary = kVocabulary;
    args.logits = o.read_bf16(tokens, kVocabulary);
    args.log_sum_exp = o.read<float>(tokens);
    args.labels = labels(o, tokens);
    args.grad = o.written_bf16(tokens, kVocabulary);
    return o.operation("cross_entropy_backward", args, launch, cross_entropy_backward);
}

const std::map<std::string, Make>& makers() {
    static const std::map<std::string, Make> table = {
        {"adamw", make_adamw},
        {"cross_entropy", make_cross_entropy},
        {"cross_entropy_backward", make_cross_entropy_backward},
        {"dequantize_e5m6", make_dequantize_e5m6},
        {"dequantize_fp8", make_dequantize_fp8},
        {"permute", make_permute},
        {"quantize_e5m6", make_quantize_e5m6},
        {"quantize_fp8", make_quantize_fp8},
        {"requantize_transpose_fp8", make_requantize_transpose_fp8},
        {"residual_add", make_residual_add},
        {"rms_norm", make_rms_norm},
        {"rms_norm_backward", make_rms_norm_backward},
        {"rope", make_rope},
        {"rope_backward", make_rope_backward},
        {"router_topk", make_router_topk},
        {"router_topk_backward", make_router_topk_backward},
        {"swiglu", make_swiglu},
        {"swiglu_backward", make_swiglu_backward},
        {"unpermute", make_unpermute},
    };
    return table;
}

}  // namespace

bool is_own_memory_kernel(const std::string& kernel) { return makers().count(kernel) > 0; }

MemoryWork own_memory_work(const CalibrationJob& job, const Pools& pools, const Launch& launch) {
    const auto kernels = own_memory_kernels();
    const auto found = std::find_if(kernels.begin(), kernels.end(),
                                    [&](const auto& each) { return each.kernel == job.kernel; });
    R1_CHECK(found != kernels.end());
    const std::int64_t rows = whole_rows(job.bytes, found->row_bytes, found->rows_step);
    Operands operands(pools);
    MemoryWork work;
    work.operation = makers().at(job.kernel)(operands, rows, launch);
    work.operation.ran += ", " + std::to_string(rows) + " rows";
    work.bytes = found->row_bytes * static_cast<double>(rows);
    work.derivation = std::string(found->derivation) + "; divided by the median";
    return work;
}

}  // namespace r1::cuda
