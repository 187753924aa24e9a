// What ops cost by the published calibration: measured shapes, overheads, and how times move with
// the device, against closed forms.
#include "sim/cost/cost_model.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "model/graph/chunk_builder.hpp"
#include "tests/sim/published.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

// One op whose tensors are as good as empty, so that its matrix FLOPs alone decide.
ChunkTemplate matrix_op(KernelId kernel, std::vector<Extent> dims) {
    ChunkBuilder builder("one");
    const TensorId in = builder.tensor("in", DType::e4m3, {1});
    const TensorId out = builder.tensor("out", DType::bf16, {1});
    builder.compute(kernel, std::move(dims), {in}, {out});
    return std::move(builder).take();
}

ChunkTemplate memory_op(KernelId kernel, std::int64_t rows) {
    ChunkBuilder builder("one");
    const TensorId in = builder.tensor("in", DType::bf16, {rows, 7168});
    const TensorId out = builder.tensor("out", DType::bf16, {rows, 7168});
    builder.compute(kernel, {rows, 7168}, {in, in}, {out});
    return std::move(builder).take();
}

OpTime time_of(const Calibration& calibration, const ChunkTemplate& chunk, int sms,
               const Topology& topology = h800_topology()) {
    const FittedCostModel cost(calibration, topology);
    return cost.compute(chunk, chunk.ops.front(), {}, sms);
}

// Without launches and other overheads: a kernel's own time.
Calibration kernels_only(Calibration calibration = h800_calibration()) {
    std::vector<CalibrationCurve>& curves = calibration.curves;
    curves.erase(std::remove_if(curves.begin(), curves.end(),
                                [](const CalibrationCurve& curve) {
                                    return curve.kernel.rfind("overhead.", 0) == 0;
                                }),
                 curves.end());
    calibration.constants["launch_gap_us"] = 0;
    return calibration;
}

const Calibration& kernels_calibration() {
    static const Calibration calibration = kernels_only();
    return calibration;
}

double kernel_us(const ChunkTemplate& chunk, int sms = 132) {
    static const FittedCostModel cost(kernels_calibration(), h800_topology());
    return cost.compute(chunk, chunk.ops.front(), {}, sms).total().value() * 1e6;
}

double kernel_us(const ChunkTemplate& chunk, const Topology& topology) {
    return time_of(kernels_calibration(), chunk, 132, topology).total().value() * 1e6;
}

// The op that a point of a matrix curve measures.
ChunkTemplate measured_op(const CalibrationCurve& curve, const CalibrationPoint& point) {
    const auto at = [&](const char* name) {
        return point.columns[static_cast<std::size_t>(curve.column(name))];
    };
    const KernelId kernel = *parse_kernel(curve.kernel);
    if (curve.column("m_per_group") >= 0) {
        return matrix_op(kernel,
                         {at("groups"), at("groups") * at("m_per_group"), at("n"), at("k")});
    }
    if (curve.column("k_per_group") >= 0) {
        return matrix_op(kernel,
                         {at("groups"), at("m"), at("n"), at("groups") * at("k_per_group")});
    }
    if (curve.column("heads") >= 0) {
        return matrix_op(kernel, {1, at("tokens"), at("heads"), at("qk"), at("v")});
    }
    return matrix_op(kernel, {at("m"), at("n"), at("k")});
}

std::vector<ChunkTemplate> some_ops() {
    return {matrix_op(KernelId::gemm_fp8, {4096, 2112, 7168}),
            matrix_op(KernelId::gemm_fp8, {4096, 7168, 2048}),
            matrix_op(KernelId::gemm_bf16, {4096, 256, 7168}),
            matrix_op(KernelId::gemm_fp8_wgrad, {7168, 2112, 4096}),
            matrix_op(KernelId::grouped_gemm_fp8, {4, 4 * 8192, 4096, 7168}),
            matrix_op(KernelId::mla_attention, {1, 4096, 128, 192, 128}),
            matrix_op(KernelId::mla_attention_backward, {1, 4096, 128, 192, 128}),
            memory_op(KernelId::rms_norm, 4096)};
}

}  // namespace

