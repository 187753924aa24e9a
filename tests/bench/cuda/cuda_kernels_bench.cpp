// What the CUDA kernels reach on this GPU, as ratios to a yardstick measured in the same run: FP8
// products to the fastest algorithm of cuBLASLt (and beside the rates that DeepGEMM publishes for
// an H800), grouped products to a dense one of the same work, decoding to what copies and dense
// products reach, attention over heads to dense products, memory-bound kernels to a copy. Prints
// JSON. `without_hopper`: how many times as long the kernels of all GPUs take where those of
// kernels/cuda/hopper/ have a part (1: none). Exits 77 where there is no GPU.
//
// Usage: bench_cuda_kernels FILE [SECTION...]; the published rates (reference/deepgemm.json of the
// test data), and which sections of the answer to measure (all).
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/cuda/blas.hpp"
#include "kernels/cuda/hopper/use.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/grouped_gemm_fp8.hpp"
#include "kernels/grouped_gemm_fp8_wgrad.hpp"
#include "kernels/mla_attention.hpp"
#include "kernels/mla_decode.hpp"
#include "kernels/quantize_fp8.hpp"
#include "kernels/requantize_transpose_fp8.hpp"
#include "kernels/residual_add.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/swiglu.hpp"
#include "model/base/diagnostics.hpp"
#include "runtime/cuda_calibration/device.hpp"
#include "runtime/cuda_calibration/fill.hpp"
#include "runtime/cuda_calibration/gemm.hpp"

namespace r1::cuda {
namespace {

using Json = nlohmann::ordered_json;

int attribute(cudaDeviceAttr which) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, 0), "cudaDeviceGetAttribute");
    return value;
}

// Filled once; every kernel reads and writes from the beginning.
struct Bench {
    static constexpr std::int64_t kElements = std::int64_t{1} << 29;  // of a pool, at most

    Stream stream;
    Libraries libraries{stream};
    Pools pools{{.fp8_a = kElements,
                 .fp8_b = kElements,
                 .bf16_a = kElements,
                 .bf16_b = kElements,
                 .result = 2.0 * kElements,
                 .scales = kElements / 8.0,
                 .pinned = 0},
                stream};
    Timer timer{stream, static_cast<std::size_t>(attribute(cudaDevAttrL2CacheSize)), nullptr};
    DeviceMemory workspace{std::size_t{4} << 30};
    DeviceMemory numbers{1 << 20};
    int sms = attribute(cudaDevAttrMultiProcessorCount);

    [[nodiscard]] Launch launch(bool is_hopper = use_hopper_kernels(90)) const {
        Launch made;
        made.stream = stream.get();
        made.sms = sms;
        made.is_hopper = is_hopper;
        made.blas = libraries.lt();
        made.blas_workspace = pools.workspaces[0].as();
        made.blas_workspace_bytes = kWorkspaceBytes;
        return made;
    }

    template <class Run>
    double microseconds(const Run& run) {
        const Operation operation{"", 1, [&](cudaStream_t) { run(); }};
        timer.warm_up(operation);
        return timer.measure(operation).median_us;
    }

    // The best that a kernel does, and how many times as long it takes without Hopper's kernels.
    struct Times {
        double us = 0;
        double without_hopper = 1;
    };
    template <class Run>
    Times times(const Run& run) {
        const double us = microseconds([&] { run(launch()); });
        return {us, microseconds([&] { run(launch(false)); }) / us};
    }

    template <class Args, class Bytes>
    void give_workspace(Args& args, const Bytes& bytes) {
        const std::size_t wanted = bytes(args);
        R1_CHECK(wanted <= workspace.bytes());
        args.workspace = {workspace.as<std::byte>(), wanted};
    }

    const std::int32_t* integers(const std::vector<std::int32_t>& values) {
        check(cudaMemcpy(numbers.as(), values.data(), values.size() * sizeof(std::int32_t),
                         cudaMemcpyHostToDevice),
              "cudaMemcpy");
        return numbers.as<std::int32_t>();
    }

    [[nodiscard]] Matrix result(std::int64_t stride) const {
        return {pools.result.as(), DType::bf16, stride};
    }
    [[nodiscard]] ConstMatrix bf16_a(std::int64_t stride) const {
        return {pools.bf16_a.as(), DType::bf16, stride};
    }
    [[nodiscard]] ConstMatrix bf16_b(std::int64_t stride) const {
        return {pools.bf16_b.as(), DType::bf16, stride};
    }
};

