// How fast the resources of a step are against what its scenario says, and hardware that is so.
#pragma once

#include "sim/resources.hpp"

namespace r1 {

// Factors on rates; 1: as they are. matrix_units and hbm are those of the device (its peaks are one
// rate here), nvlink and network the bandwidths of links and what exchanges reach over them. rest:
// all that is fixed, as if it had a rate: launches, gaps, helper kernels, latencies, waits, and
// what the SMs of an exchange can move.
struct Speeds {
    double matrix_units = 1;
    double hbm = 1;
    double nvlink = 1;
    double network = 1;
    double rest = 1;
};

// All but the rest, which is no property of hardware: a step at `speeds` takes 1 / rest times as
// long as on hardware whose other speeds are divided by rest, since all times scale together.
Hardware at_speeds(const Hardware& hardware, const Speeds& speeds);

}  // namespace r1
