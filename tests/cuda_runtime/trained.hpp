// A few steps of training on a device, and what was seen of them.
#pragma once

#include <vector>

#include "runtime/cpu_device.hpp"
#include "runtime/thread_communicator.hpp"
#include "tests/runtime/small_training.hpp"

namespace r1::test {

// One sequence a rank: the emulation takes a quarter of a second for each.
inline TrainingJob short_job(const Spread& spread) {
    Json model = small_model();
    model["num_hidden_layers"] = 4;
    model["num_nextn_predict_layers"] = 0;
    TrainingJob job = job_of(spread, model);
    job.setup.micro_batches = 1;
    return job;
}

struct Trained {
    std::vector<double> losses;
    std::vector<Interval> intervals;  // of rank 0, in the last step
    std::size_t ops = 0;              // of its program
};

// Ranks are threads. `is_connected`: messages of devices go by the device's own communicator.
inline Trained train(TrainingJob job, const DeviceKind& device, int steps,
                     bool is_connected = false) {
    job.device = device;
    const ExecutionGraph graph = build_training_graph(job.setup);
    const Dependencies dependencies(graph);
    set_cpu_threads(1);
    Trained result;
    const DeviceLinks links{pipeline_pairs(graph), 0};
    ThreadWorld world(graph.instances().ranks(), job.ranks_per_node,
                      is_connected ? host_memory() : *device.memory);
    world.run([&](Communicator& host) {
        const auto connected = is_connected ? device.connect(host, links) : nullptr;
        Communicator& communicator = connected ? *connected : host;
        RankTrainer trainer(job, graph, dependencies, communicator, random_parameters(3));
        for (int step = 1; step <= steps; ++step) {
            TrainingStep numbers;
            numbers.learning_rate = 3e-3;
            numbers.gradient_norm_max = 1;
            numbers.step = step;
            const bool is_first = communicator.rank() == 0;
            const StepOutcome outcome =
                trainer.step([&](std::int64_t index) { return sequence(step, index); }, numbers,
                             is_first && step == steps ? &result.intervals : nullptr);
            if (is_first) {
                result.losses.push_back(outcome.loss);
                result.ops = trainer.executor().plan().ops.size();
            }
        }
    });
    return result;
}

}  // namespace r1::test
