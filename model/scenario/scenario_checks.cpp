#include "model/scenario/scenario_checks.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace r1 {

namespace {

// A replay holds some 30 activities of 300 bytes for each of these: 3 GB, 45 s. The largest
// published jobs have some 10^4.
constexpr std::int64_t kLayerPassesMax = 300'000;

// Checks that need more than one part of the scenario.
class CrossChecks {
public:
    CrossChecks(const Document& document, Diagnostics& diagnostics, Scenario& scenario)
        : document_(document), diagnostics_(diagnostics), s_(scenario) {}

    void run() {
        if (s_.workload.kind == WorkloadKind::expert_all_to_all) {
            expert_all_to_all();
        }
        spread_over_gpus();
        tensors();
        experts();
        batch();
        size();
        schedule();
        layers();
        node_limit();
        placement();
    }

private:
    void error(const std::string& pointer, const std::string& message) {
        diagnostics_.error(document_.diagnostic(pointer, message));
    }

    void spread_over_gpus() {
        ParallelPlan& plan = s_.plan;
        const std::int64_t gpus = s_.cluster.gpus();
        const std::int64_t tensor = plan.tensor_parallel;
        // Of one replica.
        const std::int64_t ranks = plan.pipeline_parallel * tensor;
        const std::string product =
            tensor == 1 ? std::to_string(ranks)
                        : fmt::format("{} x {} = {}", plan.pipeline_parallel, tensor, ranks);
        if (plan.data_parallel == 0) {
            if (ranks > gpus) {
                error("/plan/pipeline_parallel",
                      fmt::format("{} ranks do not fit on {} GPUs", product, gpus));
            } else if (gpus % ranks != 0) {
                error("/plan/pipeline_parallel",
                      fmt::format("{}does not divide the {} GPUs of the cluster; set data_parallel "
                                  "to leave some idle",
                                  tensor == 1 ? "" : product + ", with tensor_parallel, ", gpus));
            }
            plan.data_parallel = static_cast<int>(std::max<std::int64_t>(1, gpus / ranks));
        } else if (s_.ranks() > gpus) {
            error("/plan/data_parallel",
                  fmt::format("{} x {}{} = {} ranks do not fit on {} GPUs", plan.pipeline_parallel,
                              tensor == 1 ? "" : fmt::format("{} x ", tensor), plan.data_parallel,
                              s_.ranks(), gpus));
        }
    }

    // What a tensor-parallel group shares out.
    void tensors() {
        const std::int64_t tensor = s_.plan.tensor_parallel;
        if (tensor == 1) {
            return;
        }
        const auto refuse = [&](const std::string& why) {
            error("/plan/tensor_parallel", std::to_string(tensor) + " " + why);
        };
        if (s_.workload.kind != WorkloadKind::train) {
            refuse("ranks share the layers of training only in this version");
        }
        if (s_.model.q_lora_rank == 0) {
            refuse("ranks cannot share a query projection without q_lora_rank in this version");
        }
        if (s_.cluster.gpus_per_node % tensor != 0) {
            refuse(fmt::format("does not divide the {} GPUs of a node", s_.cluster.gpus_per_node));
        }
        const std::pair<const char*, std::int64_t> parts[] = {
            {"attention heads", s_.model.num_attention_heads},
            {"columns of the dense FFN", s_.model.intermediate_size},
            {"words of the vocabulary", s_.model.vocab_size},
            {"tokens of a micro-batch",
             s_.workload.micro_batch_sequences * s_.workload.sequence_length}};
        for (const auto& [what, count] : parts) {
            if (count % tensor != 0) {
                refuse(fmt::format("does not divide the {} {}", count, what));
            }
        }
    }

    void experts() {
        const ParallelPlan& plan = s_.plan;
        const std::int64_t ep = plan.expert_parallel;
        // A tensor-parallel group shares out its tokens, so its ranks are as good as replicas.
        const std::int64_t ranks = std::int64_t{plan.data_parallel} * plan.tensor_parallel;
        if (ranks % ep != 0) {
            error(
                "/plan/expert_parallel",
                fmt::format("{} does not divide data_parallel {}{}", ep, plan.data_parallel,
                            plan.tensor_parallel == 1 ? ""
                                                      : fmt::format(" x tensor_parallel {} = {}",
                                                                    plan.tensor_parallel, ranks)));
        }
        const std::int64_t copies = s_.model.n_routed_experts + plan.redundant_experts;
        if (s_.model.has_experts() && copies % ep != 0) {
            error(
                "/plan/expert_parallel",
                fmt::format("{} does not divide the {} routed and redundant experts", ep, copies));
        }
        const std::int64_t per_node = s_.cluster.gpus_per_node;
        if (ep > per_node ? ep % per_node != 0 : per_node % ep != 0) {
            error("/plan/expert_parallel",
                  fmt::format("groups of {} do not align with nodes of {} GPUs", ep, per_node));
        }
    }

