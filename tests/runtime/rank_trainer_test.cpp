// Training over ranks: whatever the schedule and the spread over ranks, the same losses and the
// same weights.
#include <cmath>
#include <map>
#include <string>

#include "model/base/rng.hpp"
#include "model/config/model_config.hpp"
#include "runtime/rank_trainer.hpp"
#include "runtime/thread_communicator.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/training_setup.hpp"

namespace r1 {
namespace {

constexpr std::int64_t kLength = 24;
constexpr std::int64_t kSequences = 16;

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

Json small_model() {
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

TrainingJob job_of(const Spread& spread, const Json& model) {
    TrainingJob job;
    TrainingSetup& setup = job.setup;
    setup.sizes.config = test::model_config(model);
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

std::vector<std::int32_t> sequence(std::int64_t step, std::int64_t index) {
    const Rng rng(7, static_cast<std::uint64_t>(step * kSequences + index));
    std::vector<std::int32_t> tokens;
    for (std::uint64_t i = 0; i < kLength; ++i) {
        tokens.push_back(static_cast<std::int32_t>(rng.uniform(i) * rng.uniform(i + 1000) * 96));
    }
    return tokens;
}

struct Result {
    std::vector<double> losses;
    std::map<std::string, std::vector<float>> weights;  // by the checkpoint's names
    Traffic traffic;
    std::int64_t copies_between_nodes = 0;
    std::int64_t copies_within_node = 0;
};

Result train(const TrainingJob& job, int steps) {
    const ExecutionGraph graph = build_training_graph(job.setup);
    const Dependencies dependencies(graph);
    set_cpu_threads(1);  // ranks are threads already
    Result result;
    std::mutex mutex;
    ThreadWorld world(graph.instances().ranks(), job.ranks_per_node);
    world.run([&](Communicator& communicator) {
        RankTrainer trainer(job, graph, dependencies, communicator, random_parameters(3));
        for (int step = 1; step <= steps; ++step) {
            TrainingStep numbers;
            numbers.learning_rate = 3e-3;
            numbers.gradient_norm_max = 1;
            numbers.step = step;
            const StepOutcome outcome =
                trainer.step([&](std::int64_t index) { return sequence(step, index); }, numbers);
            if (communicator.rank() == 0) {
                result.losses.push_back(outcome.loss);
            }
        }
        const std::lock_guard lock(mutex);
        for (const auto& [key, parameter] : trainer.state().parameters()) {
            const auto* values = reinterpret_cast<const float*>(parameter.weight.data.data());
            const std::size_t size = parameter.pieces.piece_elements;
            for (std::size_t i = 0; i < parameter.pieces.names.size(); ++i) {
                result.weights[parameter.pieces.names[i]].assign(values + i * size,
                                                                 values + (i + 1) * size);
            }
        }
    });
    return result;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference += std::pow(a[i] - b[i], 2);
        size += std::pow(b[i], 2);
    }
    return size == 0 ? std::sqrt(difference) : std::sqrt(difference / size);
}

void check_same(const Result& got, const Result& want) {
    REQUIRE(got.losses.size() == want.losses.size());
    for (std::size_t i = 0; i < got.losses.size(); ++i) {
        CHECK(got.losses[i] == Approx(want.losses[i]).epsilon(1e-5));
    }
    REQUIRE(got.weights.size() == want.weights.size());
    for (const auto& [name, values] : want.weights) {
        INFO(name);
        REQUIRE(got.weights.count(name) == 1);
        CHECK(distance(got.weights.at(name), values) <= 1e-5);
    }
}

constexpr Spread kAlone = {"alone", ScheduleKind::one_f_one_b};
constexpr Spread kSpreads[] = {
    {"1F1B", ScheduleKind::one_f_one_b, 4},
    {"DualPipe", ScheduleKind::dualpipe, 4},
    {"ZB1P", ScheduleKind::zb1p, 4},
    {"interleaved", ScheduleKind::interleaved, 2},
    {"DualPipeV", ScheduleKind::dualpipev, 2},
    {"data parallel", ScheduleKind::one_f_one_b, 1, 4},
    {"data parallel without ZeRO", ScheduleKind::one_f_one_b, 1, 4, 1, 1, 0, 0},
    {"experts over 4 nodes", ScheduleKind::one_f_one_b, 1, 4, 4, 1},
    {"experts over 2 nodes of 2", ScheduleKind::one_f_one_b, 1, 4, 4, 2},
    {"experts 4, pipeline 2, data 4", ScheduleKind::dualpipe, 2, 4, 4, 2},
};

}  // namespace

TEST_CASE("training: losses fall, and depend on nothing but data and seed", "[runtime][training]") {
    const Result a = train(job_of(kAlone, small_model()), 6);
    CHECK(a.losses.back() < a.losses.front() - 0.02);
    const Result b = train(job_of(kAlone, small_model()), 6);
    CHECK(a.losses == b.losses);
    CHECK(a.weights == b.weights);
}

TEST_CASE("training: schedules and ranks do not change the weights", "[runtime][training]") {
    const Result alone = train(job_of(kAlone, small_model()), 3);
    for (const Spread& spread : kSpreads) {
        INFO(spread.name);
        check_same(train(job_of(spread, small_model()), 3), alone);
    }
}

TEST_CASE("training: a node limit changes the choice, the same on all ranks",
          "[runtime][training]") {
    // Eight ranks on four nodes; each token goes to two of them. Alone, the groups are the nodes.
    const Spread wide = {"", ScheduleKind::one_f_one_b, 1, 8, 8, 2, 2};
    Json grouped = small_model();
    grouped["n_group"] = 4;
    grouped["topk_group"] = 2;
    check_same(train(job_of(wide, small_model()), 2), train(job_of(kAlone, grouped), 2));
}

}  // namespace r1
