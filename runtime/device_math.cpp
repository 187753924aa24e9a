#include "runtime/device_math.hpp"

#include "model/base/diagnostics.hpp"

namespace r1 {

namespace {

template <class Args>
void run_kernel(const Device& device, const char* name, KernelSet::Kernel<Args> kernel,
                const Args& args) {
    if (kernel == nullptr) {
        throw FeatureError("the device '" + device.name() + "' has no kernel for '" + name + "'");
    }
    kernel(args, device.launch(0));
}

// Of the only row of a matrix. Any would do: with this one its groups of eight are aligned, which
// the GPU's kernels read at once.
std::int64_t only_stride(std::int64_t width) {
    constexpr std::int64_t kGroup = 8;
    return (width + kGroup - 1) / kGroup * kGroup;
}

}  // namespace

void convert(const Device& device, std::int64_t rows, std::int64_t width, const ConstMatrix& x,
             const Matrix& y) {
    ResidualAddArgs args;
    args.rows = rows;
    args.width = width;
    args.term_count = 1;
    args.terms[0] = x;
    args.y = y;
    if (rows == 1) {
        args.terms[0].stride = args.y.stride = only_stride(width);
    }
    run_kernel(device, "residual_add", device.kernels().residual_add, args);
}

void add(const Device& device, float* sum, const float* terms, std::size_t count) {
    ResidualAddArgs args;
    args.rows = 1;
    args.width = static_cast<std::int64_t>(count);
    args.term_count = 2;
    const std::int64_t stride = only_stride(args.width);
    args.terms[0] = {sum, DType::f32, stride};
    args.terms[1] = {terms, DType::f32, stride};
    args.y = {sum, DType::f32, stride};
    run_kernel(device, "residual_add", device.kernels().residual_add, args);
}

void gather_rows(const Device& device, std::size_t row_bytes, const std::byte* from,
                 std::span<const std::int32_t> rows, std::byte* to) {
    const DeviceView map(device.memory(), rows);
    PermuteAgainArgs args;
    args.rows = static_cast<std::int64_t>(rows.size());
    args.row_map = map.data();
    args.data = {static_cast<std::int64_t>(row_bytes), from, to};
    run_kernel(device, "permute_again", device.kernels().permute_again, args);
}

void add_rows(const Device& device, std::int64_t width, const ConstMatrix& x,
              std::span<const std::int32_t> rows, float* sums) {
    const DeviceView targets(device.memory(), rows);
    AddRowsArgs args;
    args.rows = static_cast<std::int64_t>(rows.size());
    args.width = width;
    args.x = x;
    args.targets = targets.data();
    args.sums = sums;
    run_kernel(device, "add_rows", device.kernels().add_rows, args);
}

void quantize_weight(const Device& device, const QuantizeWeightFp8Args& args) {
    run_kernel(device, "quantize_weight_fp8", device.kernels().quantize_weight_fp8, args);
}

}  // namespace r1
