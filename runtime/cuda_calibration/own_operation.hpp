// Kernels of kernels/cuda as operations to be timed, as `run --device cuda` starts them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"
#include "kernels/workspace.hpp"
#include "runtime/cuda_calibration/pools.hpp"
#include "runtime/cuda_calibration/timer.hpp"

namespace r1::cuda {

// `sms`: how many are free.
Launch own_launch(const Libraries& libraries, const Pools& pools, int sms);

// Operands of one kernel: what it reads from the pool of random BF16, one after the other, what it
// writes likewise from the pool of results. What must have certain values, and workspaces, are
// memory of its own, which its operation keeps.
class Operands {
public:
    explicit Operands(const Pools& pools) : pools_(pools) {}

    [[nodiscard]] const Pools& pools() const { return pools_; }

    template <class T>
    [[nodiscard]] const T* read(std::int64_t count) {
        return static_cast<const T*>(take(pools_.bf16_a, read_, bytes_of<T>(count)));
    }
    template <class T>
    [[nodiscard]] T* written(std::int64_t count) {
        return static_cast<T*>(take(pools_.result, written_, bytes_of<T>(count)));
    }
    [[nodiscard]] ConstMatrix read_bf16(std::int64_t rows, std::int64_t width) {
        return {read<std::uint16_t>(rows * width), DType::bf16, width};
    }
    [[nodiscard]] Matrix written_bf16(std::int64_t rows, std::int64_t width) {
        return {written<std::uint16_t>(rows * width), DType::bf16, width};
    }
    template <class T>
    [[nodiscard]] const T* values(const std::vector<T>& host) {
        const DeviceMemory& memory = kept_->emplace_back(host.size() * sizeof(T));
        check(cudaMemcpy(memory.as(), host.data(), memory.bytes(), cudaMemcpyHostToDevice),
              "cudaMemcpy");
        return memory.as<T>();
    }
    [[nodiscard]] std::span<std::byte> workspace(std::size_t bytes) {
        return {kept_->emplace_back(bytes).as<std::byte>(), bytes};
    }

    // `name`: of the kernel. Takes what was kept along.
    template <class Args>
    [[nodiscard]] Operation operation(const std::string& name, const Args& args,
                                      const Launch& launch,
                                      void (*kernel)(const Args&, const Launch&)) const {
        return {"kernels/cuda/" + name, 1,
                [args, launch, kernel, kept = kept_](cudaStream_t stream) {
                    Launch on_stream = launch;
                    on_stream.stream = stream;
                    kernel(args, on_stream);
                }};
    }

private:
    template <class T>
    static std::size_t bytes_of(std::int64_t count) {
        return static_cast<std::size_t>(count) * sizeof(T);
    }
    static void* take(const DeviceMemory& pool, std::size_t& used, std::size_t bytes) {
        std::byte* begin = pool.as<std::byte>() + used;
        used += aligned_bytes(bytes);
        R1_CHECK(used <= pool.bytes());
        return begin;
    }

    const Pools& pools_;
    std::size_t read_ = 0;
    std::size_t written_ = 0;
    std::shared_ptr<std::vector<DeviceMemory>> kept_ =
        std::make_shared<std::vector<DeviceMemory>>();
};

}  // namespace r1::cuda