double best_of_library(Bench& bench, const GemmShape& shape) {
    for (const std::vector<Operation>& operations :
         gemm_operations(bench.libraries, bench.pools, shape, bench.sms)) {
        if (!operations.empty()) {
            for (const Operation& operation : operations) {
                bench.timer.warm_up(operation);
            }
            const std::size_t fastest = bench.timer.fastest(operations);
            return bench.timer.measure(operations[fastest]).median_us;
        }
    }
    throw CudaError("cuBLASLt has no algorithm for a product of the benchmark");
}

Bench::Times dense_times(Bench& bench, std::int64_t m, std::int64_t n, std::int64_t k) {
    GemmFp8Args args;
    args.m = m;
    args.n = n;
    args.k = k;
    args.x = bench.pools.fp8_a.as<std::uint8_t>();
    args.x_scales = bench.pools.scales.as<float>();
    args.w = bench.pools.fp8_b.as<std::uint8_t>();
    args.w_scales = bench.pools.scales.as<float>();
    args.y = bench.result(n);
    bench.give_workspace(args, gemm_fp8_workspace_bytes);
    return bench.times([&](const Launch& launch) { gemm_fp8(args, launch); });
}

const std::int32_t* equal_groups(Bench& bench, std::int64_t groups, std::int64_t rows) {
    std::vector<std::int32_t> offsets;
    for (std::int64_t group = 0; group <= groups; ++group) {
        offsets.push_back(static_cast<std::int32_t>(group * rows));
    }
    return bench.integers(offsets);
}

Bench::Times grouped_times(Bench& bench, std::int64_t groups, std::int64_t m, std::int64_t n,
                           std::int64_t k) {
    GroupedGemmFp8Args args;
    args.experts = groups;
    args.rows_max = groups * m;
    args.n = n;
    args.k = k;
    args.offsets = equal_groups(bench, groups, m);
    args.x = bench.pools.fp8_a.as<std::uint8_t>();
    args.x_scales = bench.pools.scales.as<float>();
    args.w = bench.pools.fp8_b.as<std::uint8_t>();
    args.w_scales = bench.pools.scales.as<float>();
    args.y = bench.result(n);
    bench.give_workspace(args, grouped_gemm_fp8_workspace_bytes);
    return bench.times([&](const Launch& launch) { grouped_gemm_fp8(args, launch); });
}

// The gradient of the same weights, from the same rows.
Bench::Times grouped_wgrad_times(Bench& bench, std::int64_t groups, std::int64_t m, std::int64_t n,
                                 std::int64_t k) {
    GroupedGemmFp8WgradArgs args;
    args.experts = groups;
    args.rows_max = groups * m;
    args.m = n;
    args.n = k;
    args.offsets = equal_groups(bench, groups, m);
    args.grad = bench.pools.fp8_a.as<std::uint8_t>();
    args.grad_scales = bench.pools.scales.as<float>();
    args.x = bench.pools.fp8_b.as<std::uint8_t>();
    args.x_scales = bench.pools.scales.as<float>();
    args.y = bench.pools.result.as<float>();
    bench.give_workspace(args, grouped_gemm_fp8_wgrad_workspace_bytes);
    return bench.times([&](const Launch& launch) { grouped_gemm_fp8_wgrad(args, launch); });
}

double tflops(double m, double n, double k, double us) { return 2 * m * n * k / us * 1e-6; }

// The published table with the id, as rows of its columns' names and values.
std::vector<Json> published(const Json& file, const std::string& id) {
    std::vector<Json> rows;
    for (const Json& table : file.at("tables")) {
        if (table.at("id") != id) {
            continue;
        }
        for (const Json& values : table.at("rows")) {
            Json row;
            for (std::size_t i = 0; i < values.size(); ++i) {
                row[table.at("columns").at(i).get<std::string>()] = values.at(i);
            }
            rows.push_back(row);
        }
    }
    return rows;
}

Json dense(Bench& bench, const Json& file) {
    Json rows = Json::array();
    for (const Json& shape : published(file, "deepgemm.dense")) {
        const auto m = shape.at("M").get<std::int64_t>();
        const auto n = shape.at("N").get<std::int64_t>();
        const auto k = shape.at("K").get<std::int64_t>();
        const Bench::Times ours = dense_times(bench, m, n, k);
        const double best = best_of_library(bench, {m, n, k, true, false});
        const double rate =
            tflops(static_cast<double>(m), static_cast<double>(n), static_cast<double>(k), ours.us);
        rows.push_back({{"m", m},
                        {"n", n},
                        {"k", k},
                        {"us", ours.us},
                        {"tflops", rate},
                        {"of_cublaslt_best", best / ours.us},
                        {"without_hopper", ours.without_hopper},
                        {"published_h800_tflops", shape.at("mar_TFLOPS")}});
    }
    return rows;
}

