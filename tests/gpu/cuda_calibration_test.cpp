// What the GPU calibration runs is right: small kernels against the scalar kernels, products
// against sums on the host, held SMs against where blocks run, and a short run against its own
// budget. Exits 77 where there is no GPU that it can run on.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "kernels/quantize_fp8.hpp"
#include "kernels/residual_add.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/swiglu.hpp"
#include "model/base/diagnostics.hpp"
#include "runtime/calibration/gpu_document.hpp"
#include "runtime/calibration/own_kernels.hpp"
#include "runtime/cuda_calibration/calibrate.hpp"
#include "runtime/cuda_calibration/device.hpp"
#include "runtime/cuda_calibration/fill.hpp"
#include "runtime/cuda_calibration/grouped_gemm.hpp"
#include "runtime/cuda_calibration/memory_kernels.hpp"
#include "runtime/cuda_calibration/memory_operations.hpp"
#include "runtime/cuda_calibration/occupier.hpp"
#include "runtime/cuda_calibration/timer.hpp"

namespace r1::cuda {
namespace {

int failures = 0;

void expect(bool ok, const std::string& what) {
    std::printf("%s %s\n", ok ? "ok  " : "FAIL", what.c_str());
    failures += ok ? 0 : 1;
}

template <class T>
std::vector<T> download(const void* device, std::int64_t count) {
    std::vector<T> host(static_cast<std::size_t>(count));
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    check(cudaMemcpy(host.data(), device, host.size() * sizeof(T), cudaMemcpyDeviceToHost),
          "cudaMemcpy");
    return host;
}

template <class T>
void upload(void* device, const std::vector<T>& host) {
    check(cudaMemcpy(device, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice),
          "cudaMemcpy");
}

using Bf16 = std::uint16_t;

// The largest error in units of the BF16 rounding step that the value allows, 2^-8 of it.
double bf16_error(const std::vector<Bf16>& found, const std::vector<float>& wanted) {
    double largest = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const double allowed = std::abs(wanted[i]) * 0x1p-8 + 1e-6;
        const double error = std::abs(float_from_bf16(found[i]) - wanted[i]);
        largest = std::isnan(error) ? INFINITY : std::max(largest, error / allowed);
    }
    return largest;
}

// x / scale and x * (1 / scale) may fall on two sides of a tie: neighbours are right, if rare.
bool same_codes(const std::vector<std::uint8_t>& found, const std::vector<std::uint8_t>& wanted) {
    std::size_t neighbours = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const int apart = std::abs(static_cast<int>(found[i]) - static_cast<int>(wanted[i]));
        if (apart > 1) {
            return false;
        }
        neighbours += apart == 1 ? 1 : 0;
    }
    return neighbours * 1000 <= wanted.size();
}

bool same_scales(const std::vector<float>& found, const std::vector<float>& wanted) {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (!(std::abs(found[i] - wanted[i]) <= 1e-6F * wanted[i])) {
            return false;
        }
    }
    return true;
}

// ---- memory-bound kernels ----------------------------------------------------------------------

constexpr std::int64_t kRows = 256;  // two tiles for the transpose
constexpr std::int64_t kCount = kRows * kHidden;

struct Kernels {
    Stream stream;
    DeviceMemory a{kCount * 2};
    DeviceMemory b{kCount * 2};
    DeviceMemory y{kCount * 2};
    DeviceMemory a_scales{kCount / kTile * 4};
    DeviceMemory y_scales{kCount / kTile * 4};
    DeviceMemory order{kRows * 4};
    std::vector<Bf16> host_a;
    std::vector<Bf16> host_b;
    std::vector<std::int32_t> host_order;

    Kernels() {
        fill_bf16(a.as(), a.bytes(), 1, stream.get());
        fill_bf16(b.as(), b.bytes(), 2, stream.get());
        host_a = download<Bf16>(a.as(), kCount);
        host_b = download<Bf16>(b.as(), kCount);
        for (std::int64_t row = 0; row < kRows; ++row) {
            host_order.push_back(static_cast<std::int32_t>(row * 101 % kRows));  // 101 is odd
        }
        upload(order.as(), host_order);
    }

