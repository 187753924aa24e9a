// How a workload is spread over GPUs. GPUs = pipeline x data x tensor; expert parallelism lies
// inside data parallelism.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/base/dtype.hpp"
#include "model/base/json_fwd.hpp"
#include "model/config/model_config.hpp"
#include "model/schedule/schedule.hpp"

namespace r1 {

// What the backward pass computes again instead of storing (arXiv 2412.19437, sec. 3.2.3).
struct Recompute {
    bool rms_norm = true;
    bool mla_up_projection = true;
    bool swiglu = true;

    bool operator==(const Recompute&) const = default;
};

struct Precision {
    DType gemm = DType::e4m3;      // e4m3: FP8 with 1x128 / 128x128 scales; bf16
    DType dispatch = DType::e4m3;  // e4m3 or bf16
    DType combine = DType::bf16;

    bool operator==(const Precision&) const = default;
};

struct ParallelPlan {
    int pipeline_parallel = 1;
    int expert_parallel = 1;
    int data_parallel = 0;  // 0: the rest of the cluster
    int tensor_parallel = 1;
    int virtual_stages = 2;  // interleaved only
    ScheduleKind schedule = ScheduleKind::dualpipe;
    std::vector<std::int64_t> stage_layers;  // decoder layers of each stage; empty: default
    int zero_stage = 1;
    int comm_sms = 20;
    Recompute recompute;
    std::int64_t routed_capacity = 0;  // token copies a rank has room for; 0: what it gets
    int redundant_experts = 0;

    [[nodiscard]] ScheduleOptions schedule_options(int micro_batches) const {
        return {schedule, pipeline_parallel, micro_batches, virtual_stages};
    }

    bool operator==(const ParallelPlan&) const = default;
};

// Reads the members of a scenario's "plan".
ParallelPlan read_parallel_plan(ObjectReader reader);
// Reads the members of "workload.precision".
Precision read_precision(ObjectReader reader);

// Decoder layers by stage: plan.stage_layers if given, else the contiguous partition that makes
// the largest stage's FLOPs smallest (then the sum of squares smallest, then the longest stages
// first). The first stage also holds the embedding, the last one the head and the MTP module.
std::vector<std::int64_t> partition_layers(const ModelConfig& config, const ParallelPlan& plan,
                                           std::int64_t sequence_length);

}  // namespace r1
