// Which kernels a graph needs, known before a rank or a device does anything: all that a device
// lacks is said at once. The checks where kernels are called (op_kernels.hpp) stay as a guard.
#pragma once

#include <functional>
#include <set>
#include <string_view>
#include <vector>

#include "model/graph/graph.hpp"
#include "runtime/device.hpp"

namespace r1 {

// By the names of KernelSet's members: of all ops, whichever rank runs them, of the messages that
// devices pack and add up, and of storing parameters.
std::set<std::string_view> required_kernels(const ExecutionGraph& graph, const ModelConfig& config,
                                            const ExecutionPolicy& policy);

// Throws FeatureError with the names of those that `devices` lack.
void require_kernels(const std::vector<std::reference_wrapper<const ExecutionGraph>>& graphs,
                     const ModelConfig& config, const ExecutionPolicy& policy,
                     const DeviceKind& devices);

}  // namespace r1
