#include "runtime/cuda_calibration/own_attention.hpp"

#include <cmath>

#include "kernels/mla_attention.hpp"
#include "kernels/mla_attention_backward.hpp"
#include "kernels/mla_decode.hpp"
#include "runtime/calibration/v3_sizes.hpp"
#include "runtime/cuda_calibration/own_operation.hpp"

namespace r1::cuda {

namespace {

using namespace v3;

constexpr std::int64_t kQueryWidth = kHeads * kQkDim;
constexpr std::int64_t kKeyValueWidth = kHeads * (kNopeDim + kValueDim);
constexpr std::int64_t kValueWidth = kHeads * kValueDim;

float softmax_scale() { return static_cast<float>(1 / std::sqrt(static_cast<double>(kQkDim))); }

// What both directions read: heads, and the queries, keys and values of the rows.
template <class Args>
void set_heads(Args& args, Operands& o, std::int64_t rows) {
    args.heads = kHeads;
    args.qk_dim = kQkDim;
    args.nope_dim = kNopeDim;
    args.v_dim = kValueDim;
    args.scale = softmax_scale();
    args.q = o.read_bf16(rows, kQueryWidth);
    args.k = o.read_bf16(rows, kQueryWidth);
    args.kv = o.read_bf16(rows, kKeyValueWidth);
}

Operation forward(Operands& o, const CalibrationJob& job, const Launch& launch) {
    const std::int64_t rows = job.batch * job.tokens;
    MlaAttentionArgs args;
    args.sequences = job.batch;
    args.queries = args.keys = job.tokens;
    set_heads(args, o, rows);
    args.o = o.written_bf16(rows, kValueWidth);
    args.lse = o.written<float>(rows * kHeads);
    args.workspace = o.workspace(mla_attention_workspace_bytes(args));
    return o.operation("mla_attention", args, launch, mla_attention);
}

Operation backward(Operands& o, const CalibrationJob& job, const Launch& launch) {
    const std::int64_t rows = job.batch * job.tokens;
    MlaAttentionBackwardArgs args;
    args.sequences = job.batch;
    args.tokens = job.tokens;
    args.d_o = o.read_bf16(rows, kValueWidth);
    set_heads(args, o, rows);
    args.o = o.read_bf16(rows, kValueWidth);
    args.lse = o.read<float>(rows * kHeads);
    args.dq = o.written_bf16(rows, kQueryWidth);
    args.dk = o.written_bf16(rows, kQueryWidth);
    args.dv = o.written_bf16(rows, kValueWidth);
    args.workspace = o.workspace(mla_attention_backward_workspace_bytes(args));
    return o.operation("mla_attention_backward", args, launch, mla_attention_backward);
}

// One new token of each sequence over a full cache.
Operation decode(Operands& o, const CalibrationJob& job, const Launch& launch) {
    MlaCachedArgs args;
    args.sequences = job.batch;
    args.queries = 1;
    args.cache_rows = args.context_max = job.tokens;
    args.heads = kHeads;
    args.nope_dim = kNopeDim;
    args.rope_dim = kRopeDim;
    args.v_dim = kValueDim;
    args.kv_lora_rank = kLatent;
    args.scale = softmax_scale();
    args.positions = o.values(std::vector<std::int32_t>(static_cast<std::size_t>(job.batch),
                                                        static_cast<std::int32_t>(job.tokens) - 1));
    args.q = o.read_bf16(job.batch, kQueryWidth);
    args.latent = o.read_bf16(job.batch * job.tokens, kLatent + kRopeDim);
    args.kv_b = o.read_bf16(kKeyValueWidth, kLatent);
    args.o = o.written_bf16(job.batch, kValueWidth);
    args.workspace = o.workspace(mla_decode_workspace_bytes(args));
    return o.operation("mla_decode", args, launch, mla_decode);
}

}  // namespace

Operation own_attention_operation(const CalibrationJob& job, const Pools& pools,
                                  const Launch& launch) {
    Operands operands(pools);
    if (job.kernel == "mla_decode") {
        return decode(operands, job, launch);
    }
    return job.kernel == "mla_attention" ? forward(operands, job, launch)
                                         : backward(operands, job, launch);
}

}  // namespace r1::cuda
