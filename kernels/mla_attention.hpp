// Causal attention over assembled queries, keys and values (the naive form of MLA):
// o = softmax(scale * q k^T) v, head by head. Query i of a sequence is token query_offset + i of
// it and sees keys 0 .. query_offset + i. Keys go by in chunks with a running softmax, so no
// tokens x tokens matrix exists.
//
// In the CPU version chunks begin at fixed keys, so a query's result is the same bytes whatever
// queries are computed beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct MlaAttentionArgs {
    std::int64_t sequences = 1;
    std::int64_t queries = 0;  // of each sequence
    std::int64_t keys = 0;     // of each sequence; at least query_offset + queries
    std::int64_t query_offset = 0;
    std::int64_t heads = 0;
    std::int64_t qk_dim = 0;
    std::int64_t nope_dim = 0;
    std::int64_t v_dim = 0;
    float scale = 1;
    ConstMatrix q;   // [sequences * queries, heads * qk_dim]
    ConstMatrix k;   // [sequences * keys, heads * qk_dim]
    ConstMatrix kv;  // [sequences * keys, heads * (nope_dim + v_dim)], values last in each head
    Matrix o;        // [sequences * queries, heads * v_dim]
    float* lse = nullptr;  // [sequences * queries, heads] log of the softmax's sum, or nullptr
    std::span<std::byte> workspace;
};

namespace reference {
// Two passes over the scores, sums in double.
void mla_attention(const MlaAttentionArgs& args);
}  // namespace reference
namespace cpu {
std::size_t mla_attention_workspace_bytes(const MlaAttentionArgs& args);
void mla_attention(const MlaAttentionArgs& args);
}  // namespace cpu
namespace cuda {
std::size_t mla_attention_workspace_bytes(const MlaAttentionArgs& args);
void mla_attention(const MlaAttentionArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
