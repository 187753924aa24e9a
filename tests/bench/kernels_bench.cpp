// Rates of the CPU kernels as ratios to OpenBLAS's sgemm and to this machine's memory bandwidth,
// taken in the same run: absolute rates differ between machines, the ratios should hold. For each
// row the kernel and its yardstick take turns and the best of each counts, so that a neighbour on
// the machine disturbs both alike. Where the system grants less CPU time than it shows cores, set
// OMP_WAIT_POLICY=passive: waiting threads then give theirs back. Usage: bench_kernels_bench
// [turns]
#include <cblas.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/mla_decode.hpp"
#include "model/base/rng.hpp"
#include "tests/kernels/buffers.hpp"

namespace {

using namespace r1;
using test::Buffer;
using test::Workspace;

template <class Body>
double seconds(Body&& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Best {
    double kernel_s = 1e30;
    double yardstick_s = 1e30;
};

template <class Kernel, class Yardstick>
Best race(int turns, Kernel&& kernel, Yardstick&& yardstick) {
    kernel();  // touches memory, wakes threads
    yardstick();
    // The idle threads of OpenMP and of OpenBLAS spin for some 30 ms after a call, on the cores
    // that the other one needs then.
    const auto rest = [] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); };
    // Threads that wake on one core are moved apart within some ten milliseconds: a turn lasts
    // longer than that, and its best call counts.
    const auto best_call = [](auto&& call) {
        double best_s = 1e30;
        double total_s = 0;
        while (total_s < 0.1) {
            const double call_s = std::max(seconds(call), 1e-9);
            best_s = std::min(best_s, call_s);
            total_s += call_s;
        }
        return best_s;
    };
    Best best;
    for (int turn = 0; turn < turns; ++turn) {
        rest();
        best.kernel_s = std::min(best.kernel_s, best_call(kernel));
        rest();
        best.yardstick_s = std::min(best.yardstick_s, best_call(yardstick));
    }
    return best;
}

bool report(const char* name, double kernel_rate, double yardstick_rate, const char* unit,
            double target) {
    const double ratio = kernel_rate / yardstick_rate;
    std::printf("%-34s %9.1f %9.1f %-8s %6.2f %6.2f  %s\n", name, kernel_rate, yardstick_rate, unit,
                ratio, target, ratio >= target ? "OK" : "BELOW");
    return ratio >= target;
}

struct Shape {
    std::int64_t m;
    std::int64_t n;
    std::int64_t k;
};

// Does x[m, k] w[n, k]^T of the shape in sgemm.
struct Sgemm {
    explicit Sgemm(const Shape& shape_)
        : shape(shape_),
          x(Buffer::random(shape.m, shape.k, DType::f32, 1)),
          w(Buffer::random(shape.n, shape.k, DType::f32, 2)),
          y(shape.m, shape.n, DType::f32) {}

    void operator()() {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(shape.m),
                    static_cast<int>(shape.n), static_cast<int>(shape.k), 1,
                    static_cast<const float*>(x.view().data), static_cast<int>(shape.k),
                    static_cast<const float*>(w.view().data), static_cast<int>(shape.k), 0,
                    static_cast<float*>(y.view().data), static_cast<int>(shape.n));
    }

    Shape shape;
    Buffer x;
    Buffer w;
    Buffer y;
};

bool bench_gemms(const Shape& shape, int turns) {
    Sgemm sgemm(shape);
    const double flops = 2e-9 * static_cast<double>(shape.m * shape.n * shape.k);
    char name[64];

    Buffer x = Buffer::random(shape.m, shape.k, DType::bf16, 3);
    Buffer w = Buffer::random(shape.n, shape.k, DType::bf16, 4);
    Buffer y(shape.m, shape.n, DType::bf16);
    GemmBf16Args bf16{shape.m, shape.n, shape.k, x.view(), w.view(), y.view(), {}};
    Workspace workspace(cpu::gemm_bf16_workspace_bytes(bf16));
    bf16.workspace = workspace.span();
    Best best = race(
        turns, [&] { cpu::gemm_bf16(bf16); }, sgemm);
    std::snprintf(name, sizeof name, "gemm_bf16 %lldx%lldx%lld", static_cast<long long>(shape.m),
                  static_cast<long long>(shape.n), static_cast<long long>(shape.k));
    bool ok = report(name, flops / best.kernel_s, flops / best.yardstick_s, "GFlop/s", 0.9);

    Buffer x8 = Buffer::random(shape.m, shape.k, DType::e4m3, 5);
    Buffer w8 = Buffer::random(shape.n, shape.k, DType::e4m3, 6);
    const std::vector<float> x_scales(static_cast<std::size_t>(shape.m * tiles(shape.k)), 0.5F);
    const std::vector<float> w_scales(static_cast<std::size_t>(tiles(shape.n) * tiles(shape.k)),
                                      0.25F);
    const GemmFp8Args fp8{shape.m,    shape.n,         shape.k,  x8.codes(),      x_scales.data(),
                          w8.codes(), w_scales.data(), y.view(), workspace.span()};
    best = race(
        turns, [&] { cpu::gemm_fp8(fp8); }, sgemm);
    std::snprintf(name, sizeof name, "gemm_fp8 %lldx%lldx%lld", static_cast<long long>(shape.m),
                  static_cast<long long>(shape.n), static_cast<long long>(shape.k));
    return report(name, flops / best.kernel_s, flops / best.yardstick_s, "GFlop/s", 0.5) && ok;
}

