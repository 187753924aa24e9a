// Memory of whole training steps: against brute force, and what is published.
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "model/base/json.hpp"
#include "model/config/parameters.hpp"
#include "model/memory/memory_plan.hpp"
#include "model/workload/train.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

TrainingSetup long_sequence_setup(ScheduleKind schedule, int ranks, int micro_batches) {
    TrainingSetup setup;
    Diagnostics diagnostics;
    const Document document = Document::from_json(model_preset("tiny-r1"), "preset");
    setup.sizes.config = read_model_config(document, "", diagnostics);
    diagnostics.throw_if_errors();
    // Long enough for activations to outweigh the buffers of the optimizer.
    setup.sizes.sequence_length = 1024;
    setup.plan.schedule = schedule;
    setup.plan.pipeline_parallel = ranks;
    setup.plan.data_parallel = 2;
    setup.plan.expert_parallel = 2;
    setup.sizes.local_experts = setup.sizes.config.n_routed_experts / 2;
    setup.micro_batches = micro_batches;
    setup.stage_layers = partition_layers(setup.sizes.config, setup.plan, 1024);
    return setup;
}

// Fractions, as expected values are; of two, so that products are exact in any order.
constexpr SymbolValues kTinyBound = {4095 + 1.0 / 128, 3000 + 1.0 / 128};

// The same by brute force: every op of the program written out, one map of what is alive.
class MemoryOracle {
public:
    MemoryOracle(const ExecutionGraph& graph, const RankProgram& program,
                 const SymbolValues& bound) {
        for (std::size_t i = 0; i < program.items.size(); ++i) {
            const Item& at = program.items[i];
            for (const Op& op : graph.chunk(at.chunk).ops) {
                Step step;
                step.item = i;
                for (const TensorId id : op.inputs) {
                    add(step.reads, at, graph.chunk(at.chunk).tensors[id.index()], bound);
                }
                for (const TensorId id : op.outputs) {
                    add(step.writes, at, graph.chunk(at.chunk).tensors[id.index()], bound);
                }
                steps_.push_back(std::move(step));
            }
            for (const Tensor& tensor : graph.chunk(at.chunk).tensors) {
                add_state(at, tensor, bound);
            }
        }
    }

    RankMemory memory() {
        RankMemory result;
        std::map<Key, std::vector<std::pair<std::size_t, bool>>> uses;  // step, whether it writes
        for (std::size_t s = 0; s < steps_.size(); ++s) {
            for (const auto& [key, size] : steps_[s].reads) {
                uses[key].emplace_back(s, false);
            }
            for (const auto& [key, size] : steps_[s].writes) {
                uses[key].emplace_back(s, true);
            }
        }
        std::map<Key, double> live;
        double total = 0;
        for (std::size_t s = 0; s < steps_.size(); ++s) {
            for (const auto& [key, size] : steps_[s].writes) {
                REQUIRE(live.emplace(key, size).second);
                total += size;
            }
            if (total > result.activations_peak.value()) {
                result.activations_peak = Bytes(total);
                result.peak_item = ItemIndex(steps_[s].item);
                std::set<std::tuple<int, int, int>> contexts;
                for (const auto& [key, size] : live) {
                    if (std::get<2>(key) >= 0) {
                        contexts.emplace(std::get<0>(key), std::get<1>(key), std::get<2>(key));
                    }
                }
                result.micro_batches_at_peak = static_cast<int>(contexts.size());
            }
            for (const auto* touched : {&steps_[s].reads, &steps_[s].writes}) {
                for (const auto& [key, size] : *touched) {
                    if (live.count(key) == 1 && !read_again(uses[key], s)) {
                        live.erase(key);
                        total -= size;
                    }
                }
            }
        }
        REQUIRE(live.empty());
        result.weights = Bytes(sum(TensorRole::parameter));
        result.gradients = Bytes(sum(TensorRole::gradient));
        result.optimizer = Bytes(sum(TensorRole::optimizer_state));
        return result;
    }

private:
    using Key = std::tuple<int, int, int, std::string>;
    struct Step {
        std::size_t item = 0;
        std::map<Key, double> reads, writes;
    };

    static double size_of(const Tensor& tensor, const SymbolValues& bound) {
        double count = 1;
        for (const Extent& extent : tensor.shape) {
            count *= extent.value(bound);
        }
        return std::ceil(count * bits(tensor.dtype) / 8);
    }
    static void add(std::map<Key, double>& to, const Item& at, const Tensor& tensor,
                    const SymbolValues& bound) {
        const Context& context = at.contexts[tensor.context];
        if (tensor.role == TensorRole::activation) {
            to[{context.stage, context.direction, context.micro_batch, tensor.name}] =
                size_of(tensor, bound);
        }
    }
    void add_state(const Item& at, const Tensor& tensor, const SymbolValues& bound) {
        const bool whole =
            tensor.name.rfind("model.", 0) == 0 || tensor.name.rfind("lm_head.", 0) == 0;
        state_[tensor.role][{whole ? -1 : at.contexts[tensor.context].stage, tensor.name}] =
            size_of(tensor, bound);
    }
    static bool read_again(const std::vector<std::pair<std::size_t, bool>>& uses,
                           std::size_t after) {
        for (const auto& [step, writes] : uses) {
            if (step > after) {
                return !writes;
            }
        }
        return false;
    }
    double sum(TensorRole role) {
        double total = 0;
        for (const auto& [key, size] : state_[role]) {
            total += size;
        }
        return total;
    }

    std::vector<Step> steps_;
    std::map<TensorRole, std::map<std::pair<int, std::string>, double>> state_;
};

