// Gradients of causal attention over whole sequences, head by head. With p = exp(scale * q k^T -
// lse) and d_s = p * (d_o v^T - sum(d_o * o)) * scale, both computed again block by block:
//   dq = d_s k,  dk = d_s^T q,  dv = p^T d_o
// (FlashAttention-2, arXiv 2307.08691, sec. 3.1.2). Query i of a sequence sees keys 0 .. i.
//
// The CPU version does one head of one sequence a task, so no two threads add to one sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct MlaAttentionBackwardArgs {
    std::int64_t sequences = 1;
    std::int64_t tokens = 0;  // of each sequence; rows are sequences * tokens
    std::int64_t heads = 0;
    std::int64_t qk_dim = 0;
    std::int64_t nope_dim = 0;
    std::int64_t v_dim = 0;
    float scale = 1;
    ConstMatrix d_o;             // [rows, heads * v_dim]
    ConstMatrix q;               // [rows, heads * qk_dim]
    ConstMatrix k;               // [rows, heads * qk_dim]
    ConstMatrix kv;              // [rows, heads * (nope_dim + v_dim)], values last in each head
    ConstMatrix o;               // [rows, heads * v_dim], of mla_attention()
    const float* lse = nullptr;  // [rows, heads], of mla_attention()
    Matrix dq;                   // [rows, heads * qk_dim]
    Matrix dk;                   // [rows, heads * qk_dim]
    Matrix dv;                   // [rows, heads * v_dim]
    std::span<std::byte> workspace;
};

namespace reference {
void mla_attention_backward(const MlaAttentionBackwardArgs& args);  // in double; no workspace
}
namespace cpu {
std::size_t mla_attention_backward_workspace_bytes(const MlaAttentionBackwardArgs& args);
void mla_attention_backward(const MlaAttentionBackwardArgs& args);
}  // namespace cpu
namespace cuda {
std::size_t mla_attention_backward_workspace_bytes(const MlaAttentionBackwardArgs& args);
void mla_attention_backward(const MlaAttentionBackwardArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
