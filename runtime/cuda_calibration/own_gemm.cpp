#include "runtime/cuda_calibration/own_gemm.hpp"

#include <memory>
#include <vector>

#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_bf16_wgrad.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/gemm_fp8_wgrad.hpp"
#include "kernels/grouped_gemm_bf16.hpp"
#include "kernels/grouped_gemm_bf16_wgrad.hpp"
#include "kernels/grouped_gemm_fp8.hpp"
#include "kernels/grouped_gemm_fp8_wgrad.hpp"

namespace r1::cuda {

namespace {

// What outlives the call that makes an operation: a workspace, and where groups begin.
struct Kept {
    DeviceMemory workspace;
    DeviceMemory offsets;
};

// Equal groups, on the device as kernels want them.
DeviceMemory offsets_of(int groups, std::int64_t rows) {
    std::vector<std::int32_t> offsets;
    for (int group = 0; group <= groups; ++group) {
        offsets.push_back(static_cast<std::int32_t>(group * rows));
    }
    DeviceMemory memory(offsets.size() * sizeof(std::int32_t));
    check(cudaMemcpy(memory.as(), offsets.data(), memory.bytes(), cudaMemcpyHostToDevice),
          "cudaMemcpy");
    return memory;
}

template <class Args>
Alternatives operation(const char* name, Args args, std::size_t workspace_bytes,
                       DeviceMemory offsets, const Launch& launch,
                       void (*kernel)(const Args&, const Launch&)) {
    auto kept = std::make_shared<Kept>(Kept{DeviceMemory(workspace_bytes), std::move(offsets)});
    args.workspace = {kept->workspace.as<std::byte>(), workspace_bytes};
    return {{{"kernels/cuda/" + std::string(name), 1,
              [args, kept, launch, kernel](cudaStream_t stream) {
                  Launch on_stream = launch;
                  on_stream.stream = stream;
                  kernel(args, on_stream);
              }}}};
}

Alternatives dense(const Pools& pools, const GemmShape& s, const Launch& launch) {
    const float* scales = pools.scales.as<float>();
    if (s.is_fp8 && s.is_wgrad) {
        GemmFp8WgradArgs a{s.m,    s.n,
                           s.k,    pools.fp8_a.as<std::uint8_t>(),
                           scales, pools.fp8_b.as<std::uint8_t>(),
                           scales, pools.result.as<float>(),
                           {}};
        return operation("gemm_fp8_wgrad", a, gemm_fp8_wgrad_workspace_bytes(a), {}, launch,
                         gemm_fp8_wgrad);
    }
    if (s.is_fp8) {
        GemmFp8Args a{s.m,    s.n,
                      s.k,    pools.fp8_a.as<std::uint8_t>(),
                      scales, pools.fp8_b.as<std::uint8_t>(),
                      scales, {pools.result.as(), DType::bf16, s.n},
                      {}};
        return operation("gemm_fp8", a, gemm_fp8_workspace_bytes(a), {}, launch, gemm_fp8);
    }
    if (s.is_wgrad) {
        GemmBf16WgradArgs a;
        a.m = s.m;
        a.n = s.n;
        a.k = s.k;
        a.grad = {pools.bf16_a.as(), DType::bf16, s.m};
        a.x = {pools.bf16_b.as(), DType::bf16, s.n};
        a.y = pools.result.as<float>();
        return operation("gemm_bf16_wgrad", a, gemm_bf16_wgrad_workspace_bytes(a), {}, launch,
                         gemm_bf16_wgrad);
    }
    GemmBf16Args a;
    a.m = s.m;
    a.n = s.n;
    a.k = s.k;
    a.x = {pools.bf16_a.as(), DType::bf16, s.k};
    a.w = {pools.bf16_b.as(), DType::bf16, s.k};
    a.y = {pools.result.as(), DType::bf16, s.n};
    return operation("gemm_bf16", a, gemm_bf16_workspace_bytes(a), {}, launch, gemm_bf16);
}

// Rows of a forward product, columns that a weight gradient sums over.
template <class Args>
void set_groups(Args& args, int groups, const DeviceMemory& offsets) {
    args.experts = groups;
    args.offsets = offsets.as<std::int32_t>();
}

Alternatives grouped(const Pools& pools, const GemmShape& s, int groups, const Launch& launch) {
    DeviceMemory offsets = offsets_of(groups, s.is_wgrad ? s.k : s.m);
    const float* scales = pools.scales.as<float>();
    if (s.is_fp8 && s.is_wgrad) {
        GroupedGemmFp8WgradArgs a;
        set_groups(a, groups, offsets);
        a.m = s.m;
        a.n = s.n;
        a.grad = pools.fp8_a.as<std::uint8_t>();
        a.x = pools.fp8_b.as<std::uint8_t>();
        a.grad_scales = a.x_scales = scales;
        a.y = pools.result.as<float>();
        return operation("grouped_gemm_fp8_wgrad", a, grouped_gemm_fp8_wgrad_workspace_bytes(a),
                         std::move(offsets), launch, grouped_gemm_fp8_wgrad);
    }
    if (s.is_fp8) {
        GroupedGemmFp8Args a;
        set_groups(a, groups, offsets);
        a.n = s.n;
        a.k = s.k;
        a.x = pools.fp8_a.as<std::uint8_t>();
        a.w = pools.fp8_b.as<std::uint8_t>();
        a.x_scales = a.w_scales = scales;
        a.y = {pools.result.as(), DType::bf16, s.n};
        return operation("grouped_gemm_fp8", a, grouped_gemm_fp8_workspace_bytes(a),
                         std::move(offsets), launch, grouped_gemm_fp8);
    }
    if (s.is_wgrad) {
        GroupedGemmBf16WgradArgs a;
        set_groups(a, groups, offsets);
        a.m = s.m;
        a.n = s.n;
        a.grad = {pools.bf16_a.as(), DType::bf16, s.m};
        a.x = {pools.bf16_b.as(), DType::bf16, s.n};
        a.y = pools.result.as<float>();
        return operation("grouped_gemm_bf16_wgrad", a, grouped_gemm_bf16_wgrad_workspace_bytes(a),
                         std::move(offsets), launch, grouped_gemm_bf16_wgrad);
    }
    GroupedGemmBf16Args a;
    set_groups(a, groups, offsets);
    a.n = s.n;
    a.k = s.k;
    a.x = {pools.bf16_a.as(), DType::bf16, s.k};
    a.w = {pools.bf16_b.as(), DType::bf16, s.k};
    a.y = {pools.result.as(), DType::bf16, s.n};
    return operation("grouped_gemm_bf16", a, grouped_gemm_bf16_workspace_bytes(a),
                     std::move(offsets), launch, grouped_gemm_bf16);
}

}  // namespace

Alternatives own_gemm_operations(const Libraries& libraries, const Pools& pools,
                                 const GemmShape& shape, int groups, bool is_grouped, int sms) {
    Launch launch;
    launch.sms = sms;
    launch.blas = libraries.lt();
    launch.blas_workspace = pools.workspaces.front().as();
    launch.blas_workspace_bytes = kWorkspaceBytes;
    return is_grouped ? grouped(pools, shape, groups, launch) : dense(pools, shape, launch);
}

}  // namespace r1::cuda