Json grouped(Bench& bench, const Json& file) {
    Json rows = Json::array();
    for (const Json& shape : published(file, "deepgemm.grouped_contiguous")) {
        const auto groups = shape.at("groups").get<std::int64_t>();
        const auto m = shape.at("M_per_group").get<std::int64_t>();
        const auto n = shape.at("N").get<std::int64_t>();
        const auto k = shape.at("K").get<std::int64_t>();
        const Bench::Times ours = grouped_times(bench, groups, m, n, k);
        const Bench::Times wgrad = grouped_wgrad_times(bench, groups, m, n, k);
        const double dense = dense_times(bench, groups * m, n, k).us;
        rows.push_back({{"groups", groups},
                        {"m_per_group", m},
                        {"n", n},
                        {"k", k},
                        {"us", ours.us},
                        {"tflops", tflops(static_cast<double>(groups * m), static_cast<double>(n),
                                          static_cast<double>(k), ours.us)},
                        {"of_dense", dense / ours.us},
                        {"without_hopper", ours.without_hopper},
                        {"wgrad_of_dense", dense / wgrad.us},
                        {"wgrad_without_hopper", wgrad.without_hopper},
                        {"published_h800_tflops", shape.at("mar_TFLOPS")}});
    }
    return rows;
}

// Bytes read and written in a microsecond.
double copy_rate(Bench& bench) {
    constexpr std::size_t kBytes = std::size_t{1} << 30;
    const double us = bench.microseconds([&] {
        check(cudaMemcpyAsync(bench.pools.result.as(), bench.pools.bf16_a.as(), kBytes,
                              cudaMemcpyDeviceToDevice, bench.stream.get()),
              "cudaMemcpyAsync");
    });
    return 2.0 * kBytes / us;
}

double dense_bf16_flops_per_us(Bench& bench) {
    return 2.0 * 8192 * 8192 * 8192 / best_of_library(bench, {8192, 8192, 8192, false, false});
}

// Causal attention of DeepSeek-R1's heads over one sequence: half of the pairs are seen.
Json attention(Bench& bench, double dense_flops_per_us) {
    Json rows = Json::array();
    for (const std::int64_t tokens : {4096, 16384}) {
        MlaAttentionArgs args;
        args.queries = args.keys = tokens;
        args.heads = 32;
        args.qk_dim = 192;
        args.nope_dim = args.v_dim = 128;
        args.scale = 0.1F;
        args.q = bench.bf16_a(args.heads * args.qk_dim);
        args.k = bench.bf16_b(args.heads * args.qk_dim);
        args.kv = bench.bf16_b(args.heads * (args.nope_dim + args.v_dim));
        args.o = bench.result(args.heads * args.v_dim);
        args.lse = bench.pools.scales.as<float>();
        const auto [us, without_hopper] =
            bench.times([&](const Launch& launch) { mla_attention(args, launch); });
        const double pairs = static_cast<double>(tokens) * static_cast<double>(tokens + 1) / 2;
        const double flops = 2 * static_cast<double>(args.heads) * pairs *
                             static_cast<double>(args.qk_dim + args.v_dim);
        rows.push_back({{"tokens", tokens},
                        {"heads", args.heads},
                        {"us", us},
                        {"of_dense_bf16", flops / us / dense_flops_per_us},
                        {"without_hopper", without_hopper}});
    }
    return rows;
}

// One attention of DeepSeek-R1: 128 heads over latents of 512 + 64.
Json decode(Bench& bench, double copied_per_us, double dense_flops_per_us) {
    constexpr double kHeads = 128;
    constexpr double kLatent = 512;
    constexpr double kRope = 64;
    constexpr double kNope = 128;
    Json rows = Json::array();
    for (const std::int64_t sequences : {1, 16, 128}) {
        for (const std::int64_t context : {1024, 4096}) {
            MlaCachedArgs args;
            args.sequences = sequences;
            args.cache_rows = context;
            args.context_max = context;
            args.heads = static_cast<std::int64_t>(kHeads);
            args.nope_dim = static_cast<std::int64_t>(kNope);
            args.rope_dim = static_cast<std::int64_t>(kRope);
            args.v_dim = args.nope_dim;
            args.kv_lora_rank = static_cast<std::int64_t>(kLatent);
            args.scale = 0.1F;
            args.positions = bench.integers(std::vector<std::int32_t>(
                static_cast<std::size_t>(sequences), static_cast<std::int32_t>(context) - 1));
            args.q = bench.bf16_b(args.heads * args.qk_dim());
            args.latent = bench.bf16_a(args.kv_lora_rank + args.rope_dim);
            args.kv_b = bench.bf16_b(args.kv_lora_rank);
            args.o = bench.result(args.heads * args.v_dim);
            bench.give_workspace(args, mla_decode_workspace_bytes);
            const auto [us, without_hopper] =
                bench.times([&](const Launch& launch) { mla_decode(args, launch); });
            const auto keys = static_cast<double>(sequences * context);
            const double bytes = 2 * (keys * (kLatent + kRope) + kHeads * 2 * kNope * kLatent);
            const double flops = 2 * kHeads *
                                 (keys * (2 * kLatent + kRope) +
                                  static_cast<double>(sequences) * 2 * kNope * kLatent);
            rows.push_back({{"sequences", sequences},
                            {"context", context},
                            {"us", us},
                            {"of_copy_bandwidth", bytes / us / copied_per_us},
                            {"of_dense_bf16", flops / us / dense_flops_per_us},
                            {"without_hopper", without_hopper}});
        }
    }
    return rows;
}

