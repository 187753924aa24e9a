// A model of a few thousand parameters, its training jobs and their data.
#pragma once

#include <cstdint>
#include <vector>

#include "model/base/rng.hpp"
#include "model/config/model_config.hpp"
#include "runtime/rank_trainer.hpp"
#include "tests/support/training_setup.hpp"

namespace r1::test {

inline constexpr std::int64_t kLength = 24;
inline constexpr std::int64_t kSequences = 16;

struct Spread {
    const char* name;
    ScheduleKind schedule;
    int pipeline = 1;
    int data = 1;
    int expert = 1;
    int ranks_per_node = 1;
    std::int64_t node_limit = 0;
    int zero_stage = 1;
};

inline Json small_model() {
    Json config = model_preset("tiny-r1");
    config["vocab_size"] = 96;
    config["hidden_size"] = 32;
    config["intermediate_size"] = 48;
    config["moe_intermediate_size"] = 16;
    config["num_hidden_layers"] = 7;
    config["num_attention_heads"] = 2;
    config["n_routed_experts"] = 16;
    config["num_experts_per_tok"] = 4;
    config["n_group"] = 4;
    config["topk_group"] = 2;
    config["q_lora_rank"] = 16;
    config["kv_lora_rank"] = 8;
    config["qk_nope_head_dim"] = 8;
    config["qk_rope_head_dim"] = 4;
    config["v_head_dim"] = 8;
    return config;
}

inline TrainingJob job_of(const Spread& spread, const Json& model) {
    TrainingJob job;
    TrainingSetup& setup = job.setup;
    setup.sizes.config = model_config(model);
    setup.sizes.precision = {DType::bf16, DType::bf16, DType::bf16};
    setup.sizes.sequence_length = kLength;
    setup.plan.schedule = spread.schedule;
    setup.plan.pipeline_parallel = spread.pipeline;
    setup.plan.data_parallel = spread.data;
    setup.plan.expert_parallel = spread.expert;
    setup.plan.zero_stage = spread.zero_stage;
    setup.sizes.local_experts = setup.sizes.config.n_routed_experts / spread.expert;
    setup.micro_batches = static_cast<int>(kSequences / spread.data);
    setup.stage_layers = partition_layers(setup.sizes.config, setup.plan, kLength);
    job.ranks_per_node = spread.ranks_per_node;
    job.node_limit = spread.node_limit;
    job.f32_moments = true;
    return job;
}

inline std::vector<std::int32_t> sequence(std::int64_t step, std::int64_t index) {
    const Rng rng(7, static_cast<std::uint64_t>(step * kSequences + index));
    std::vector<std::int32_t> tokens;
    for (std::uint64_t i = 0; i < kLength; ++i) {
        tokens.push_back(static_cast<std::int32_t>(rng.uniform(i) * rng.uniform(i + 1000) * 96));
    }
    return tokens;
}

}  // namespace r1::test