// Bytes a second of all threads reading.
double read_bandwidth(int turns) {
    const std::vector<float> data(std::size_t{1} << 28U, 1.0F);  // 1 GiB: beyond the last cache
    std::vector<float> sums(1024);
    const auto share = static_cast<std::int64_t>(data.size() / sums.size());
    double best_s = 1e30;
    for (int turn = 0; turn < turns; ++turn) {
        best_s = std::min(best_s, seconds([&] {
                              cpu::parallel_for(static_cast<std::int64_t>(sums.size()), share,
                                                [&](std::int64_t part) {
                                                    const float* from = data.data() + part * share;
                                                    float sum = 0;
#pragma omp simd reduction(+ : sum)
                                                    for (std::int64_t i = 0; i < share; ++i) {
                                                        sum += from[i];
                                                    }
                                                    sums[static_cast<std::size_t>(part)] = sum;
                                                });
                          }));
    }
    return static_cast<double>(data.size() * sizeof(float)) / best_s;
}

// Absorbed decode of one token over a latent cache of 32K, with R1's head sizes. The roofline is
// the longer of reading the cache once and doing the products at sgemm's rate on 1024^3.
//
// The target is for R1's 128 heads. With few heads the conversion of the cache weighs more than
// its products; those rows are for information.
bool bench_decode(std::int64_t heads, double bytes_per_s, double flops_per_s, int turns) {
    constexpr std::int64_t kContext = 32768;
    constexpr std::int64_t kLatent = 512 + 64;
    Buffer q = Buffer::random(1, heads * 192, DType::bf16, 7);
    Buffer latent = Buffer::random(kContext, kLatent, DType::bf16, 8);
    Buffer kv_b = Buffer::random(heads * 256, 512, DType::bf16, 9);
    Buffer o(1, heads * 128, DType::bf16);
    const std::vector<std::int32_t> positions = {static_cast<std::int32_t>(kContext) - 1};
    MlaCachedArgs args;
    args.cache_rows = kContext;
    args.context_max = kContext;
    args.heads = heads;
    args.nope_dim = 128;
    args.rope_dim = 64;
    args.v_dim = 128;
    args.kv_lora_rank = 512;
    args.scale = 0.05F;
    args.positions = positions.data();
    args.q = q.view();
    args.latent = latent.view();
    args.kv_b = kv_b.view();
    args.o = o.view();
    Workspace workspace(cpu::mla_decode_workspace_bytes(args));
    args.workspace = workspace.span();
    const Best best = race(
        turns, [&] { cpu::mla_decode(args); },
        [] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); });
    const double bytes = 2.0 * static_cast<double>(kContext * kLatent + heads * 256 * 512);
    const double flops = 2.0 * static_cast<double>(heads) *
                         static_cast<double>(kContext * (kLatent + 512) + 256 * 512);
    const double roofline_s = std::max(bytes / bytes_per_s, flops / flops_per_s);
    char name[64];
    std::snprintf(name, sizeof name, "mla_decode 32K, %lld heads", static_cast<long long>(heads));
    return report(name, 1e-9 * flops / best.kernel_s, 1e-9 * flops / roofline_s, "GFlop/s",
                  heads == 128 ? 0.6 : 0);
}

}  // namespace

int main(int argc, char** argv) {
    const int turns = argc > 1 ? std::max(1, std::atoi(argv[1])) : 10;
    openblas_set_num_threads(static_cast<int>(cpu::thread_count()));
    std::printf("# %lld threads, best of %d turns. Yardstick: sgemm, for decode the roofline\n",
                static_cast<long long>(cpu::thread_count()), turns);
    std::printf("# %-32s %9s %9s %-8s %6s %6s\n", "kernel", "kernel", "yardstick", "unit", "ratio",
                "target");
    // 1024^3, then R1: q_b_proj, o_proj, an expert's gate_up and down, the shared expert's.
    const std::vector<Shape> shapes = {{1024, 1024, 1024}, {512, 24576, 1536}, {512, 7168, 16384},
                                       {256, 4096, 7168},  {256, 7168, 2048},  {64, 4096, 7168}};
    bool ok = true;
    for (const Shape& shape : shapes) {
        ok = bench_gemms(shape, turns) && ok;
    }
    Sgemm sgemm({1024, 1024, 1024});
    const Best best =
        race(turns, sgemm, [] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); });
    const double bandwidth = read_bandwidth(turns);
    std::printf("# roofline of decode: %.1f GB/s, %.1f GFlop/s\n", 1e-9 * bandwidth,
                2e-9 * 1024 * 1024 * 1024 / best.kernel_s);
    for (const std::int64_t heads : {128, 16, 4}) {
        ok = bench_decode(heads, bandwidth, 2.0 * 1024 * 1024 * 1024 / best.kernel_s, turns) && ok;
    }
    std::printf("# %s\n", ok ? "all targets met" : "some targets missed");
    return ok ? 0 : 1;
}