Json memory_bound(Bench& bench, double copied_per_us) {
    constexpr std::int64_t kRows = 16384;
    constexpr std::int64_t kWidth = 7168;
    constexpr std::int64_t kExpertWidth = 2048;
    constexpr double kCode = 1 + 4.0 / kTile;  // E4M3 with its part of a scale
    const Launch launch = bench.launch();
    auto* codes = bench.pools.result.as<std::uint8_t>();
    auto* scales = bench.pools.scales.as<float>();
    Json rows = Json::array();
    const auto add = [&](const char* name, double bytes, const auto& run) {
        const double us = bench.microseconds(run);
        rows.push_back(
            {{"kernel", name}, {"us", us}, {"of_copy_bandwidth", bytes / us / copied_per_us}});
    };
    constexpr double kElements = static_cast<double>(kRows) * kWidth;
    const ConstMatrix x = bench.bf16_a(kWidth);
    add("rms_norm", kElements * 4, [&] {
        rms_norm({kRows, kWidth, 1e-6F, x, bench.bf16_b(kWidth), bench.result(kWidth)}, launch);
    });
    add("residual_add", kElements * 6, [&] {
        residual_add({kRows, kWidth, 2, {x, bench.bf16_b(kWidth)}, bench.result(kWidth)}, launch);
    });
    add("quantize_fp8", kElements * (2 + kCode), [&] {
        quantize_fp8({kRows, kWidth, x, codes, scales}, launch);
    });
    add("requantize_transpose_fp8", kElements * 2 * kCode, [&] {
        RequantizeTransposeFp8Args args;
        args.rows = kRows;
        args.width = kWidth;
        args.codes = bench.pools.fp8_a.as<std::uint8_t>();
        args.scales = scales;
        args.transposed_codes = codes;
        args.transposed_scales = scales + kRows * tiles(kWidth);
        requantize_transpose_fp8(args, launch);
    });
    add("swiglu, quantised", static_cast<double>(kRows) * kExpertWidth * (4 + kCode), [&] {
        SwigluArgs args;
        args.rows = kRows;
        args.width = kExpertWidth;
        args.gate_up = bench.bf16_a(2 * kExpertWidth);
        args.codes = codes;
        args.scales = scales;
        swiglu(args, launch);
    });
    return rows;
}

int run(const char* path, const std::vector<std::string>& wanted) {
    std::ifstream stream(path);
    if (!stream) {
        std::fprintf(stderr, "bench_cuda_kernels: cannot read %s\n", path);
        return 3;
    }
    const Json file = Json::parse(stream);
    const MeasuredDevice device = open_device(0);
    Bench bench;
    const double copied_per_us = copy_rate(bench);
    const double dense_flops_per_us = dense_bf16_flops_per_us(bench);
    Json report = {{"device", device.name}, {"copy_gb_per_s", copied_per_us * 1e-3}};
    const auto add = [&](const char* section, const auto& measure) {
        if (wanted.empty() || std::find(wanted.begin(), wanted.end(), section) != wanted.end()) {
            report[section] = measure();
        }
    };
    add("dense", [&] { return dense(bench, file); });
    add("grouped", [&] { return grouped(bench, file); });
    add("decode", [&] { return decode(bench, copied_per_us, dense_flops_per_us); });
    add("attention", [&] { return attention(bench, dense_flops_per_us); });
    add("memory_bound", [&] { return memory_bound(bench, copied_per_us); });
    std::printf("%s\n", report.dump(2).c_str());
    return 0;
}

}  // namespace
}  // namespace r1::cuda

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr,
                     "usage: bench_cuda_kernels FILE [SECTION...] (reference/deepgemm.json)\n");
        return 2;
    }
    try {
        return r1::cuda::run(argv[1], {argv + 2, argv + argc});
    } catch (const r1::FeatureError& error) {
        std::fprintf(stderr, "bench_cuda_kernels: %s\n", error.what());
        return 77;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_cuda_kernels: %s\n", error.what());
        return 1;
    }
}
