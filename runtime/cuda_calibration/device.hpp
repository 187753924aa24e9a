// Which GPU this is, and its clock while it works.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "runtime/calibration/measurement.hpp"

namespace r1::cuda {

// Makes it the current device and reads what a calibration file says of it. Throws FeatureError if
// there is no such device, or none that these kernels were compiled for.
MeasuredDevice open_device(int index);

// The management library, if the driver brought it: loaded at run time, so that the program links
// and starts without it. Every answer may be missing.
class DeviceMonitor {
public:
    explicit DeviceMonitor(int device);
    ~DeviceMonitor();
    DeviceMonitor(const DeviceMonitor&) = delete;
    DeviceMonitor& operator=(const DeviceMonitor&) = delete;

    [[nodiscard]] std::optional<double> power_limit_w() const;
    [[nodiscard]] std::optional<double> sm_clock_mhz() const;
    [[nodiscard]] std::string driver_version() const;  // empty: unknown

private:
    struct Library;
    std::unique_ptr<Library> library_;  // null: not there
};

}  // namespace r1::cuda
