// One dispatch and one combine of an expert-parallel group and nothing else, as communication
// libraries are measured (DeepEP's tests/test_internode.py, test_low_latency.py).
#pragma once

#include "model/graph/graph.hpp"
#include "model/workload/train.hpp"

namespace r1 {

// Which of DeepEP's kernels: `normal` ones send a token once to each node and forward it there,
// `low_latency` ones send a copy for each chosen expert straight to its GPU.
enum class ExpertKernels { normal, low_latency };

// A token's bytes on the wire are FP8 with a scale for each 128 values, or BF16, as the precision
// says; dispatches of low-latency kernels add a header of 16 bytes.
ExecutionGraph build_expert_all_to_all_graph(const TrainingSetup& setup, ExpertKernels kernels);

}  // namespace r1
