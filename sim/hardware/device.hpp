// One accelerator, from a device file ("r1sim.device/1"). Peaks are dense and nominal; what kernels
// reach of them is a matter of the calibration files.
#pragma once

#include <map>
#include <string>

#include "model/base/dtype.hpp"
#include "model/base/json_fwd.hpp"
#include "model/base/units.hpp"

namespace r1 {

// GB/s, TFLOPS, GB or W: far beyond any hardware, and products of them stay finite.
inline constexpr Range kRate{1e-9, 1e9};
inline constexpr Range kLatencyUs{0, 1e9};

// What a field of a file rests on, by field name ("memory_gb", "nvlink.latency_us").
using Sources = std::map<std::string, std::string>;

struct DeviceSpec {
    std::string name;
    int sms = 0;         // streaming multiprocessors, or cores of a CPU
    Bytes memory;        // capacity, decimal in the file: 1 GB = 1e9 B
    BytesPerSecond hbm;  // nominal
    FlopsPerSecond peak_bf16;
    FlopsPerSecond peak_fp8;   // 0: no FP8 units
    FlopsPerSecond peak_fp32;  // outside the matrix units; 0: not stated
    Watts power;               // board power limit
    Sources sources;

    // Dense peak of the units that multiply `dtype`. Formats without units of their own run on
    // those of the next wider format that the device has.
    [[nodiscard]] FlopsPerSecond peak(DType dtype) const;
};

// Reads the object at `pointer`; problems go to `diagnostics`.
DeviceSpec read_device(const Document& document, const std::string& pointer,
                       Diagnostics& diagnostics);

// The "sources" object of a device or topology file: text by field name.
Sources read_sources(ObjectReader& reader);

}  // namespace r1
