// Measured points of kernels and links ("r1sim.calibration/1"), each with its source row.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"

namespace r1 {

struct CalibrationPoint {
    std::vector<double> columns;  // in the order of the curve's columns
    double value = 0;
    std::string source;  // key of Calibration::sources
    std::string row;
};

struct CalibrationCurve {
    std::string kernel;
    std::string quantity;  // tflops, gb_per_s, logical_gb_per_s, bus_gb_per_s, us
    std::vector<std::string> columns;
    std::vector<CalibrationPoint> points;

    // -1 if the curve has no such column.
    [[nodiscard]] int column(const std::string& name) const;
};

struct CalibrationSource {
    std::string level;  // measured, calibrated, datasheet, assumed
    std::string file;   // of the reference measurements
    std::string text;
    // Whose kernels were measured: sources of one implementation share a factor. Empty: their own.
    std::string implementation;
};

struct Calibration {
    std::string name;
    std::string device;
    std::string implementation;  // whose kernels are predicted
    std::map<std::string, CalibrationSource> sources;
    std::vector<CalibrationCurve> curves;
    std::map<std::string, double> constants;
    std::vector<std::string> left_out;  // of `leave_out`: what names a point or constant

    // nullptr if there is none.
    [[nodiscard]] const CalibrationCurve* curve(const std::string& kernel) const;
};

Calibration read_calibration(const Document& document, const std::string& pointer,
                             Diagnostics& diagnostics);

// Throws InputError.
Document load_calibration(const std::string& file_or_preset,
                          const std::filesystem::path& base = {});

}  // namespace r1
