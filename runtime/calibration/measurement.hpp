// What a calibration run finds: points by kernel, and the device that they were taken on. Plain
// data, so that documents and tests need no device.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace r1 {

// Repetitions of one operation.
struct Timing {
    double median_us = 0;
    double spread = 0;  // interquartile range over the median
    int repetitions = 0;
};

// Of at least one time; the order does not matter.
Timing summarize(std::vector<double> times_us);

struct MeasuredPoint {
    std::vector<double> columns;  // in the order of the curve's columns
    double value = 0;             // in the curve's quantity
    Timing timing;
    std::optional<double> sm_clock_mhz;  // right afterwards
    std::string ran;                     // what exactly: library, algorithm, scaling, streams
    std::string derivation;              // from the time to the value
};

inline constexpr const char* kKernelSource = "cuda.measured";  // key of the file's sources
inline constexpr const char* kCollectiveSource = "nccl.measured";

struct MeasuredCurve {
    std::string kernel;    // as the graph or the calibration format names it
    std::string quantity;  // tflops, gb_per_s, bus_gb_per_s
    std::vector<std::string> columns;
    std::vector<MeasuredPoint> points;
    std::string source = kKernelSource;
};

struct MeasuredConstant {
    std::string name;
    double value = 0;
    std::string row;
    std::string source = kKernelSource;
};

struct LeftOut {
    std::string kernel;
    std::string what;
    std::string why;
};

// Absent is unknown: not every driver tells.
struct MeasuredDevice {
    std::string name;
    int sms = 0;
    std::string compute_capability;
    double memory_gb = 0;
    double l2_mb = 0;
    double sm_clock_max_mhz = 0;
    double memory_clock_max_mhz = 0;
    std::optional<double> power_limit_w;
    std::optional<double> sm_clock_seen_min_mhz;  // right after measurements
    std::optional<double> sm_clock_seen_max_mhz;
    std::string driver;  // empty: unknown
    std::string cuda_driver_api;
    std::string cuda_runtime;
    std::string cublaslt;
};

struct MeasuredCalibration {
    MeasuredDevice device;  // of a GPU
    std::vector<MeasuredCurve> curves;
    std::vector<MeasuredConstant> constants;
    std::vector<LeftOut> left_out;
    double seconds = 0;
    bool interrupted = false;  // incomplete because someone said stop; not worth a file
};

// Adds to the curve of that kernel, which is made when it is not there.
void add_point(MeasuredCalibration& calibration, const std::string& kernel,
               const std::string& quantity, const std::vector<std::string>& columns,
               MeasuredPoint point, const std::string& source = kKernelSource);

}  // namespace r1
