#include "runtime/cuda_calibration/own_gemm.hpp"

#include <vector>

#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_bf16_wgrad.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/gemm_fp8_wgrad.hpp"
#include "kernels/grouped_gemm_bf16.hpp"
#include "kernels/grouped_gemm_bf16_wgrad.hpp"
#include "kernels/grouped_gemm_fp8.hpp"
#include "kernels/grouped_gemm_fp8_wgrad.hpp"
#include "runtime/cuda_calibration/own_operation.hpp"

namespace r1::cuda {

namespace {

// Equal groups, on the device as kernels want them.
const std::int32_t* offsets_of(Operands& o, int groups, std::int64_t rows) {
    std::vector<std::int32_t> offsets;
    for (int group = 0; group <= groups; ++group) {
        offsets.push_back(static_cast<std::int32_t>(group * rows));
    }
    return o.values(offsets);
}

template <class Args>
Alternatives operation(Operands& o, const char* name, Args args, std::size_t workspace_bytes,
                       const Launch& launch, void (*kernel)(const Args&, const Launch&)) {
    args.workspace = o.workspace(workspace_bytes);
    return {{o.operation(name, args, launch, kernel)}};
}

Alternatives dense(Operands& o, const GemmShape& s, const Launch& launch) {
    const Pools& pools = o.pools();
    const float* scales = pools.scales.as<float>();
    if (s.is_fp8 && s.is_wgrad) {
        GemmFp8WgradArgs a{s.m,    s.n,
                           s.k,    pools.fp8_a.as<std::uint8_t>(),
                           scales, pools.fp8_b.as<std::uint8_t>(),
                           scales, pools.result.as<float>(),
                           {}};
        return operation(o, "gemm_fp8_wgrad", a, gemm_fp8_wgrad_workspace_bytes(a), launch,
                         gemm_fp8_wgrad);
    }
    if (s.is_fp8) {
        GemmFp8Args a{s.m,    s.n,
                      s.k,    pools.fp8_a.as<std::uint8_t>(),
                      scales, pools.fp8_b.as<std::uint8_t>(),
                      scales, {pools.result.as(), DType::bf16, s.n},
                      {}};
        return operation(o, "gemm_fp8", a, gemm_fp8_workspace_bytes(a), launch, gemm_fp8);
    }
    if (s.is_wgrad) {
        GemmBf16WgradArgs a;
        a.m = s.m;
        a.n = s.n;
        a.k = s.k;
        a.grad = {pools.bf16_a.as(), DType::bf16, s.m};
        a.x = {pools.bf16_b.as(), DType::bf16, s.n};
        a.y = pools.result.as<float>();
        return operation(o, "gemm_bf16_wgrad", a, gemm_bf16_wgrad_workspace_bytes(a), launch,
                         gemm_bf16_wgrad);
    }
    GemmBf16Args a;
    a.m = s.m;
    a.n = s.n;
    a.k = s.k;
    a.x = {pools.bf16_a.as(), DType::bf16, s.k};
    a.w = {pools.bf16_b.as(), DType::bf16, s.k};
    a.y = {pools.result.as(), DType::bf16, s.n};
    return operation(o, "gemm_bf16", a, gemm_bf16_workspace_bytes(a), launch, gemm_bf16);
}

// Rows of a forward product, columns that a weight gradient sums over.
template <class Args>
void set_groups(Args& args, int groups, const std::int32_t* offsets) {
    args.experts = groups;
    args.offsets = offsets;
}

Alternatives grouped(Operands& o, const GemmShape& s, int groups, const Launch& launch) {
    const Pools& pools = o.pools();
    const std::int32_t* offsets = offsets_of(o, groups, s.is_wgrad ? s.k : s.m);
    const float* scales = pools.scales.as<float>();
    if (s.is_fp8 && s.is_wgrad) {
        GroupedGemmFp8WgradArgs a;
        set_groups(a, groups, offsets);
        a.rows_max = s.k;
        a.m = s.m;
        a.n = s.n;
        a.grad = pools.fp8_a.as<std::uint8_t>();
        a.x = pools.fp8_b.as<std::uint8_t>();
        a.grad_scales = a.x_scales = scales;
        a.y = pools.result.as<float>();
        return operation(o, "grouped_gemm_fp8_wgrad", a, grouped_gemm_fp8_wgrad_workspace_bytes(a),
                         launch, grouped_gemm_fp8_wgrad);
    }
    if (s.is_fp8) {
        GroupedGemmFp8Args a;
        set_groups(a, groups, offsets);
        a.rows_max = s.m;
        a.n = s.n;
        a.k = s.k;
        a.x = pools.fp8_a.as<std::uint8_t>();
        a.w = pools.fp8_b.as<std::uint8_t>();
        a.x_scales = a.w_scales = scales;
        a.y = {pools.result.as(), DType::bf16, s.n};
        return operation(o, "grouped_gemm_fp8", a, grouped_gemm_fp8_workspace_bytes(a), launch,
                         grouped_gemm_fp8);
    }
    if (s.is_wgrad) {
        GroupedGemmBf16WgradArgs a;
        set_groups(a, groups, offsets);
        a.m = s.m;
        a.n = s.n;
        a.grad = {pools.bf16_a.as(), DType::bf16, s.m};
        a.x = {pools.bf16_b.as(), DType::bf16, s.n};
        a.y = pools.result.as<float>();
        return operation(o, "grouped_gemm_bf16_wgrad", a,
                         grouped_gemm_bf16_wgrad_workspace_bytes(a), launch,
                         grouped_gemm_bf16_wgrad);
    }
    GroupedGemmBf16Args a;
    set_groups(a, groups, offsets);
    a.n = s.n;
    a.k = s.k;
    a.x = {pools.bf16_a.as(), DType::bf16, s.k};
    a.w = {pools.bf16_b.as(), DType::bf16, s.k};
    a.y = {pools.result.as(), DType::bf16, s.n};
    return operation(o, "grouped_gemm_bf16", a, grouped_gemm_bf16_workspace_bytes(a), launch,
                     grouped_gemm_bf16);
}

}  // namespace

Alternatives own_gemm_operations(const Libraries& libraries, const Pools& pools,
                                 const GemmShape& shape, int groups, bool is_grouped, int sms) {
    const Launch launch = own_launch(libraries, pools, sms);
    Operands operands(pools);
    return is_grouped ? grouped(operands, shape, groups, launch) : dense(operands, shape, launch);
}

}  // namespace r1::cuda
