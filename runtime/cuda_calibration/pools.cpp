#include "runtime/cuda_calibration/pools.hpp"

#include "runtime/cuda_calibration/fill.hpp"

namespace r1::cuda {

namespace {

std::size_t size(double bytes) { return static_cast<std::size_t>(bytes); }

}  // namespace

Pools::Pools(const PoolBytes& bytes, const Stream& stream)
    : fp8_a(size(bytes.fp8_a)),
      fp8_b(size(bytes.fp8_b)),
      bf16_a(size(bytes.bf16_a)),
      bf16_b(size(bytes.bf16_b)),
      result(size(bytes.result)),
      scales(size(bytes.scales)),
      pinned(size(bytes.pinned)) {
    for (DeviceMemory& workspace : workspaces) {
        workspace = DeviceMemory(kWorkspaceBytes);
    }
    fill_e4m3(fp8_a.as(), fp8_a.bytes(), 1, stream.get());
    fill_e4m3(fp8_b.as(), fp8_b.bytes(), 2, stream.get());
    fill_bf16(bf16_a.as(), bf16_a.bytes(), 3, stream.get());
    fill_bf16(bf16_b.as(), bf16_b.bytes(), 4, stream.get());
    fill_f32(result.as(), result.bytes(), 0, stream.get());
    fill_f32(scales.as(), scales.bytes(), 1, stream.get());
    stream.wait();
}

Libraries::Libraries(const Stream& stream) : workspace_(kWorkspaceBytes) {
    check(cublasLtCreate(&lt_), "cublasLtCreate");
    check(cublasCreate(&blas_), "cublasCreate");
    check(cublasSetStream(blas_, stream.get()), "cublasSetStream");
    // After the stream, which resets it. Without it the library would allocate.
    check(cublasSetWorkspace(blas_, workspace_.as(), workspace_.bytes()), "cublasSetWorkspace");
}

Libraries::~Libraries() {
    cublasDestroy(blas_);
    cublasLtDestroy(lt_);
}

}  // namespace r1::cuda