    void batch() {
        const Workload& workload = s_.workload;
        const std::int64_t round = s_.plan.data_parallel * workload.micro_batch_sequences;
        if (workload.global_batch_sequences % round != 0) {
            error("/workload/global_batch_sequences",
                  fmt::format("{} is not a multiple of data_parallel x micro_batch_sequences = {}",
                              workload.global_batch_sequences, round));
        }
        s_.micro_batches = static_cast<int>(
            std::min<std::int64_t>(workload.global_batch_sequences / round, 1 << 24));
        // Tokens of an exchange alone have no positions.
        if (workload.kind != WorkloadKind::expert_all_to_all &&
            s_.model.max_position_embeddings > 0 &&
            workload.sequence_length > s_.model.max_position_embeddings) {
            error("/workload/sequence_length",
                  fmt::format("exceeds the model's max_position_embeddings {}",
                              s_.model.max_position_embeddings));
        }
    }

    void size() {
        const std::int64_t passes =
            s_.micro_batches * (s_.model.num_hidden_layers + s_.plan.pipeline_parallel);
        if (passes > kLayerPassesMax) {
            error(
                "/workload/global_batch_sequences",
                fmt::format("{} micro-batches a pipeline are too many for a replay: micro-batches "
                            "x (layers + pipeline ranks) = {}, at most {}; raise data_parallel or "
                            "micro_batch_sequences",
                            s_.micro_batches, passes, kLayerPassesMax));
            schedule_ok_ = false;  // its own limit would only repeat this
        }
    }

    void schedule() {
        if (!schedule_ok_) {
            return;
        }
        if (s_.workload.kind == WorkloadKind::prefill) {
            // Forward passes run in order whatever the schedule; one path through the stages.
            s_.plan.schedule = ScheduleKind::one_f_one_b;
            return;
        }
        if (s_.workload.kind == WorkloadKind::overlapped_pair) {
            overlapped_pair();
            return;
        }
        const ScheduleOptions options = s_.plan.schedule_options(s_.micro_batches);
        if (const auto problem = schedule_problem(options)) {
            const bool about_ranks =
                s_.plan.schedule == ScheduleKind::dualpipe && options.ranks % 2 != 0;
            error(about_ranks ? "/plan/pipeline_parallel" : "/plan/schedule", *problem);
            schedule_ok_ = false;
        }
    }

    // As DeepEP measures it: one group, a batch on each rank, and unless told otherwise the
    // experts, nodes a token and SMs of its tests.
    void expert_all_to_all() {
        const bool normal = s_.workload.kernel == ExpertKernels::normal;
        ParallelPlan& plan = s_.plan;
        if (!s_.model.has_experts()) {
            error("/model", "has no experts");
        }
        if (plan.pipeline_parallel != 1) {
            error("/plan/pipeline_parallel", "an expert all-to-all is on one pipeline rank");
        }
        plan.data_parallel = plan.data_parallel == 0 ? plan.expert_parallel : plan.data_parallel;
        s_.workload.global_batch_sequences = plan.data_parallel;
        s_.stage_layers = {0};
        schedule_ok_ = false;
        const std::int64_t ep = plan.expert_parallel;
        s_.model.n_routed_experts = s_.workload.experts;
        if (s_.workload.experts == 0) {  // at least so many
            s_.model.n_routed_experts = ((normal ? 256 : 288) + ep - 1) / ep * ep;
        }
        s_.model.num_experts_per_tok =
            std::min(s_.model.num_experts_per_tok, s_.model.n_routed_experts);
        s_.model.n_group = 1;
        s_.model.topk_group = 1;
        if (normal && document_.find("/routing/node_limit") == nullptr) {
            constexpr std::int64_t kNodesOfTests = 4;
            const std::int64_t nodes = std::max<std::int64_t>(1, ep / s_.cluster.gpus_per_node);
            s_.routing.node_limit = nodes == 1 ? 0 : std::min(kNodesOfTests, nodes);
        }
        if (normal && document_.find("/plan/comm_sms") == nullptr) {
            plan.comm_sms = 24;
        }
    }

