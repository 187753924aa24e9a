// Included before every source of the CPU device, in a program of its own: the device calls the
// scalar kernels of kernels/reference instead of those of kernels/cpu. Nothing else differs.
#pragma once

#include "kernels/adamw.hpp"
#include "kernels/add_rows.hpp"
#include "kernels/bias_update.hpp"
#include "kernels/concat.hpp"
#include "kernels/cpu/threads.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/cross_entropy_backward.hpp"
#include "kernels/dequantize_fp8.hpp"
#include "kernels/ema_update.hpp"
#include "kernels/embedding.hpp"
#include "kernels/embedding_backward.hpp"
#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_bf16_wgrad.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/gemm_fp8_wgrad.hpp"
#include "kernels/gradient_norm.hpp"
#include "kernels/grouped_gemm_bf16.hpp"
#include "kernels/grouped_gemm_bf16_wgrad.hpp"
#include "kernels/grouped_gemm_fp8.hpp"
#include "kernels/grouped_gemm_fp8_wgrad.hpp"
#include "kernels/grpo.hpp"
#include "kernels/grpo_output.hpp"
#include "kernels/matrix.hpp"
#include "kernels/mla_attention.hpp"
#include "kernels/mla_attention_backward.hpp"
#include "kernels/mla_cached.hpp"
#include "kernels/mla_decode.hpp"
#include "kernels/mla_prefill.hpp"
#include "kernels/permute.hpp"
#include "kernels/quantize_e5m6.hpp"
#include "kernels/quantize_fp8.hpp"
#include "kernels/quantize_weight_fp8.hpp"
#include "kernels/requantize_transpose_fp8.hpp"
#include "kernels/residual_add.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rms_norm_backward.hpp"
#include "kernels/rope.hpp"
#include "kernels/rope_backward.hpp"
#include "kernels/rope_table.hpp"
#include "kernels/router_topk.hpp"
#include "kernels/router_topk_backward.hpp"
#include "kernels/sample.hpp"
#include "kernels/sequence_balance.hpp"
#include "kernels/split.hpp"
#include "kernels/swiglu.hpp"
#include "kernels/swiglu_backward.hpp"
#include "kernels/unpermute.hpp"
#include "kernels/workspace.hpp"

namespace r1::scalar {
using namespace reference;
// Only sizes of memory that the scalar kernels leave alone.
using cpu::gemm_bf16_wgrad_workspace_bytes;
using cpu::gemm_bf16_workspace_bytes;
using cpu::gemm_fp8_wgrad_workspace_bytes;
using cpu::gemm_fp8_workspace_bytes;
using cpu::grouped_gemm_bf16_wgrad_workspace_bytes;
using cpu::grouped_gemm_bf16_workspace_bytes;
using cpu::grouped_gemm_fp8_wgrad_workspace_bytes;
using cpu::grouped_gemm_fp8_workspace_bytes;
using cpu::mla_attention_backward_workspace_bytes;
using cpu::mla_attention_workspace_bytes;
using cpu::rms_norm_backward_workspace_bytes;
using cpu::set_thread_count;
using cpu::set_turns;
using cpu::unpermute_workspace_bytes;
}  // namespace r1::scalar

#define cpu scalar
