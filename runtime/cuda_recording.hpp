// Work of a CUDA stream as a CUDA graph.
#pragma once

#include <functional>
#include <memory>

#include "runtime/device.hpp"

namespace r1::cuda {

// What `work` gives to the calling thread's stream, recorded and not run. Throws CudaError if the
// driver refuses, and what `work` throws.
std::unique_ptr<Recording> record_graph(const std::function<void()>& work);

}  // namespace r1::cuda
