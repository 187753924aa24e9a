// Jobs of the small model that are saved and restored.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/cpu_device.hpp"
#include "runtime/thread_communicator.hpp"
#include "runtime/training_checkpoint.hpp"
#include "tests/model/checkpoint_fixture.hpp"
#include "tests/runtime/small_training.hpp"
#include "tests/support/catch.hpp"

namespace r1::test {

// All that a rank keeps from step to step.
using RankBytes = std::map<std::string, std::vector<std::byte>>;

struct TrainingKind {
    Spread spread;
    DType compute = DType::f32;
    bool fp8 = false;
    bool f32_moments = true;
};

inline Json model_of(const TrainingKind& kind) {
    Json model = small_model();
    model["num_hidden_layers"] = 4;
    if (!kind.fp8) {
        model.erase("quantization_config");
    }
    return model;
}

inline TrainingJob job_of(const TrainingKind& kind) {
    TrainingJob job = job_of(kind.spread, model_of(kind));
    job.policy.compute = kind.compute;
    job.f32_moments = kind.f32_moments;
    if (kind.fp8) {
        job.setup.sizes.precision.gemm = DType::e4m3;
    }
    return job;
}

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    return {bytes.begin(), bytes.end()};
}

inline RankBytes bytes_of(RankState& state) {
    RankBytes all;
    for (const auto& [key, parameter] : state.parameters()) {
        all[key.second + " of " + std::to_string(key.first)] = parameter.weight.data.on_host();
        all[key.second + " scales of " + std::to_string(key.first)] =
            bytes_of(parameter.weight.scales.on_host());
    }
    for (const auto& shard : state.shards()) {
        const std::string name = std::to_string(shard->stage) + (shard->experts ? " experts" : "");
        all["master " + name] = bytes_of(shard->master.on_host());
        all["exp_avg " + name] = shard->exp_avg.on_host();
        all["exp_avg_sq " + name] = shard->exp_avg_sq.on_host();
    }
    return all;
}

class Job {
public:
    using Work = std::function<void(RankTrainer&, const Everyone&)>;

    Job(const TrainingKind& kind, std::filesystem::path folder)
        : model_(model_of(kind)),
          job_(job_of(kind)),
          graph_(build_training_graph(job_.setup)),
          dependencies_(graph_),
          folder_(std::move(folder)) {
        set_cpu_threads(1);  // ranks are threads already
    }

    // Every rank of the job, new and with random parameters.
    void run(const Work& work) const {
        ThreadWorld world(graph_.instances().ranks(), job_.ranks_per_node);
        world.run([&](Communicator& communicator) {
            RankTrainer trainer(job_, graph_, dependencies_, communicator, random_parameters(3));
            work(trainer, {communicator, trainer.executor().plan().spare_channel});
        });
    }

    static StepOutcome step(RankTrainer& trainer, int step) {
        TrainingStep numbers;
        numbers.learning_rate = 3e-3;
        numbers.gradient_norm_max = 1;
        numbers.step = step;
        return trainer.step([&](std::int64_t index) { return sequence(step, index); }, numbers);
    }

    void save(RankTrainer& trainer, const Everyone& ranks, int step, int keep = 9,
              bool f32_weights = false) const {
        const TrainerState state = {step, 3, graph_.hash().hex(), "data", {{"tokens", 7.5}}};
        save_training_checkpoint({folder_, model_, f32_weights, keep}, state, trainer.state(),
                                 ranks);
    }

    TrainerState restore(RankTrainer& trainer, const Everyone& ranks,
                         const std::filesystem::path& checkpoint) const {
        return restore_training_checkpoint(checkpoint, graph_.hash().hex(), trainer.state(), ranks);
    }

    // The InputError of restoring, the same on all ranks and with their states as they were.
    std::string restore_error(const std::filesystem::path& checkpoint) const {
        std::vector<std::string> errors(static_cast<std::size_t>(graph_.instances().ranks()));
        run([&](RankTrainer& trainer, const Everyone& ranks) {
            const RankBytes before = bytes_of(trainer.state());
            errors[static_cast<std::size_t>(ranks.communicator.rank())] =
                input_error([&] { restore(trainer, ranks, checkpoint); });
            if (bytes_of(trainer.state()) != before) {
                throw std::runtime_error("restoring failed, and changed the state");
            }
        });
        CHECK(std::count(errors.begin(), errors.end(), errors.front()) ==
              static_cast<std::ptrdiff_t>(errors.size()));
        return errors.front();
    }

    // One checkpoint for each of the steps 1 to `last`.
    void save_steps(int last, int keep = 9) const {
        run([&](RankTrainer& trainer, const Everyone& ranks) {
            for (int i = 1; i <= last; ++i) {
                step(trainer, i);
                save(trainer, ranks, i, keep);
            }
        });
    }

    // What all ranks keep after `work`.
    std::vector<RankBytes> states(const Work& work) const {
        std::vector<RankBytes> all(static_cast<std::size_t>(graph_.instances().ranks()));
        run([&](RankTrainer& trainer, const Everyone& ranks) {
            work(trainer, ranks);
            all[static_cast<std::size_t>(ranks.communicator.rank())] = bytes_of(trainer.state());
        });
        return all;
    }

    [[nodiscard]] std::filesystem::path checkpoint(int step) const {
        return folder_ / ("step-0000000" + std::to_string(step));
    }
    [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

private:
    Json model_;
    TrainingJob job_;
    ExecutionGraph graph_;
    Dependencies dependencies_;
    std::filesystem::path folder_;
};

}  // namespace r1::test