    void run(const std::string& name) const {
        for (const MemoryKernel& kernel : memory_kernels()) {
            if (kernel.kernel == name) {
                kernel.launch({kRows, a.as(), b.as(), a_scales.as<float>(),
                               order.as<std::int32_t>(), y.as(), y_scales.as<float>()},
                              stream.get());
            }
        }
    }

    // Against the reference of the same values, in FP32.
    void expect_bf16(const std::string& name, const std::vector<float>& wanted) const {
        run(name);
        const auto found = download<Bf16>(y.as(), static_cast<std::int64_t>(wanted.size()));
        const double error = bf16_error(found, wanted);
        expect(error <= 1.01, name + ": error of " + std::to_string(error) + " BF16 steps");
    }
};

void test_copies(const Kernels& k) {
    std::vector<float> same;
    std::vector<float> scaled;
    std::vector<float> permuted;
    for (std::int64_t i = 0; i < kCount; ++i) {
        const auto from = k.host_order[static_cast<std::size_t>(i / kHidden)] * kHidden;
        same.push_back(float_from_bf16(k.host_a[static_cast<std::size_t>(i)]));
        scaled.push_back(same.back() * kElementwiseFactor);
        permuted.push_back(float_from_bf16(k.host_a[static_cast<std::size_t>(from + i % kHidden)]));
    }
    k.expect_bf16("memory_bound", same);
    k.expect_bf16("elementwise", scaled);
    k.expect_bf16("permute", permuted);
}

void test_rows(const Kernels& k) {
    const ConstMatrix a{k.host_a.data(), DType::bf16, kHidden};
    const ConstMatrix b{k.host_b.data(), DType::bf16, kHidden};
    std::vector<float> wanted(kCount);
    const Matrix y{wanted.data(), DType::f32, kHidden};
    reference::residual_add({kRows, kHidden, 2, {a, b}, y});
    k.expect_bf16("residual_add", wanted);
    reference::rms_norm({kRows, kHidden, kRmsNormEpsilon, a, b, y});
    k.expect_bf16("rms_norm", wanted);
    SwigluArgs swiglu;
    swiglu.rows = kRows;
    swiglu.width = kExpertWidth;
    swiglu.gate_up = {k.host_a.data(), DType::bf16, 2 * kExpertWidth};
    wanted.resize(kRows * kExpertWidth);
    swiglu.y = {wanted.data(), DType::f32, kExpertWidth};
    reference::swiglu(swiglu);
    k.expect_bf16("swiglu", wanted);
}

void test_quantize(const Kernels& k) {
    std::vector<std::uint8_t> codes(kCount);
    std::vector<float> scales(kCount / kTile);
    reference::quantize_fp8(
        {kRows, kHidden, {k.host_a.data(), DType::bf16, kHidden}, codes.data(), scales.data()});
    k.run("quantize_fp8");
    expect(same_codes(download<std::uint8_t>(k.y.as(), kCount), codes), "quantize_fp8: codes");
    expect(same_scales(download<float>(k.y_scales.as(), kCount / kTile), scales),
           "quantize_fp8: scales");
}

void test_requantize_transpose(const Kernels& k) {
    std::vector<float> scales;
    for (std::int64_t i = 0; i < kCount / kTile; ++i) {
        scales.push_back(0.5F + 0.25F * static_cast<float>(i % 7));
    }
    fill_e4m3(k.a.as(), kCount, 5, k.stream.get());
    const auto codes = download<std::uint8_t>(k.a.as(), kCount);
    upload(k.a_scales.as(), scales);
    k.run("requantize_transpose_fp8");
    std::vector<float> transposed(kCount);  // [kHidden, kRows]
    for (std::int64_t i = 0; i < kCount; ++i) {
        const std::int64_t to = i % kHidden * kRows + i / kHidden;
        transposed[static_cast<std::size_t>(to)] =
            float_from_e4m3(codes[static_cast<std::size_t>(i)]) *
            scales[static_cast<std::size_t>(i / kTile)];
    }
    std::vector<std::uint8_t> wanted(kCount);
    std::vector<float> wanted_scales(kCount / kTile);
    reference::quantize_fp8({kHidden,
                             kRows,
                             {transposed.data(), DType::f32, kRows},
                             wanted.data(),
                             wanted_scales.data()});
    expect(same_codes(download<std::uint8_t>(k.y.as(), kCount), wanted),
           "requantize_transpose_fp8: codes");
    expect(same_scales(download<float>(k.y_scales.as(), kCount / kTile), wanted_scales),
           "requantize_transpose_fp8: scales");
}

