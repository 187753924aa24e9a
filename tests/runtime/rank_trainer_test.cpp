// Training over ranks: whatever the schedule and the spread over ranks, the same losses and the
// same weights.
#include <cmath>
#include <map>
#include <string>

#include "runtime/rank_trainer.hpp"
#include "runtime/thread_communicator.hpp"
#include "tests/runtime/small_training.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::job_of;
using test::small_model;
using test::Spread;

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
