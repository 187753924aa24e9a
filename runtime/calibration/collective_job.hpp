// Which collectives a calibration measures, by size and number of GPUs, and what a time makes of
// them. Knows no device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/calibration/measurement.hpp"

namespace r1 {

// One point of a curve of that kernel; the size is that of model/base/collective_bus.hpp.
struct CollectiveJob {
    std::string kernel;  // all_reduce, all_gather, reduce_scatter, all_to_all
    int ranks = 0;
    std::int64_t bytes = 0;  // a multiple of the ranks times 16
};

// 1 KiB to 1 GiB, or as much as `buffer_bytes_max` allows, over 2, 4, … and all GPUs; all of one
// number of GPUs together. None for fewer than two GPUs.
std::vector<CollectiveJob> collective_jobs(int gpus, double buffer_bytes_max);

std::string describe(const CollectiveJob& job);  // "all_reduce 1024 bytes over 2 GPUs"
// How often it runs between two events, so that starting it does not count: more the smaller it is.
int collective_repetitions(const CollectiveJob& job);
double estimate_s(const CollectiveJob& job);

// `timing`: of one collective, on the GPU where it took longest.
void add_collective(MeasuredCalibration& calibration, const CollectiveJob& job,
                    const Timing& timing, const std::string& ran);

// The bus bandwidth of the largest all_to_all over most GPUs: what NVLink gives messages between
// all of a machine's GPUs at once. Nothing without one.
void add_collective_constants(MeasuredCalibration& calibration);

}  // namespace r1