TEST_CASE("cost model: a needed curve that is missing is an input error", "[sim][calibration]") {
    for (const char* kernel : {"gemm_fp8", "gemm_bf16", "mla_attention", "dispatch", "combine"}) {
        Calibration calibration = h800_calibration();
        const auto found =
            std::find_if(calibration.curves.begin(), calibration.curves.end(),
                         [&](const CalibrationCurve& curve) { return curve.kernel == kernel; });
        REQUIRE(found != calibration.curves.end());
        calibration.curves.erase(found);
        INFO(kernel);
        CHECK_THROWS_AS(FittedCostModel(calibration, h800_topology()), InputError);
    }
}

TEST_CASE("cost model: a measured shape costs about what was measured", "[sim][cost]") {
    const FittedCostModel cost(h800_calibration(), h800_topology());
    for (const CalibrationCurve& curve : h800_calibration().curves) {
        if (curve.quantity != "tflops" || curve.column("kv_len") >= 0) {
            continue;
        }
        const CurveModel& model = *cost.model(curve.kernel);
        std::vector<double> errors;
        for (const CalibrationPoint& point : curve.points) {
            // Other implementations take their factor longer.
            const CalibrationSource& source = h800_calibration().sources.at(point.source);
            const auto factor = model.factors().find(
                source.implementation.empty() ? point.source : source.implementation);
            const bool ours = factor == model.factors().end();
            const ChunkTemplate chunk = measured_op(curve, point);
            const double flops = chunk.ops.front().compute()->work.matrix_flops.constant;
            const double us = flops / point.value / 1e6 / (ours ? 1 : factor->second);
            const auto sms =
                static_cast<int>(point.columns[static_cast<std::size_t>(curve.column("sms"))]);
            errors.push_back(std::abs(kernel_us(chunk, sms) / us - 1));
            INFO(curve.kernel << ": " << point.row);
            CHECK(errors.back() < (ours ? 0.05 : 0.35));
        }
        std::sort(errors.begin(), errors.end());
        INFO(curve.kernel);
        CHECK(errors[errors.size() / 2] < 0.04);
    }
}

TEST_CASE("cost model: a collective within a node takes what was measured", "[sim][cost]") {
    const Topology h100 = topology_of("h100_8x8");
    const FittedCostModel cost(h800_calibration(), h100);  // the points are of H100 nodes
    for (const Collective each :
         {Collective::all_gather, Collective::reduce_scatter, Collective::all_reduce}) {
        const CalibrationCurve& curve = *h800_calibration().curve(std::string(name(each)));
        std::vector<double> errors;
        for (const CalibrationPoint& point : curve.points) {
            const double bytes = point.columns[0];
            const double ranks = point.columns[1];
            const double passed =
                bytes * (each == Collective::all_reduce ? 2 : 1) * (ranks - 1) / ranks;
            const Seconds time =
                cost.node_collective(each, static_cast<std::int64_t>(ranks), Bytes(bytes));
            errors.push_back(std::abs(passed / time.value() / (point.value * 1e9) - 1));
        }
        std::sort(errors.begin(), errors.end());
        INFO(curve.kernel);
        CHECK(errors[errors.size() / 2] < 0.03);
        CHECK(errors.back() < 0.25);
        CHECK(leave_one_out_error_percent(*cost.model(curve.kernel)).value() < 13);
    }
}

TEST_CASE("cost model: a large collective goes by NVLink, a small one does not", "[sim][cost]") {
    Topology fast = topology_of("h100_8x8");
    Topology slow = fast;
    slow.nvlink.bandwidth = slow.nvlink.bandwidth * 0.5;
    const auto ratio = [&](double bytes) {
        const auto time = [&](const Topology& topology) {
            return FittedCostModel(h800_calibration(), topology)
                .node_collective(Collective::all_gather, 8, Bytes(bytes));
        };
        return time(slow) / time(fast);
    };
    CHECK(ratio(1e9) == Approx(2).margin(0.05));
    CHECK(ratio(1e3) == Approx(1).margin(0.05));
    // Nothing is known of NCCL there.
    Calibration without = h800_calibration();
    std::erase_if(without.curves,
                  [](const CalibrationCurve& curve) { return curve.kernel == "all_gather"; });
    CHECK(FittedCostModel(without, fast).node_collective(Collective::all_gather, 8, Bytes(1e9)) ==
          Seconds(0));
}

