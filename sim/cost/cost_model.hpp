// What an op costs on a device: work and bytes become time here, and only here.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "model/graph/op.hpp"
#include "sim/cost/calibration.hpp"
#include "sim/cost/curve_model.hpp"
#include "sim/cost/expert_exchange.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {

// Time of a compute op: first nothing runs, then its kernels do.
struct OpTime {
    Seconds gap;   // until the first kernel starts, and between kernels: launches, dependencies
    Seconds busy;  // its kernel, and helper kernels before it
    // Of `busy`, what goes by the rate of the matrix units and by that of HBM. The rest is fixed:
    // launches, and helper kernels.
    Seconds matrix_units{};
    Seconds hbm{};

    [[nodiscard]] Seconds total() const { return gap + busy; }
    void scale_busy(double factor) {
        busy = busy * factor;
        matrix_units = matrix_units * factor;
        hbm = hbm * factor;
    }
    [[nodiscard]] RateShares shares_of_busy() const {
        return busy.value() > 0 ? RateShares{matrix_units / busy, hbm / busy} : RateShares{};
    }
};

class CostModel {
public:
    virtual ~CostModel() = default;

    // On `sms` SMs. `chunk` holds the op's tensors.
    [[nodiscard]] virtual OpTime compute(const ChunkTemplate& chunk, const Op& op,
                                         const SymbolValues& values, int sms) const = 0;
    // Shortest time of the exchange on idle links: what the communication kernels reach.
    [[nodiscard]] virtual ExchangeTime expert_exchange(
        const ExpertExchangeCall& exchange) const = 0;
    // Shortest time of a ring between GPUs of one NVLink domain; zero where none was measured.
    // `bytes`: of the larger of a rank's buffers, as in model/base/collective_bus.hpp.
    [[nodiscard]] virtual Seconds node_collective(Collective collective, std::int64_t ranks,
                                                  Bytes bytes) const = 0;
    // How long ranks wait for each other before an exchange.
    [[nodiscard]] virtual Seconds notify() const = 0;
};

// Which curve stands for a kernel, and how far that is from a measurement of the kernel itself.
struct CurveUse {
    const CurveModel* model = nullptr;
    bool borrowed = false;  // another kernel's curve
};

// Time from the fitted curves of a calibration (curve_model.hpp), scaled by the device's peaks.
class FittedCostModel : public CostModel {
public:
    // Both must outlive the model. Throws InputError if a curve that no kernel can do without is
    // missing.
    FittedCostModel(const Calibration& calibration, const Topology& topology);

    [[nodiscard]] OpTime compute(const ChunkTemplate& chunk, const Op& op,
                                 const SymbolValues& values, int sms) const override;
    // Throws InputError if the calibration lacks the curve of low-latency kernels.
    [[nodiscard]] ExchangeTime expert_exchange(const ExpertExchangeCall& exchange) const override;
    // What was measured on other links (constant nvlink_bus_gb_per_s) is, but for its launch, as
    // much longer or shorter.
    [[nodiscard]] Seconds node_collective(Collective collective, std::int64_t ranks,
                                          Bytes bytes) const override;
    [[nodiscard]] Seconds notify() const override;

    // The curve of links that an exchange of `ranks` goes by; nullptr where one of just these
    // kernels was measured, which says more than their bytes, or there is no such curve.
    [[nodiscard]] const CurveModel* links_of(Collective collective, std::int64_t ranks,
                                             bool overlapped) const;
    // Of a compute op.
    [[nodiscard]] CurveUse curve_of(const ChunkTemplate& chunk, const Op& op) const;
    // Whether the op's shape lies outside of what its curve was measured for.
    [[nodiscard]] bool extrapolates(const ChunkTemplate& chunk, const Op& op,
                                    const SymbolValues& values, int sms) const;
    // nullptr if the calibration has no such curve.
    [[nodiscard]] const CurveModel* model(const std::string& kernel) const;

private:
    [[nodiscard]] OpTime overhead(const Op& op, double bytes) const;
    [[nodiscard]] CurveTime accumulation(const ComputeOp& op,
                                         const std::map<std::string, double>& columns) const;
    [[nodiscard]] DeviceScale scale_of(const std::string& curve) const;
    [[nodiscard]] double constant(const std::string& name, double fallback) const;

    const Calibration& calibration_;
    const Topology& topology_;
    std::map<std::string, CurveModel> models_;
};

}  // namespace r1