// ---- products ----------------------------------------------------------------------------------

constexpr int kGroups = 3;

std::vector<float> downloaded_operand(const void* data, std::int64_t count, bool is_fp8) {
    std::vector<float> values;
    if (is_fp8) {
        for (const std::uint8_t code : download<std::uint8_t>(data, count)) {
            values.push_back(float_from_e4m3(code));
        }
    } else {
        for (const Bf16 bits : download<Bf16>(data, count)) {
            values.push_back(float_from_bf16(bits));
        }
    }
    return values;
}

// D of all groups, summed in double.
std::vector<double> product(const Pools& pools, const GemmShape& s) {
    const GemmOperands operands = operands_of(pools, s);
    const auto a = downloaded_operand(operands.a, kGroups * s.m * s.k, s.is_fp8);
    const auto b = downloaded_operand(operands.b, kGroups * s.n * s.k, s.is_fp8);
    std::vector<double> d;
    for (std::int64_t row = 0; row < kGroups * s.m; ++row) {
        for (std::int64_t column = 0; column < s.n; ++column) {
            const float* x = &a[static_cast<std::size_t>(row * s.k)];
            const float* w = &b[static_cast<std::size_t>((row / s.m * s.n + column) * s.k)];
            double sum = 0;
            for (std::int64_t i = 0; i < s.k; ++i) {
                sum += static_cast<double>(x[i]) * w[i];
            }
            d.push_back(sum);
        }
    }
    return d;
}

// Tensor cores sum FP8 products with some 14 bits: 1 % of a typical sum, and BF16 rounding.
double product_error(const std::vector<float>& found, const std::vector<double>& wanted) {
    double squares = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        squares += wanted[i] * wanted[i];
    }
    const double typical = std::sqrt(squares / static_cast<double>(found.size()));
    double largest = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const double allowed = 0.01 * typical + 0x1p-8 * std::abs(wanted[i]);
        const double error = std::abs(found[i] - wanted[i]) / allowed;
        largest = std::isnan(error) ? INFINITY : std::max(largest, error);
    }
    return largest;
}

void test_operations(const Alternatives& alternatives, const Pools& pools, const Stream& stream,
                     const GemmShape& s, int groups) {
    const auto wanted = product(pools, s);
    for (const auto& operations : alternatives) {
        if (operations.empty()) {
            std::printf("note the library has no algorithm for one kind of scales\n");
        }
        for (const Operation& operation : operations) {
            fill_f32(pools.result.as(), pools.result.bytes(), 0, stream.get());
            const std::string name = (s.is_wgrad ? "weight gradient, " : "") + operation.ran;
            try {
                operation.run(stream.get());
                stream.wait();
            } catch (const CudaError& error) {
                std::printf("note %s: %s\n", name.c_str(), error.what());
                continue;
            }
            const std::int64_t count = groups * s.m * s.n;
            const auto found = s.is_wgrad ? download<float>(pools.result.as(), count)
                                          : downloaded_operand(pools.result.as(), count, false);
            const double error = product_error(found, wanted);
            expect(error <= 1, name + ": error " + std::to_string(error));
        }
    }
}

void test_products(int sms) {
    const Stream stream;
    const Libraries libraries(stream);
    const SideStreams sides;
    for (const bool is_fp8 : {false, true}) {
        for (const bool is_wgrad : {false, true}) {
            const GemmShape shape{128, 256, 512, is_fp8, is_wgrad};
            CalibrationJob job;
            job.kernel = std::string("grouped_gemm_") + (is_fp8 ? "fp8" : "bf16") +
                         (is_wgrad ? "_wgrad" : "");
            job.kind = JobKind::grouped_gemm;
            job.groups = kGroups;
            job.m = shape.m;
            job.n = shape.n;
            job.k = shape.k;
            const Pools pools(pool_bytes({job}), stream);
            test_operations(gemm_operations(libraries, pools, shape, sms), pools, stream, shape, 1);
            test_operations(
                grouped_gemm_operations(libraries, pools, sides, shape, kGroups, sms - 20), pools,
                stream, shape, kGroups);
        }
    }
}

