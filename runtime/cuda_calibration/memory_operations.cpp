#include "runtime/cuda_calibration/memory_operations.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

#include "model/base/check.hpp"
#include "runtime/cuda_calibration/memory_kernels.hpp"

namespace r1::cuda {

namespace {

const MemoryKernel& kernel_of(const std::string& name) {
    const auto kernels = memory_kernels();
    const auto found = std::find_if(kernels.begin(), kernels.end(),
                                    [&](const auto& each) { return each.kernel == name; });
    R1_CHECK(found != kernels.end());
    return *found;
}

// Every row once, in an order that no prefetcher guesses.
std::shared_ptr<const DeviceMemory> row_order(std::int64_t rows) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(rows));
    std::iota(order.begin(), order.end(), 0);
    std::mt19937 random(1);  // the same order every time
    std::shuffle(order.begin(), order.end(), random);
    auto memory = std::make_shared<DeviceMemory>(order.size() * sizeof(std::int32_t));
    check(cudaMemcpy(memory->as(), order.data(), memory->bytes(), cudaMemcpyHostToDevice),
          "cudaMemcpy");
    return memory;
}

MemoryWork kernel_work(const CalibrationJob& job, const Pools& pools) {
    const MemoryKernel& kernel = kernel_of(job.kernel);
    MemoryOperands operands;
    operands.rows = whole_rows(job.bytes, kernel.row_bytes, kernel.rows_step);
    const bool reads_codes = job.kernel == "requantize_transpose_fp8";
    operands.a = reads_codes ? pools.fp8_a.as() : pools.bf16_a.as();
    operands.a_scales = pools.scales.as<float>();
    operands.b = pools.bf16_b.as();
    operands.y = pools.result.as();
    // Behind the codes.
    operands.y_scales = pools.result.as<float>() + operands.rows * kHidden / 4;
    std::shared_ptr<const DeviceMemory> order;
    if (job.kernel == "permute") {
        order = row_order(operands.rows);
        operands.order = order->as<std::int32_t>();
    }
    MemoryWork work;
    work.bytes = kernel.row_bytes * static_cast<double>(operands.rows);
    work.derivation = std::string(kernel.derivation) + "; divided by the median";
    work.operation = {"stand-in, " + std::to_string(operands.rows) + " rows", 1,
                      [operands, order, launch = kernel.launch](cudaStream_t stream) {
                          launch(operands, stream);
                      }};
    return work;
}

MemoryWork copy_work(const CalibrationJob& job, const Pools& pools) {
    const bool is_local = job.kernel == "copy_device_to_device";
    const bool is_down = job.kernel == "copy_host_to_device";
    const auto bytes = static_cast<std::size_t>(is_local ? job.bytes / 2 : job.bytes);
    const void* from = is_down ? pools.pinned.as() : pools.bf16_a.as();
    void* to = is_local || is_down ? pools.result.as() : pools.pinned.as();
    const cudaMemcpyKind kind = is_local  ? cudaMemcpyDeviceToDevice
                                : is_down ? cudaMemcpyHostToDevice
                                          : cudaMemcpyDeviceToHost;
    MemoryWork work;
    work.bytes = job.bytes;
    work.derivation = is_local ? "bytes = size read + size written; divided by the median"
                               : "bytes = size; divided by the median";
    work.operation = {is_local ? "cudaMemcpyAsync" : "cudaMemcpyAsync, pinned host memory", 1,
                      [=](cudaStream_t stream) {
                          check(cudaMemcpyAsync(to, from, bytes, kind, stream), "cudaMemcpyAsync");
                      }};
    return work;
}

}  // namespace

MemoryWork memory_work(const CalibrationJob& job, const Pools& pools) {
    R1_CHECK(!job.has_flops());
    return job.kind == JobKind::copy ? copy_work(job, pools) : kernel_work(job, pools);
}

}  // namespace r1::cuda
