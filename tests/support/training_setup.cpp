#include "tests/support/training_setup.hpp"

namespace r1::test {

ModelConfig model_config(const Json& json) {
    Diagnostics diagnostics;
    ModelConfig config = read_model_config(Document::from_json(json, "test"), "", diagnostics);
    diagnostics.throw_if_errors();
    return config;
}

TrainingSetup tiny_setup(ScheduleKind schedule, int ranks, int micro_batches, const Json& model) {
    TrainingSetup setup;
    setup.sizes.config = model_config(model);
    setup.sizes.sequence_length = 128;
    setup.plan.schedule = schedule;
    setup.plan.pipeline_parallel = ranks;
    setup.plan.data_parallel = 4;
    setup.plan.expert_parallel = 2;
    setup.sizes.local_experts = setup.sizes.config.n_routed_experts / setup.plan.expert_parallel;
    setup.micro_batches = micro_batches;
    setup.stage_layers =
        partition_layers(setup.sizes.config, setup.plan, setup.sizes.sequence_length);
    return setup;
}

Json variant(const std::string& name) {
    Json json = model_preset("tiny-r1");
    if (name == "no q_lora") {
        json["q_lora_rank"] = nullptr;
    } else if (name == "no shared experts") {
        json["n_shared_experts"] = 0;
    } else if (name == "two shared experts") {
        json["n_shared_experts"] = 2;
    } else if (name == "dense") {
        json["n_routed_experts"] = 0;
    } else if (name == "no MTP") {
        json["num_nextn_predict_layers"] = 0;
    } else if (name == "tied") {
        json["tie_word_embeddings"] = true;
    } else if (name == "tied, no MTP") {
        json["tie_word_embeddings"] = true;
        json["num_nextn_predict_layers"] = 0;
    } else if (name == "greedy") {
        json["topk_method"] = "greedy";
        json["n_group"] = 1;
        json["topk_group"] = 1;
    } else if (name == "dense, no MTP, no q_lora") {
        json["n_routed_experts"] = 0;
        json["num_nextn_predict_layers"] = 0;
        json["q_lora_rank"] = nullptr;
    }
    return json;
}

const std::vector<std::string>& variants() {
    static const std::vector<std::string> names = {"R1",
                                                   "no q_lora",
                                                   "no shared experts",
                                                   "two shared experts",
                                                   "dense",
                                                   "no MTP",
                                                   "tied",
                                                   "tied, no MTP",
                                                   "greedy",
                                                   "dense, no MTP, no q_lora"};
    return names;
}

Recompute recompute_of(int bits) { return {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0}; }

SymbolValues balanced(const LayerSizes& sizes) {
    const double rows = static_cast<double>(sizes.tokens() * sizes.config.num_experts_per_tok);
    return {rows, rows};
}

}  // namespace r1::test
