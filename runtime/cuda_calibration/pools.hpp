// Device memory that all measurements share, filled once: allocating between them would cost time,
// and must not happen while SMs are held.
#pragma once

#include <cublasLt.h>
#include <cublas_v2.h>

#include <array>
#include <cstddef>

#include "runtime/calibration/job.hpp"
#include "runtime/cuda_calibration/resources.hpp"

namespace r1::cuda {

inline constexpr std::size_t kWorkspaceBytes = std::size_t{64} << 20;  // of one stream
inline constexpr std::size_t kSideStreams = 3;

struct Pools {
    Pools(const PoolBytes& bytes, const Stream& stream);

    DeviceMemory fp8_a;   // E4M3, random
    DeviceMemory fp8_b;   // E4M3, random
    DeviceMemory bf16_a;  // random
    DeviceMemory bf16_b;  // random
    DeviceMemory result;  // zeros
    DeviceMemory scales;  // FP32, all 1
    PinnedMemory pinned;
    std::array<DeviceMemory, 1 + kSideStreams> workspaces;
};

// A cuBLASLt and a cuBLAS handle; the latter works on `stream`.
class Libraries {
public:
    explicit Libraries(const Stream& stream);
    ~Libraries();
    Libraries(const Libraries&) = delete;
    Libraries& operator=(const Libraries&) = delete;

    [[nodiscard]] cublasLtHandle_t lt() const { return lt_; }
    [[nodiscard]] cublasHandle_t blas() const { return blas_; }

private:
    DeviceMemory workspace_;
    cublasLtHandle_t lt_ = nullptr;
    cublasHandle_t blas_ = nullptr;
};

}  // namespace r1::cuda
