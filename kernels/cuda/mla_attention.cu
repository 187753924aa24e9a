#include "kernels/mla_attention.hpp"

#include "kernels/cuda/attention.hpp"

namespace r1::cuda {

std::size_t mla_attention_workspace_bytes(const MlaAttentionArgs& /*args*/) { return 0; }

void mla_attention(const MlaAttentionArgs& args, const Launch& launch) {
    R1_CHECK(args.query_offset >= 0 && args.query_offset + args.queries <= args.keys);
    Attention a;
    a.sequences = args.sequences;
    a.queries = args.queries;
    a.heads = args.heads;
    a.qk_dim = args.qk_dim;
    a.v_dim = args.v_dim;
    a.scale = args.scale;
    a.keys_max = args.query_offset + args.queries;  // no query sees more
    a.key_rows = args.keys;
    a.q = {args.q, 0, args.qk_dim};
    a.k = {args.k, 0, args.qk_dim};
    a.k_dim = args.qk_dim;
    a.v = {args.kv, args.nope_dim, args.nope_dim + args.v_dim};
    a.o = args.o;
    a.lse = args.lse;
    attention(a, launch);
}

}  // namespace r1::cuda
