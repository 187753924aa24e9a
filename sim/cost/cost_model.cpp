#include "sim/cost/cost_model.hpp"

#include <algorithm>
#include <cmath>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"

namespace r1 {

namespace {

// Efficiencies are per SM, so a point with another SM count is nearly as good as one with the same
// count, but loses to it: a ratio of 2 in SMs counts like one of 2^4 in a dimension of the shape.
constexpr double kSmDistance = 4;

constexpr double kSaturatingSms = 20;

// The curve of a kernel that was not measured itself, by what its time is made of.
const std::map<KernelId, std::string>& borrowed_curves() {
    static const std::map<KernelId, std::string> curves = {
        {KernelId::gemm_bf16_wgrad, "gemm_bf16"},
        {KernelId::grouped_gemm_bf16, "gemm_bf16"},
        {KernelId::grouped_gemm_bf16_wgrad, "gemm_bf16"},
        {KernelId::concat, "elementwise"},
        {KernelId::split, "elementwise"},
        {KernelId::embedding, "memory_bound"},
        {KernelId::embedding_backward, "memory_bound"},
        {KernelId::cross_entropy, "memory_bound"},
        {KernelId::cross_entropy_backward, "memory_bound"},
        {KernelId::quantize_weight_fp8, "memory_bound"},
        {KernelId::gradient_norm, "memory_bound"},
    };
    return curves;
}

bool touches(const ChunkTemplate& chunk, const Op& op, DType dtype) {
    for (const auto* list : {&op.inputs, &op.outputs}) {
        for (const TensorId id : *list) {
            if (chunk.tensors[id.index()].dtype == dtype) {
                return true;
            }
        }
    }
    return false;
}

// The op's dimensions by the names that calibration columns use.
std::map<std::string, double> named_dims(const ComputeOp& op, const SymbolValues& values) {
    const KernelSignature& signature = *kernel_signature(op.kernel);
    std::map<std::string, double> dims;
    for (std::size_t i = 0; i < op.dims.size(); ++i) {
        dims[std::string(signature.dims[i])] = op.dims[i].value(values);
    }
    if (signature.cost_class == KernelClass::grouped_gemm) {
        dims["m_per_group"] = dims["m"] / dims["groups"];
        dims["k_per_group"] = dims["k"] / dims["groups"];
    }
    if (signature.cost_class == KernelClass::attention) {
        dims["qk"] = dims["qk_head_dim"];
        dims["v"] = dims["v_head_dim"];
    }
    return dims;
}

// Shapes and bytes by their logarithm: a factor counts the same everywhere.
double feature(const std::string& column, double value) {
    return std::log2(std::max(value, 1.0)) * (column == "sms" ? kSmDistance : 1);
}

std::vector<double> features_of(const CalibrationCurve& curve, const CalibrationPoint& point) {
    std::vector<double> row;
    for (std::size_t c = 0; c < curve.columns.size(); ++c) {
        row.push_back(feature(curve.columns[c], point.columns[c]));
    }
    return row;
}

}  // namespace

double interpolate(const std::vector<std::vector<double>>& features,
                   const std::vector<double>& values, const std::vector<double>& at) {
    R1_CHECK(!features.empty() && features.size() == values.size());
    constexpr std::size_t kNearest = 4;
    std::vector<std::pair<double, double>> by_distance;  // squared distance, value
    for (std::size_t i = 0; i < features.size(); ++i) {
        double squared = 0;
        for (std::size_t d = 0; d < at.size(); ++d) {
            squared += (features[i][d] - at[d]) * (features[i][d] - at[d]);
        }
        by_distance.emplace_back(squared, values[i]);
    }
    std::sort(by_distance.begin(), by_distance.end());
    double weights = 0;
    double sum = 0;
    std::size_t used = 0;
    constexpr double kHit = 1e-12;
    for (const auto& [squared, value] : by_distance) {
        const bool hit = by_distance.front().first < kHit;
        if (hit ? squared >= kHit : used == kNearest) {
            break;
        }
        const double weight = hit ? 1 : 1 / squared;
        weights += weight;
        sum += weight * value;
        ++used;
    }
    return sum / weights;
}

RooflineCostModel::RooflineCostModel(const Calibration& calibration, const Topology& topology)
    : calibration_(calibration), topology_(topology) {
    launch_gap_ = microseconds(constant("launch_gap_us", 0));
    for (const char* kernel :
         {"gemm_fp8", "gemm_fp8_wgrad", "grouped_gemm_fp8", "grouped_gemm_fp8_wgrad", "gemm_bf16",
          "mla_attention", "mla_attention_backward", "elementwise", "memory_bound", "dispatch",
          "combine"}) {
        if (calibration.curve(kernel) == nullptr) {
            throw InputError("calibration " + calibration.name,
                             std::string("has no curve for ") + kernel);
        }
    }
}

double RooflineCostModel::constant(const std::string& name, double fallback) const {
    const auto found = calibration_.constants.find(name);
    return found == calibration_.constants.end() ? fallback : found->second;
}

CurveUse RooflineCostModel::curve_of(const ChunkTemplate& chunk, const Op& op) const {
    if (const CommOp* comm = op.comm()) {
        return {calibration_.curve(std::string(name(comm->collective))), false};
    }
    const KernelId kernel = op.compute()->kernel;
    if (touches(chunk, op, DType::e5m6)) {
        const char* e5m6 = kernel == KernelId::quantize_fp8 ? "quantize_e5m6" : "dequantize_e5m6";
        if (const CalibrationCurve* curve = calibration_.curve(e5m6)) {
            return {curve, false};
        }
    }
    if (const CalibrationCurve* curve = calibration_.curve(std::string(name(kernel)))) {
        return {curve, false};
    }
    const auto borrowed = borrowed_curves().find(kernel);
    const std::string fallback =
        borrowed == borrowed_curves().end() ? "memory_bound" : borrowed->second;
    return {calibration_.curve(fallback), true};
}

Seconds RooflineCostModel::matrix_time(const CalibrationCurve& curve, const ComputeOp& op,
                                       const SymbolValues& values, int sms) const {
    const std::map<std::string, double> dims = named_dims(op, values);
    const auto all_sms = static_cast<double>(topology_.device.sms);
    const bool fp8 = curve.kernel.find("fp8") != std::string::npos;
    const FlopsPerSecond peak = topology_.device.peak(fp8 ? DType::e4m3 : DType::bf16);
    // Efficiencies belong to the device that was measured; they carry over to another peak.
    const FlopsPerSecond measured_peak = tflops(
        constant(fp8 ? "reference_fp8_tflops" : "reference_bf16_tflops", peak.value() / 1e12));
    const int sms_column = curve.column("sms");
    std::vector<double> at;
    for (const std::string& column : curve.columns) {
        const auto dim = dims.find(column);
        const double value = dim == dims.end() ? 1.0 : dim->second;
        at.push_back(feature(column, column == "sms" ? static_cast<double>(sms) : value));
    }
    std::vector<std::vector<double>> features;
    std::vector<double> efficiencies;
    for (const CalibrationPoint& point : curve.points) {
        features.push_back(features_of(curve, point));
        const double share =
            sms_column < 0 ? 1 : point.columns[static_cast<std::size_t>(sms_column)] / all_sms;
        efficiencies.push_back(tflops(point.value) / (measured_peak * share));
    }
    const double efficiency = interpolate(features, efficiencies, at);
    const double share = static_cast<double>(sms) / all_sms;
    return Flops(op.work.matrix_flops.value(values)) / (peak * (share * efficiency));
}

Seconds RooflineCostModel::memory_time(const CalibrationCurve& curve, Bytes bytes) const {
    const int column = curve.column("bytes");
    std::vector<std::vector<double>> features;
    std::vector<double> rates;
    for (const CalibrationPoint& point : curve.points) {
        features.push_back(
            {column < 0
                 ? 0.0
                 : std::log2(std::max(1.0, point.columns[static_cast<std::size_t>(column)]))});
        rates.push_back(point.value);
    }
    const double at = column < 0 ? 0.0 : std::log2(std::max(1.0, bytes.value()));
    const double hbm = topology_.device.hbm.value();
    const double scale = hbm / (1e9 * constant("reference_hbm_gb_per_s", hbm / 1e9));
    return bytes / gb_per_s(interpolate(features, rates, {at}) * scale);
}

Seconds RooflineCostModel::compute(const ChunkTemplate& chunk, const Op& op,
                                   const SymbolValues& values, int sms) const {
    const ComputeOp& body = *op.compute();
    const Bytes bytes(body.work.read_bytes.value(values) + body.work.written_bytes.value(values));
    const CurveUse use = curve_of(chunk, op);
    R1_CHECK(use.curve != nullptr);
    if (kernel_signature(body.kernel)->cost_class == KernelClass::memory) {
        return memory_time(*use.curve, bytes) + launch_gap_;
    }
    if (body.work.matrix_flops.value(values) <= 0) {
        return launch_gap_;  // no rows were routed here
    }
    const Seconds matrix = matrix_time(*use.curve, body, values, sms);
    const Seconds memory = bytes / topology_.device.hbm;
    return std::max(matrix, memory) + launch_gap_;
}

Seconds RooflineCostModel::expert_exchange(const ExpertExchange& x) const {
    const CalibrationCurve& curve = *calibration_.curve(std::string(name(x.collective)));
    const bool one_node = x.group.nodes() == 1;
    const int ep = curve.column("ep");
    const int sms = curve.column("sms");
    const int overlapped = curve.column("overlapped");
    const int backward = curve.column("backward");
    const auto value = [](const CalibrationPoint& point, int column) {
        return column < 0 ? 0.0 : point.columns[static_cast<std::size_t>(column)];
    };
    // Points of the same links, then of the same surroundings and pass where there are such.
    std::vector<const CalibrationPoint*> points;
    const auto keep = [&points](auto matches) {
        std::vector<const CalibrationPoint*> kept;
        std::copy_if(points.begin(), points.end(), std::back_inserter(kept), matches);
        if (!kept.empty()) {
            points = std::move(kept);
        }
    };
    for (const CalibrationPoint& point : curve.points) {
        points.push_back(&point);
    }
    const double reference_node = 8;  // every published measurement has nodes of 8 GPUs
    keep([&](const CalibrationPoint* p) { return (value(*p, ep) <= reference_node) == one_node; });
    keep([&](const CalibrationPoint* p) { return (value(*p, overlapped) > 0) == x.overlapped; });
    keep([&](const CalibrationPoint* p) { return (value(*p, backward) > 0) == x.backward; });
    std::vector<std::vector<double>> features;
    std::vector<double> rates;
    for (const CalibrationPoint* point : points) {
        features.push_back({std::log2(std::max(1.0, value(*point, ep)))});
        // 20 SMs drive the links fully (arXiv 2412.19437, sec. 3.2.2); fewer, assumed, in
        // proportion.
        const double measured_sms = std::min(value(*point, sms), kSaturatingSms);
        const double share =
            measured_sms > 0 && x.sms > 0 ? std::min(1.0, x.sms / measured_sms) : 1.0;
        rates.push_back(point->value * share);
    }
    const double rate =
        interpolate(features, rates,
                    {std::log2(static_cast<double>(std::max<std::int64_t>(1, x.group.ranks)))});
    // DeepEP counts each copy of a token for a distinct node, its own included; on one node, for a
    // distinct rank. Rates scale with the links that they were measured on.
    const double copies = one_node ? x.traffic.ranks_per_token : x.traffic.nodes_per_token;
    const double nominal =
        one_node ? topology_.nvlink.bandwidth.value() : topology_.nic.bandwidth.value();
    const double reference = 1e9 * (one_node ? constant("reference_nvlink_gb_per_s", nominal / 1e9)
                                             : constant("reference_nic_gb_per_s", nominal / 1e9));
    return Bytes(static_cast<double>(x.tokens) * copies * x.token_bytes.value()) /
           gb_per_s(rate * nominal / reference);
}

std::optional<double> leave_one_out_error_percent(const CalibrationCurve& curve) {
    if (curve.points.size() < 2) {
        return std::nullopt;
    }
    const int sms = curve.column("sms");
    // Rates of matrix kernels scale with their SMs; the model interpolates the rate of one SM.
    const auto per_sm = [&](const CalibrationPoint& point) {
        const bool scales = curve.quantity == "tflops" && sms >= 0;
        return point.value / (scales ? point.columns[static_cast<std::size_t>(sms)] : 1);
    };
    std::vector<double> errors;
    for (std::size_t left_out = 0; left_out < curve.points.size(); ++left_out) {
        std::vector<std::vector<double>> features;
        std::vector<double> values;
        for (std::size_t i = 0; i < curve.points.size(); ++i) {
            if (i != left_out) {
                features.push_back(features_of(curve, curve.points[i]));
                values.push_back(per_sm(curve.points[i]));
            }
        }
        const CalibrationPoint& point = curve.points[left_out];
        const double predicted = interpolate(features, values, features_of(curve, point));
        errors.push_back(std::abs(predicted / per_sm(point) - 1) * 100);
    }
    const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
    std::nth_element(errors.begin(), middle, errors.end());
    return *middle;
}

}  // namespace r1
