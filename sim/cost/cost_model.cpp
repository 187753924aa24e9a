#include "sim/cost/cost_model.hpp"

#include <algorithm>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"
#include "sim/cost/op_columns.hpp"

namespace r1 {

namespace {

// The curve of a kernel that was not measured itself, by what its time is made of.
const std::map<std::string, std::string>& borrowed_curves() {
    static const std::map<std::string, std::string> curves = {
        {"gemm_bf16_wgrad", "gemm_bf16"},
        {"grouped_gemm_bf16", "gemm_bf16"},
        {"grouped_gemm_bf16_wgrad", "gemm_bf16"},
        {"gemm_fp8_wgrad", "gemm_fp8"},
        {"grouped_gemm_fp8", "gemm_fp8"},
        {"grouped_gemm_fp8_wgrad", "gemm_fp8_wgrad"},
        {"mla_attention_backward", "mla_attention"},
        {"concat", "elementwise"},
        {"split", "elementwise"},
        {"memory_bound", "elementwise"},
    };
    return curves;
}

void add_kernel(const CurveTime& kernel, OpTime& time) {
    time.busy += kernel.time;
    time.matrix_units += kernel.time * kernel.shares.compute;
    time.hbm += kernel.time * kernel.shares.memory;
}

}  // namespace

FittedCostModel::FittedCostModel(const Calibration& calibration, const Topology& topology)
    : calibration_(calibration), topology_(topology) {
    for (const CalibrationCurve& curve : calibration.curves) {
        if (curve.kernel != "dispatch" && curve.kernel != "combine") {
            models_.try_emplace(curve.kernel, curve, calibration);
        }
    }
    for (const char* kernel : {"gemm_fp8", "gemm_bf16", "mla_attention", "memory_bound"}) {
        const bool stands_in =
            kernel == std::string("memory_bound") && model("elementwise") != nullptr;
        if (model(kernel) == nullptr && !stands_in) {
            throw InputError("calibration " + calibration.name,
                             std::string("has no curve for ") + kernel);
        }
    }
    for (const char* kernel : {"dispatch", "combine"}) {
        if (calibration.curve(kernel) == nullptr) {
            throw InputError("calibration " + calibration.name,
                             std::string("has no curve for ") + kernel);
        }
    }
}

double FittedCostModel::constant(const std::string& name, double fallback) const {
    const auto found = calibration_.constants.find(name);
    return found == calibration_.constants.end() ? fallback : found->second;
}

const CurveModel* FittedCostModel::model(const std::string& kernel) const {
    const auto found = models_.find(kernel);
    return found == models_.end() ? nullptr : &found->second;
}

CurveUse FittedCostModel::curve_of(const ChunkTemplate& chunk, const Op& op) const {
    if (const CurveModel* found = model(own_curve(chunk, op))) {
        return {found, false};
    }
    std::string wanted(name(op.compute()->kernel));
    for (bool borrowed = false;; borrowed = true) {
        if (const CurveModel* found = model(wanted)) {
            return {found, borrowed};
        }
        const auto other = borrowed_curves().find(wanted);
        wanted = other == borrowed_curves().end() ? "memory_bound" : other->second;
    }
}

// Efficiencies belong to the device that was measured; they carry over to other peaks.
DeviceScale FittedCostModel::scale_of(const std::string& curve) const {
    const bool fp8 = curve.find("fp8") != std::string::npos;
    const DeviceSpec& device = topology_.device;
    const double peak = device.peak(fp8 ? DType::e4m3 : DType::bf16).value() / 1e12;
    const double measured = constant(fp8 ? "reference_fp8_tflops" : "reference_bf16_tflops", peak);
    const auto sms = static_cast<double>(device.sms);
    const double hbm = device.hbm.value() / 1e9;
    return {(measured / constant("reference_sms", sms)) / (peak / sms),
            constant("reference_hbm_gb_per_s", hbm) / hbm};
}

OpTime FittedCostModel::overhead(const Op& op, double bytes) const {
    const char* direction = op.phase == Phase::forward ? ".forward" : ".backward";
    const std::string kernel(name(op.compute()->kernel));
    const CurveModel* curve = model("overhead." + kernel + direction);
    if (curve == nullptr) {
        return {microseconds(constant("launch_gap_us", 0)), Seconds(0)};
    }
    const Seconds whole = curve->time({{"bytes", bytes}}, {});
    const double idle = constant("overhead_idle_fraction", 1);
    return {whole * idle, whole * (1 - idle)};
}

OpTime FittedCostModel::compute(const ChunkTemplate& chunk, const Op& op,
                                const SymbolValues& values, int sms) const {
    const ComputeOp& body = *op.compute();
    const CurveUse use = curve_of(chunk, op);
    R1_CHECK(use.model != nullptr);
    OpTime time = overhead(op, bytes_of(body, values));
    const bool matrix = kernel_signature(body.kernel)->cost_class != KernelClass::memory;
    if (matrix ? body.work.matrix_flops.value(values) <= 0 : bytes_of(body, values) <= 0) {
        return time;  // no rows were routed here
    }
    const std::map<std::string, double> columns = columns_of(body, values, sms);
    add_kernel(use.model->predict(columns, scale_of(use.model->curve().kernel)), time);
    const bool accumulates = use.model->curve().kernel.find("wgrad") != std::string::npos;
    if (use.borrowed && !accumulates) {
        add_kernel(accumulation(body, columns), time);
    }
    return time;
}

// A weight gradient that stands on a plain GEMM's curve also reads and writes its FP32 sums; in the
// trace, FP8 weight gradients take about that much longer than GEMMs of their shape.
CurveTime FittedCostModel::accumulation(const ComputeOp& op,
                                        const std::map<std::string, double>& columns) const {
    if (name(op.kernel).find("wgrad") == std::string_view::npos) {
        return {};
    }
    const auto groups = columns.find("groups");
    const double sums =
        (groups == columns.end() ? 1 : groups->second) * columns.at("m") * columns.at("n");
    const CurveModel* memory = model("memory_bound");
    if (memory == nullptr) {
        memory = model("elementwise");
    }
    R1_CHECK(memory != nullptr);  // the constructor made sure
    return memory->predict({{"bytes", 2 * 4 * sums}}, scale_of("memory_bound"));
}

bool FittedCostModel::extrapolates(const ChunkTemplate& chunk, const Op& op,
                                   const SymbolValues& values, int sms) const {
    const CurveUse use = curve_of(chunk, op);
    return use.model->extrapolates(columns_of(*op.compute(), values, sms));
}

const CurveModel* FittedCostModel::links_of(Collective collective, std::int64_t ranks,
                                            bool overlapped) const {
    const bool measured =
        !low_latency(collective) &&
        (overlapped || measured_alone(*calibration_.curve(std::string(name(collective))), ranks));
    return measured ? nullptr : model("expert_all_to_all");
}

ExchangeTime FittedCostModel::expert_exchange(const ExpertExchangeCall& exchange) const {
    const std::string kernel(name(exchange.collective));
    const CurveModel* sm_limit = model(kernel + "_sm_limit");
    const LinkRates cluster{topology_.nvlink.achievable(), topology_.nic.bandwidth};
    const CurveModel* links =
        links_of(exchange.collective, exchange.group.ranks, exchange.overlapped);
    if (low_latency(exchange.collective) && links == nullptr) {
        throw InputError("calibration " + calibration_.name,
                         "has no curve for expert_all_to_all, which low-latency kernels need");
    }
    if (links != nullptr) {
        return exchange_time(*links, sm_limit, exchange, cluster);
    }
    const auto measured = [this](const char* name, BytesPerSecond otherwise) {
        return gb_per_s(constant(name, otherwise.value() / 1e9));
    };
    return exchange_time(*calibration_.curve(kernel), model("expert_all_to_all"), sm_limit,
                         exchange, cluster,
                         {measured("reference_nvlink_gb_per_s", cluster.nvlink),
                          measured("reference_nic_gb_per_s", cluster.nic)});
}

Seconds FittedCostModel::node_collective(Collective collective, std::int64_t ranks,
                                         Bytes bytes) const {
    const CurveModel* curve = model(std::string(name(collective)));
    if (curve == nullptr) {
        return Seconds(0);
    }
    const double links = topology_.nvlink.achievable().value() / 1e9;
    DeviceScale scale;
    scale.memory = constant("nvlink_bus_gb_per_s", links) / links;
    return curve->time({{"bytes", bytes.value()}, {"ranks", static_cast<double>(ranks)}}, scale);
}

Seconds FittedCostModel::notify() const {
    const CurveModel* curve = model("notify");
    return curve == nullptr ? Seconds(0) : curve->time({}, {});
}

}  // namespace r1
