// Training over ranks: whatever the schedule and the spread over ranks, the same losses and the
// same weights.
#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/cpu_device.hpp"
#include "runtime/rank_trainer.hpp"
#include "runtime/run_memory.hpp"
#include "runtime/thread_communicator.hpp"
#include "tests/runtime/small_training.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/relative_distance.hpp"

namespace r1 {
namespace {

using test::job_of;
using test::small_model;
using test::Spread;

struct Result {
    std::vector<double> losses;
    std::map<std::string, std::vector<float>> weights;  // by the checkpoint's names
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
            const StepOutcome outcome = trainer.step(
                [&](std::int64_t index) { return test::sequence(step, index); }, numbers);
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

void check_same_training(const Result& got, const Result& want) {
    REQUIRE(got.losses.size() == want.losses.size());
    for (std::size_t i = 0; i < got.losses.size(); ++i) {
        CHECK(got.losses[i] == Approx(want.losses[i]).epsilon(1e-5));
    }
    REQUIRE(got.weights.size() == want.weights.size());
    for (const auto& [name, values] : want.weights) {
        INFO(name);
        REQUIRE(got.weights.count(name) == 1);
        CHECK(test::relative_distance(got.weights.at(name), values) <= 1e-5);
    }
}

constexpr Spread kAlone = {"alone", ScheduleKind::one_f_one_b};
constexpr Spread kTrainedSpreads[] = {
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
    set_cpu_turns(true);
    const Result b = train(job_of(kAlone, small_model()), 6);
    set_cpu_turns(false);
    CHECK(a.losses == b.losses);
    CHECK(a.weights == b.weights);
}

TEST_CASE("training: schedules and ranks do not change the weights", "[runtime][training][slow]") {
    const Result alone = train(job_of(kAlone, small_model()), 2);
    for (const Spread& spread : kTrainedSpreads) {
        INFO(spread.name);
        check_same_training(train(job_of(spread, small_model()), 2), alone);
    }
}

TEST_CASE("training: FP8 gradients are as exact in a large batch as in a small one",
          "[runtime][training][fp8]") {
    // The mean over copies of a sequence is the sequence's own; only the scale of the gradients
    // that are summed differs, by powers of two.
    const auto gradient_norm = [](int copies) {
        TrainingJob job = job_of(kAlone, small_model());
        job.setup.sizes.precision = {DType::e4m3, DType::e4m3, DType::bf16};
        job.setup.micro_batches = copies;
        const ExecutionGraph graph = build_training_graph(job.setup);
        const Dependencies dependencies(graph);
        set_cpu_threads(1);
        ThreadWorld world(1, 1);
        RankTrainer trainer(job, graph, dependencies, world.end(0), random_parameters(3));
        return trainer.step([](std::int64_t) { return test::sequence(1, 0); }, {}).gradient_norm;
    };
    CHECK(gradient_norm(64) == Approx(gradient_norm(1)).epsilon(1e-6));
}

TEST_CASE("training: an evaluation has the step's losses and changes nothing",
          "[runtime][training]") {
    const TrainingJob job = job_of({"", ScheduleKind::dualpipe, 2, 2, 2}, small_model());
    const ExecutionGraph graph = build_training_graph(job.setup);
    const Dependencies dependencies(graph);
    set_cpu_threads(1);
    StepOutcome before;
    StepOutcome counted;
    StepOutcome repeated;
    StepOutcome step;
    StepOutcome after;
    ThreadWorld(graph.instances().ranks(), 1).run([&](Communicator& communicator) {
        RankTrainer trainer(job, graph, dependencies, communicator, random_parameters(3));
        TrainingStep numbers;
        numbers.learning_rate = 3e-3;
        constexpr std::int64_t kHalf = test::kSequences / 2;
        const auto batch = [](std::int64_t index) { return test::sequence(1, index); };
        const auto twice = [](std::int64_t index) { return test::sequence(1, index % kHalf); };
        const std::vector<StepOutcome> all = {
            trainer.evaluate(batch, test::kSequences), trainer.evaluate(batch, kHalf),
            trainer.evaluate(twice, test::kSequences), trainer.step(batch, numbers),
            trainer.evaluate(batch, test::kSequences)};
        if (communicator.rank() == 0) {
            before = all[0];
            counted = all[1];
            repeated = all[2];
            step = all[3];
            after = all[4];
        }
    });
    CHECK(before.loss == step.loss);
    CHECK(before.mtp_loss == step.mtp_loss);
    CHECK(after.loss < before.loss);
    // Half of a batch is what counts, or all there is, twice.
    CHECK(counted.loss == Approx(repeated.loss).epsilon(1e-6));
    CHECK(counted.loss != before.loss);
}

TEST_CASE("training: the moving average of the parameters follows them", "[runtime][training]") {
    TrainingJob job = job_of({"", ScheduleKind::one_f_one_b, 1, 2}, small_model());
    job.setup.ema = true;
    const ExecutionGraph graph = build_training_graph(job.setup);
    const Dependencies dependencies(graph);
    set_cpu_threads(1);
    double worst = 0;
    double moved = 0;
    std::mutex mutex;
    ThreadWorld(graph.instances().ranks(), 1).run([&](Communicator& communicator) {
        RankTrainer trainer(job, graph, dependencies, communicator, random_parameters(3));
        const StateShard& shard = *trainer.state().shards().front();
        const std::vector<float> start = shard.master.on_host();
        std::vector<double> expected(start.begin(), start.end());
        for (int step = 1; step <= 3; ++step) {
            TrainingStep numbers;
            numbers.learning_rate = 3e-3;
            numbers.ema_decay = 0.75;
            numbers.step = step;
            trainer.step([&](std::int64_t index) { return test::sequence(step, index); }, numbers);
            const std::vector<float> master = shard.master.on_host();
            for (std::size_t i = 0; i < expected.size(); ++i) {
                expected[i] = 0.75 * expected[i] + 0.25 * static_cast<double>(master[i]);
            }
        }
        const std::vector<float> master = shard.master.on_host();
        const std::vector<float> ema = shard.ema.on_host();
        const std::lock_guard lock(mutex);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            worst = std::max(worst, std::abs(static_cast<double>(ema.at(i)) - expected[i]));
            moved = std::max(moved, std::abs(static_cast<double>(master[i] - start[i])));
        }
    });
    CHECK(moved > 5e-3);
    CHECK(worst < 1e-6);
}

TEST_CASE("training: a node limit changes the choice, the same on all ranks",
          "[runtime][training]") {
    // Eight ranks on four nodes; each token goes to two of them. Alone, the groups are the nodes.
    const Spread wide = {"", ScheduleKind::one_f_one_b, 1, 8, 8, 2, 2};
    Json grouped = small_model();
    grouped["n_group"] = 4;
    grouped["topk_group"] = 2;
    check_same_training(train(job_of(wide, small_model()), 2), train(job_of(kAlone, grouped), 2));
}

// What ranks really hold, against the plan that a device's memory is sized by. Without experts,
// whose rows only a run knows.
TEST_CASE("rank trainer: state and activations are those of the memory plan", "[runtime][memory]") {
    for (const bool is_fp8 : {false, true}) {
        INFO("FP8: " << is_fp8);
        Json model = small_model();
        model["num_hidden_layers"] = 2;
        model["first_k_dense_replace"] = 3;
        model["num_nextn_predict_layers"] = 0;
        TrainingJob job = job_of({"", ScheduleKind::one_f_one_b, 2, 2}, model);
        job.setup.micro_batches = 2;
        if (is_fp8) {
            job.policy.compute = DType::bf16;
            job.setup.sizes.precision.gemm = DType::e4m3;
            job.f32_moments = false;
        }
        const ExecutionGraph graph = build_training_graph(job.setup);
        const Dependencies dependencies(graph);
        const auto device = job.device.make(job.routed_config());
        const std::vector<RunMemory> programs = plan_run_memory(job, graph, {}, *device);
        std::mutex mutex;
        ThreadWorld(graph.instances().ranks(), 1).run([&](Communicator& rank) {
            RankTrainer trainer(job, graph, dependencies, rank, random_parameters(3));
            trainer.step([](std::int64_t index) { return test::sequence(1, index); }, {});
            const RankId id(static_cast<std::size_t>(rank.rank()));
            const RunMemory& plan =
                programs[static_cast<std::size_t>(graph.instances().program_of(id))];
            double weights = 0;
            double gradients = 0;
            double optimizer = 0;
            for (const auto& [key, parameter] : trainer.state().parameters()) {
                weights += static_cast<double>(parameter.weight.data.size() +
                                               4 * parameter.weight.scales.size());
            }
            for (const auto& shard : trainer.state().shards()) {
                gradients += static_cast<double>(4 * shard->gradient.size());
                optimizer += static_cast<double>(4 * shard->master.size() + shard->exp_avg.size() +
                                                 shard->exp_avg_sq.size());
            }
            const std::lock_guard lock(mutex);
            CHECK(weights == plan.rank.weights.value());
            CHECK(gradients == plan.rank.gradients.value());
            CHECK(optimizer == plan.rank.optimizer.value());
            const auto peak = static_cast<double>(trainer.executor().peak_activation_bytes());
            const double planned = plan.rank.activations_peak.value() + plan.workspaces.value();
            CHECK(peak <= 1.25 * planned);
            CHECK(peak >= 0.75 * plan.rank.activations_peak.value());
        });
    }
}

TEST_CASE("run memory: what is asked of devices is the sum over their ranks", "[runtime][memory]") {
    const TrainingJob job = job_of({"", ScheduleKind::one_f_one_b, 2, 2, 2}, small_model());
    const ExecutionGraph graph = build_training_graph(job.setup);
    const auto device = job.device.make(job.routed_config());
    const std::vector<RunMemory> programs = plan_run_memory(job, graph, {}, *device);
    REQUIRE(programs.size() == 2);
    std::size_t asked = 0;
    std::string why;
    DeviceKind kind = cpu_devices();
    kind.reserve = [&](std::size_t bytes, const std::string& what) {
        asked = bytes;
        why = what;
    };
    const std::vector<RankId> ranks = {RankId(0), RankId(1), RankId(2), RankId(3)};
    const double sum = reserve_run_memory(programs, graph, ranks, kind).value();
    CHECK(sum == 2 * (programs[0].total().value() + programs[1].total().value()));
    CHECK(asked == static_cast<std::size_t>(sum));
    CHECK(why.rfind("the memory plan of 4 ranks: weights ", 0) == 0);
}

}  // namespace r1
