#include "sim/speeds.hpp"

#include <string>

namespace r1 {

Hardware at_speeds(const Hardware& hardware, const Speeds& speeds) {
    Hardware other = hardware;
    // Measured rates belong to the hardware that they were measured on: where a calibration does
    // not say which, it is the one that is given, and no longer that when rates change.
    const DeviceSpec& device = hardware.topology.device;
    const auto measured_on = [&](const char* constant, double value) {
        other.calibration.constants.try_emplace(constant, value);
    };
    measured_on("reference_bf16_tflops", device.peak(DType::bf16).value() / 1e12);
    measured_on("reference_fp8_tflops", device.peak(DType::e4m3).value() / 1e12);
    measured_on("reference_hbm_gb_per_s", device.hbm.value() / 1e9);
    measured_on("reference_nvlink_gb_per_s", hardware.topology.nvlink.achievable().value() / 1e9);
    measured_on("reference_nic_gb_per_s", hardware.topology.nic.bandwidth.value() / 1e9);

    const double matrix_units = speeds.matrix_units / speeds.rest;
    other.topology.device.peak_bf16 = device.peak_bf16 * matrix_units;
    other.topology.device.peak_fp8 = device.peak_fp8 * matrix_units;
    other.topology.device.peak_fp32 = device.peak_fp32 * matrix_units;
    other.topology.device.hbm = device.hbm * (speeds.hbm / speeds.rest);
    other.topology.nvlink.bandwidth =
        hardware.topology.nvlink.bandwidth * (speeds.nvlink / speeds.rest);
    other.topology.nic.bandwidth = hardware.topology.nic.bandwidth * (speeds.network / speeds.rest);
    return other;
}

}  // namespace r1
