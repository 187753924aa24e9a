// How time follows from a kernel's shape: the formulas whose few parameters are fitted to measured
// points.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

namespace r1 {

// What the formulas need of a kernel. Zero where a kernel has no such thing.
struct KernelShape {
    double flops = 0;  // on tensor cores
    double bytes = 0;
    double m = 0;  // of one group
    double n = 0;
    double k = 0;
    double groups = 1;
    double sms = 1;
    double waves = 0;  // of output tiles, and the area of one in units of 128 x 128
    double tile_area = 0;
    // Expert all-to-all: what its bytes take at the links' own rates, and which kernels move them.
    double nvlink_us = 0;
    double rdma_us = 0;
    bool forwarded = false;  // over NVLink, after InfiniBand
    bool low_latency = false;
    // The same through SMs: of each token, the bytes that they copy and what links take at best.
    double tokens = 0;
    double nvlink_bytes = 0;
    double rdma_bytes = 0;
    double link_us = 0;
};

// Peaks of the device that was measured over those of the device that is predicted.
struct DeviceScale {
    double compute = 1;
    double memory = 1;
};

enum class CurveForm {
    constant,    // t = a
    affine,      // t = a + bytes x b: absolute errors count, not relative ones
    rate,        // t = bytes / b
    bytes,       // t = a + bytes / b
    per_sm,      // t = a + bytes / (r x SMs)
    efficiency,  // t = flops / (r x SMs)
    compute,     // t = a + flops / (r x SMs)
    roofline,    // t = a + max(flops / (r x SMs), bytes / b)
    // GEMM in waves of output tiles:
    // t = a + max(waves x (k/128 x (c x tile area + d) + e), bytes / b)
    waves,
    // t = a if low-latency + max(NVLink time / f if forwarded, RDMA time / e)
    links,
    // t = a + (tokens + c x SMs, at most twice the tokens) x
    //         max((NVLink bytes / n + RDMA bytes / r) / SMs, link time)
    copies,
};
std::string name(CurveForm form);

struct FormParameter {
    std::string name;
    std::string unit;
    double start = 1;  // of the fit; all parameters are positive
};
const std::vector<FormParameter>& parameters(CurveForm form);

// Microseconds. `p` in the order of parameters(form).
double time_us(CurveForm form, std::span<const double> p, const KernelShape& shape,
               const DeviceScale& scale);

// How much of a time goes by each rate of the device: d log(time) / d log(scale), so that time and
// shares together say, to first order, what another scale makes of it. The rest is fixed: launches,
// and forms that know no rate.
struct RateShares {
    double compute = 0;
    double memory = 0;
};
RateShares rate_shares(CurveForm form, std::span<const double> p, const KernelShape& shape,
                       const DeviceScale& scale);

// Sets waves and tile_area of a GEMM as DeepGEMM chooses (csrc/heuristics): blocks of 64 or 128
// rows and a multiple of 8 columns up to 160; the fewest waves, and of those the smallest tile.
void choose_tiling(KernelShape& shape);

// The shape that the columns of a curve name, for a kernel of this name ("gemm_fp8": one byte a
// value and its scales).
KernelShape shape_of(const std::string& kernel, const std::map<std::string, double>& columns);

}  // namespace r1