// ---- held SMs, and a run -----------------------------------------------------------------------

// Blocks that only wait must not slow down what runs beside them: a kernel of fewer blocks than
// there are free SMs takes as long as on an idle device.
void test_neighbours(Occupier& occupier, const Stream& stream) {
    CalibrationJob job;
    job.kind = JobKind::memory;
    job.kernel = "memory_bound";
    job.bytes = 1 << 20;
    const Pools pools(pool_bytes({job}), stream);
    const Operation operation = memory_work(job, pools).operation;
    Timer timer(stream, std::size_t{64} << 20, nullptr);
    timer.warm_up(operation);
    const double alone_us = timer.measure(operation).median_us;
    for (const int sms : {4, 20, 40}) {
        Occupier::Hold hold(occupier, sms);
        const double beside_us = timer.measure(operation).median_us;
        hold.release();
        expect(beside_us < 1.25 * alone_us,
               "occupier: 1 MB takes " + std::to_string(beside_us) + " us beside " +
                   std::to_string(sms) + " held SMs, " + std::to_string(alone_us) + " us alone");
    }
}

void test_occupier() {
    const Stream stream;
    Occupier occupier(0, stream);
    for (const int sms : {4, 20, 40}) {
        Occupier::Hold hold(occupier, sms);  // verifies that they are distinct and kept free
        expect(static_cast<int>(hold.held().size()) == sms,
               "occupier: holds " + std::to_string(sms) + " SMs");
        hold.release();
    }
    test_neighbours(occupier, stream);
    Occupier brief(0, stream, std::chrono::milliseconds(50));
    bool is_reported = false;
    {
        Occupier::Hold hold(brief, 8);
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        try {
            hold.release();
        } catch (const CudaError&) {
            is_reported = true;
        }
    }
    expect(is_reported, "occupier: ends by itself after its deadline, and says so");
}

void test_run() {
    CudaCalibrationOptions options;
    options.grid = JobGrid::small;
    options.seconds = 20;
    const MeasuredCalibration run = run_cuda_calibration(options);
    expect(!run.curves.empty() && run.seconds < 25, "run: keeps its time");
    expect(!gpu_calibration_text(run, {"test", "test", "2025-01-01"}).empty(), "run: makes a file");
    for (const LeftOut& each : run.left_out) {
        std::printf("note left out: %s: %s\n", each.what.c_str(), each.why.c_str());
    }
    const std::atomic<bool> stop{true};
    options.stop = &stop;
    expect(run_cuda_calibration(options).interrupted, "run: stops when told to");
}

// Every own kernel at its sizes: nothing is left out but for time.
void test_own_kernels() {
    CudaCalibrationOptions options;
    options.grid = JobGrid::small;
    options.kernels = JobKernels::own;
    options.seconds = 60;
    const MeasuredCalibration run = run_cuda_calibration(options);
    for (const LeftOut& each : run.left_out) {
        const bool is_expected = each.kernel == "collectives" || each.why == "the time was spent";
        expect(is_expected, "own kernels: " + each.what + ": " + each.why);
    }
    for (const OwnMemoryKernel& own : own_memory_kernels()) {
        const auto found =
            std::find_if(run.curves.begin(), run.curves.end(),
                         [&](const MeasuredCurve& curve) { return curve.kernel == own.kernel; });
        expect(found != run.curves.end() && found->points.front().ran.find("kernels/cuda/") == 0,
               std::string("own kernels: ") + own.kernel + " is measured");
    }
}

int run_all() {
    const MeasuredDevice device = open_device(0);
    std::printf("on %s\n", device.name.c_str());
    const Kernels kernels;
    test_copies(kernels);
    test_rows(kernels);
    test_quantize(kernels);
    test_requantize_transpose(kernels);  // last: overwrites an input
    test_products(device.sms);
    test_occupier();
    test_run();
    test_own_kernels();
    std::printf("%d failed\n", failures);
    return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace r1::cuda

int main() {
    try {
        return r1::cuda::run_all();
    } catch (const r1::FeatureError& error) {
        std::printf("r1 test skipped: %s\n", error.what());
        return 77;
    } catch (const std::exception& error) {
        std::printf("FAIL %s\n", error.what());
        return 1;
    }
}
