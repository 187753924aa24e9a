// Devices that lie in a library beside the program, so that it starts, and starts fast, without
// what they need.
#pragma once

#include "runtime/device.hpp"

namespace r1 {

// cuda_devices() of libr1_cuda.so (runtime/cuda_device.hpp). Throws FeatureError where the build or
// the machine has no such thing.
DeviceKind load_cuda_devices(int index);

}  // namespace r1
