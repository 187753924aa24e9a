// What an op costs on a device: work and bytes become time here, and only here.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/graph/op.hpp"
#include "model/routing/traffic.hpp"
#include "sim/cost/calibration.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {

// How an expert all-to-all runs, as far as its measured rate depends on it.
struct ExpertExchange {
    Collective collective = Collective::dispatch;
    Bytes token_bytes;  // one copy of one token
    std::int64_t tokens = 0;
    ExpertGroupShape group;
    ExpertTraffic traffic;
    int sms = 0;
    bool overlapped = false;  // beside the compute kernels of an overlapped chunk
    bool backward = false;
};

class CostModel {
public:
    virtual ~CostModel() = default;

    // Kernel time on `sms` SMs, launch included. `chunk` holds the op's tensors.
    [[nodiscard]] virtual Seconds compute(const ChunkTemplate& chunk, const Op& op,
                                          const SymbolValues& values, int sms) const = 0;
    // Shortest time of the exchange on idle links: what the communication kernels reach.
    [[nodiscard]] virtual Seconds expert_exchange(const ExpertExchange& exchange) const = 0;
};

// Which curve stands for a kernel, and how far that is from a measurement of the kernel itself.
struct CurveUse {
    const CalibrationCurve* curve = nullptr;
    bool borrowed = false;  // another kernel's curve
};

// Roofline with measured efficiencies: time = matrix FLOPs / (efficiency x peak x SM share), or
// bytes / measured rate, plus the launch gap. Efficiencies are interpolated between measured
// shapes (inverse squared distance in log space over the nearest points), so that a measured shape
// costs what was measured.
class RooflineCostModel : public CostModel {
public:
    // Both must outlive the model. Throws InputError if a curve that no kernel can do without is
    // missing.
    RooflineCostModel(const Calibration& calibration, const Topology& topology);

    [[nodiscard]] Seconds compute(const ChunkTemplate& chunk, const Op& op,
                                  const SymbolValues& values, int sms) const override;
    [[nodiscard]] Seconds expert_exchange(const ExpertExchange& exchange) const override;

    [[nodiscard]] CurveUse curve_of(const ChunkTemplate& chunk, const Op& op) const;

private:
    [[nodiscard]] Seconds matrix_time(const CalibrationCurve& curve, const ComputeOp& op,
                                      const SymbolValues& values, int sms) const;
    [[nodiscard]] Seconds memory_time(const CalibrationCurve& curve, Bytes bytes) const;
    [[nodiscard]] double constant(const std::string& name, double fallback) const;

    const Calibration& calibration_;
    const Topology& topology_;
    Seconds launch_gap_;
};

// Inverse-squared-distance interpolation of `values` over log-space `features`: the value of a
// point that is hit exactly (the mean, if several), else a weighted mean of the nearest four.
double interpolate(const std::vector<std::vector<double>>& features,
                   const std::vector<double>& values, const std::vector<double>& at);

// Median over the points of a curve of |predicted by the other points / measured - 1|, in per cent;
// nothing for a single point. Points of equal columns count as one another's neighbours.
std::optional<double> leave_one_out_error_percent(const CalibrationCurve& curve);

}  // namespace r1