    // One chunk on each rank, of layers that the model has; no schedule, no stages.
    void overlapped_pair() {
        schedule_ok_ = false;
        const std::int64_t moe = s_.model.num_hidden_layers - s_.model.first_k_dense_replace;
        if (!s_.model.has_experts() || s_.workload.layers > moe) {
            error("/workload/layers",
                  fmt::format("the model has {} MoE layers", s_.model.has_experts() ? moe : 0));
        }
        if (s_.plan.pipeline_parallel != 1) {
            error("/plan/pipeline_parallel", "an overlapped pair is on one pipeline rank");
        }
        if (s_.micro_batches != 1) {
            error("/workload/global_batch_sequences",
                  "an overlapped pair is of one micro-batch forward and one backward on each "
                  "rank: data_parallel x micro_batch_sequences");
        }
        s_.stage_layers = {s_.workload.layers, s_.workload.layers};
    }

    void layers() {
        const std::int64_t layers = s_.model.num_hidden_layers;
        if (!schedule_ok_) {
            return;
        }
        const std::int64_t stages = stage_count(s_.plan.schedule_options(s_.micro_batches));
        if (s_.plan.stage_layers.empty()) {
            if (stages - 1 > layers) {
                error("/plan/pipeline_parallel",
                      fmt::format("{} stages for {} layers", stages, layers));
                return;
            }
            s_.stage_layers = partition_layers(s_.model, s_.plan, s_.workload.sequence_length);
        } else {
            s_.stage_layers = s_.plan.stage_layers;
        }
        std::int64_t sum = 0;
        for (const std::int64_t count : s_.stage_layers) {
            sum += count;
        }
        const auto given = static_cast<std::int64_t>(s_.stage_layers.size());
        if (given != stages) {
            error("/plan/stage_layers", fmt::format("{} entries for {} stages", given, stages));
        } else if (sum != layers) {
            error("/plan/stage_layers",
                  fmt::format("add up to {}, the model has {} layers", sum, layers));
        } else {
            for (std::int64_t s = 0; s + 1 < given; ++s) {
                if (s_.stage_layers[static_cast<std::size_t>(s)] < 1) {
                    error(s_.plan.stage_layers.empty() ? "/plan/pipeline_parallel"
                                                       : fmt::format("/plan/stage_layers/{}", s),
                          fmt::format("stage {} has no decoder layer; only the last may be without",
                                      s));
                }
            }
        }
    }

    void node_limit() {
        if (s_.routing.node_limit == 0 || !s_.model.has_experts()) {
            return;
        }
        const std::int64_t nodes =
            std::max<std::int64_t>(1, s_.plan.expert_parallel / s_.cluster.gpus_per_node);
        const std::int64_t experts = s_.model.n_routed_experts;
        if (s_.routing.node_limit > nodes) {
            error("/routing/node_limit",
                  fmt::format("exceeds the {} nodes of an expert-parallel group", nodes));
        } else if (experts % nodes != 0 ||
                   s_.model.num_experts_per_tok > s_.routing.node_limit * (experts / nodes)) {
            error("/routing/node_limit",
                  fmt::format("{} nodes hold too few experts for the top {}", s_.routing.node_limit,
                              s_.model.num_experts_per_tok));
        }
    }

    void placement() {
        if (s_.routing.placement == PlacementPolicy::contiguous || !s_.model.has_experts()) {
            return;
        }
        if (s_.routing.source == RoutingSource::balanced) {
            error("/routing/placement",
                  "'balanced' goes by loads that differ: routing.source 'zipf' or 'router'");
        } else if (s_.routing.source == RoutingSource::captured) {
            error("/routing/placement",
                  "'balanced' needs what each token chose, and a binding says only which ranks "
                  "tokens went to: routing.source 'zipf' or 'router'");
        }
        const bool trains = s_.workload.kind == WorkloadKind::train ||
                            s_.workload.kind == WorkloadKind::overlapped_pair;
        if (trains && s_.plan.redundant_experts > 0) {
            error("/plan/redundant_experts",
                  fmt::format("must be 0 where '{}' has routing.placement 'balanced': the replicas "
                              "of an expert would have to add up their gradients, which no op of "
                              "the graph does",
                              name(s_.workload.kind)));
        }
    }

    const Document& document_;
    Diagnostics& diagnostics_;
    Scenario& s_;
    bool schedule_ok_ = true;
};

}  // namespace

void check_across_parts(const Document& document, Diagnostics& diagnostics, Scenario& scenario) {
    CrossChecks(document, diagnostics, scenario).run();
}

}  // namespace r1