void check_against_oracle(const TrainingSetup& setup) {
    const ExecutionGraph graph = build_training_graph(setup);
    const MemoryPlan plan = plan_memory(graph, kTinyBound);
    REQUIRE(plan.programs.size() == graph.programs().size());
    for (std::size_t p = 0; p < plan.programs.size(); ++p) {
        const RankMemory expected = MemoryOracle(graph, graph.programs()[p], kTinyBound).memory();
        CAPTURE(name(setup.plan.schedule), p);
        const ItemIndex peak_item = plan.programs[p].peak_item;
        CHECK(is_chunk(graph.programs()[p].items[peak_item.index()].kind));
        CHECK(plan.programs[p].weights.value() == expected.weights.value());
        CHECK(plan.programs[p].gradients.value() == expected.gradients.value());
        CHECK(plan.programs[p].optimizer.value() == expected.optimizer.value());
        CHECK(plan.programs[p].activations_peak.value() == expected.activations_peak.value());
        CHECK(plan.programs[p].peak_item.value == expected.peak_item.value);
        CHECK(plan.programs[p].micro_batches_at_peak == expected.micro_batches_at_peak);
    }
}

TEST_CASE("memory: equals a brute-force walk over every op", "[model][memory]") {
    for (const std::string& schedule : schedule_names()) {
        check_against_oracle(long_sequence_setup(*parse_schedule_kind(schedule), 2, 8));
    }
    check_against_oracle(long_sequence_setup(ScheduleKind::dualpipe, 4, 10));
    TrainingSetup setup = long_sequence_setup(ScheduleKind::zb1p, 4, 6);
    setup.sizes.precision = {DType::bf16, DType::bf16, DType::bf16};
    setup.sizes.recompute = {false, false, false};
    setup.plan.zero_stage = 0;
    check_against_oracle(setup);
}

TEST_CASE("memory: as many micro-batches in flight as the published table says",
          "[model][memory]") {
    // reference/dualpipe.json, activations_per_device: 1F1B and ZB1P PP, DualPipe PP + 1.
    const auto in_flight = [](ScheduleKind kind, int ranks, int micro_batches) {
        const TrainingSetup setup = long_sequence_setup(kind, ranks, micro_batches);
        std::vector<int> result;
        const MemoryPlan plan = plan_memory(build_training_graph(setup), kTinyBound);
        for (const RankMemory& memory : plan.programs) {
            result.push_back(memory.micro_batches_at_peak);
        }
        return result;
    };
    CHECK(in_flight(ScheduleKind::one_f_one_b, 4, 8) == std::vector<int>{4, 3, 2, 1});
    CHECK(in_flight(ScheduleKind::zb1p, 4, 8).front() == 4);
    for (const int ranks : {2, 4, 6}) {
        for (const int count : in_flight(ScheduleKind::dualpipe, ranks, 2 * ranks + 4)) {
            CAPTURE(ranks);
            CHECK(count >= ranks);
            CHECK(count <= ranks + 1);
        }
    }
}

double activations(const TrainingSetup& setup) {
    double total = 0;
    for (const RankMemory& memory : plan_memory(build_training_graph(setup), kTinyBound).programs) {
        total += memory.activations_peak.value();
    }
    return total;
}

TEST_CASE("memory: FP8 and recomputation store less", "[model][memory]") {
    for (const std::string& schedule : schedule_names()) {
        CAPTURE(schedule);
        const TrainingSetup setup = long_sequence_setup(*parse_schedule_kind(schedule), 2, 8);
        const double published = activations(setup);
        TrainingSetup bf16 = setup;
        bf16.sizes.precision = {DType::bf16, DType::bf16, DType::bf16};
        CHECK(activations(bf16) > published);
        for (bool Recompute::*what :
             {&Recompute::rms_norm, &Recompute::mla_up_projection, &Recompute::swiglu}) {
            TrainingSetup stored = setup;
            stored.sizes.recompute.*what = false;
            CHECK(activations(stored) > published);
        }
    }
}

TEST_CASE("memory: state follows from the parameter count", "[model][memory]") {
    TrainingSetup setup = long_sequence_setup(ScheduleKind::one_f_one_b, 2, 4);
    setup.plan.data_parallel = 1;
    setup.plan.expert_parallel = 1;
    const ModelConfig& config = setup.sizes.config;
    setup.sizes.local_experts = config.n_routed_experts;
    double gradients = 0;
    double optimizer = 0;
    for (const RankMemory& memory : plan_memory(build_training_graph(setup), kTinyBound).programs) {
        gradients += memory.gradients.value();
        optimizer += memory.optimizer.value();
    }
    // All but the router's biases, which follow the experts' load, have FP32 gradients; so large
    // are the loads that are counted beside them. The MTP module of the last rank has a copy of
    // the embedding.
    const ParameterCounts counts = count_parameters(config);
    const std::int64_t moe_layers =
        config.num_hidden_layers - config.first_k_dense_replace + config.num_nextn_predict_layers;
    const std::int64_t elements = counts.total + counts.mtp +
                                  config.vocab_size * config.hidden_size -
                                  moe_layers * config.n_routed_experts;
    const double loads = 4 * static_cast<double>(moe_layers * config.n_routed_experts);
    CHECK(gradients == 4 * static_cast<double>(elements) + loads);
    // Adam with nothing to shard over: FP32 master and two BF16 moments, beside FP32 gradients.
    CHECK(optimizer == 8 * static_cast<double>(elements));
}

}  // namespace
}  // namespace r1