TEST_CASE("cost model: half the matrix rates take twice the time", "[sim][cost]") {
    Calibration halved = kernels_only();
    for (CalibrationCurve& curve : halved.curves) {
        for (CalibrationPoint& point : curve.points) {
            point.value *= curve.quantity == "tflops" ? 0.5 : 1;
        }
    }
    for (const KernelId kernel :
         {KernelId::gemm_fp8, KernelId::gemm_bf16, KernelId::gemm_fp8_wgrad}) {
        for (const double m : {64.0, 300.0, 4096.0}) {
            const ChunkTemplate chunk = matrix_op(kernel, {m, 2112, 7168});
            const double half = time_of(halved, chunk, 132).total().value() * 1e6;
            CHECK(half == Approx(2 * kernel_us(chunk)).epsilon(1e-3));
        }
    }
}

TEST_CASE("cost model: an op bound by memory takes its bytes at the measured rate", "[sim][cost]") {
    // rms_norm reads two tensors and writes one: 3 x rows x 7168 x 2 bytes. A curve with one rate
    // makes the time proportional to the bytes.
    Calibration flat = kernels_only();
    for (CalibrationCurve& curve : flat.curves) {
        for (CalibrationPoint& point : curve.points) {
            point.value = curve.kernel == "rms_norm" ? 1000 : point.value;
        }
    }
    for (const std::int64_t rows : {16, 4096, 65536}) {
        const double bytes = 3.0 * static_cast<double>(rows) * 7168 * 2;
        const double us =
            time_of(flat, memory_op(KernelId::rms_norm, rows), 132).busy.value() * 1e6;
        CHECK(us == Approx(bytes / 1000e9 * 1e6).epsilon(1e-3));
    }
    // Along the measured curve, more bytes never take less time.
    double before = 0;
    for (std::int64_t rows = 16; rows <= 65536; rows *= 2) {
        const double us = kernel_us(memory_op(KernelId::rms_norm, rows));
        CHECK(us > before);
        before = us;
    }
}

TEST_CASE("cost model: more work takes longer", "[sim][cost]") {
    for (const double scale : {2.0, 4.0}) {
        for (const double m : {128.0, 1024.0, 4096.0}) {
            const auto us = [](double rows, double n, double k) {
                return kernel_us(matrix_op(KernelId::gemm_fp8, {rows, n, k}));
            };
            CHECK(us(scale * m, 7168, 2048) > us(m, 7168, 2048));
            CHECK(us(m, scale * 7168, 2048) > us(m, 7168, 2048));
            CHECK(us(m, 7168, scale * 2048) > us(m, 7168, 2048));
            const auto attention = [](double tokens) {
                return kernel_us(matrix_op(KernelId::mla_attention, {1, tokens, 128, 192, 128}));
            };
            CHECK(attention(scale * m) > attention(m));
        }
    }
}

TEST_CASE("cost model: fewer SMs are never faster", "[sim][cost]") {
    for (const ChunkTemplate& chunk : some_ops()) {
        double before = 0;
        for (const int sms : {132, 112, 66, 33, 1}) {
            INFO(kind_name(chunk.ops.front()) << " on " << sms << " SMs");
            const double us = kernel_us(chunk, sms);
            // Memory-bound kernels do not care, but for points counting less on other SMs than
            // theirs.
            CHECK(us >= before * (1 - 1e-3));
            before = us;
        }
    }
}

TEST_CASE("cost model: a device of half the peaks takes about twice as long", "[sim][cost]") {
    Topology slow = h800_topology();
    slow.device.peak_fp8 = slow.device.peak_fp8 * 0.5;
    const ChunkTemplate gemm = matrix_op(KernelId::gemm_fp8, {4096, 7168, 7168});
    const double slowed = kernel_us(gemm, slow) / kernel_us(gemm);
    CHECK(slowed > 1.9);
    CHECK(slowed <= 2);
    const ChunkTemplate norm = memory_op(KernelId::rms_norm, 65536);
    CHECK(kernel_us(norm, slow) == kernel_us(norm));
    slow.device.hbm = slow.device.hbm * 0.5;
    CHECK(kernel_us(norm, slow) == Approx(2 * kernel_us(norm)).epsilon(0.02));
    // Twice the SMs with twice the peak: as many FLOPs an SM, twice as many SMs.
    Topology wide = h800_topology();
    wide.device.sms *= 2;
    wide.device.peak_fp8 = wide.device.peak_fp8 * 2;
    CHECK(kernel_us(gemm, wide) == Approx(kernel_us(gemm)));
}

TEST_CASE("cost model: no rows cost the overhead of their op", "[sim][cost]") {
    const ChunkTemplate chunk =
        matrix_op(KernelId::grouped_gemm_fp8, {4, Symbol::routed_rows, 4096, 7168});
    const ChunkTemplate full = matrix_op(KernelId::grouped_gemm_fp8, {4, 4096, 4096, 7168});
    const OpTime none = time_of(h800_calibration(), chunk, 132);
    const double whole = time_of(h800_calibration(), full, 132).total().value() * 1e6;
    CHECK(none.total().value() > 0);
    CHECK(none.total().value() * 1e6 == Approx(whole - kernel_us(full)));
    CHECK(none.gap.value() ==
          Approx(none.total().value() * h800_calibration().constants.at("overhead_idle_fraction")));
}

TEST_CASE("cost model: a kernel without overheads of its own waits the launch gap", "[sim][cost]") {
    const ChunkTemplate chunk = memory_op(KernelId::concat, 4096);
    Calibration calibration = h800_calibration();
    calibration.constants["launch_gap_us"] = 7;
    const OpTime time = time_of(calibration, chunk, 132);
    CHECK(time.gap.value() * 1e6 == Approx(7));
    CHECK(time.busy.value() * 1e6 == Approx(kernel_us(chunk)));
}

TEST_CASE("cost model: what is no measured shape is extrapolated", "[sim][cost]") {
    const FittedCostModel cost(h800_calibration(), h800_topology());
    const auto extrapolates = [&](const ChunkTemplate& chunk, int sms) {
        return cost.extrapolates(chunk, chunk.ops.front(), {}, sms);
    };
    const ChunkTemplate inside = matrix_op(KernelId::gemm_fp8, {4096, 2112, 7168});
    CHECK_FALSE(extrapolates(inside, 132));
    CHECK_FALSE(extrapolates(inside, 112));
    CHECK(extrapolates(inside, 133));
    CHECK(extrapolates(inside, 20));
    CHECK(extrapolates(matrix_op(KernelId::gemm_fp8, {1e6, 2112, 7168}), 132));
    CHECK(extrapolates(matrix_op(KernelId::gemm_fp8, {4096, 16, 7168}), 132));
    CHECK(extrapolates(memory_op(KernelId::rms_norm, 1), 112));
    CHECK_FALSE(extrapolates(memory_op(KernelId::rms_norm, 2048), 112));
}

TEST_CASE("cost model: a kernel that was not measured stands on another curve", "[sim][cost]") {
    const FittedCostModel cost(h800_calibration(), h800_topology());
    const auto use = [&](const ChunkTemplate& chunk) {
        return cost.curve_of(chunk, chunk.ops.front());
    };
    CHECK_FALSE(use(matrix_op(KernelId::gemm_fp8, {64, 64, 64})).borrowed);
    const CurveUse plain = use(matrix_op(KernelId::gemm_bf16_wgrad, {64, 64, 64}));
    CHECK(plain.borrowed);
    CHECK(plain.model == cost.model("gemm_bf16"));
    const CurveUse concat = use(memory_op(KernelId::concat, 16));
    CHECK(concat.borrowed);
    CHECK(concat.model == cost.model("elementwise"));
    // A borrowed weight gradient also reads and writes its FP32 sums: 8 bytes each.
    const double sums = 4096.0 * 7168;
    const double us = kernel_us(matrix_op(KernelId::gemm_bf16_wgrad, {4096, 7168, 4096})) -
                      kernel_us(matrix_op(KernelId::gemm_bf16, {4096, 7168, 4096}));
    CHECK(us == Approx(cost.model("memory_bound")->time({{"bytes", 8 * sums}}, {}).value() * 1e6));
}

}  // namespace r1
