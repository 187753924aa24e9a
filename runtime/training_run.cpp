#include "runtime/training_run.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "runtime/checkpoint_folder.hpp"
#include "runtime/process_memory.hpp"
#include "runtime/training_checkpoint.hpp"
#include "runtime/training_curves.hpp"

namespace r1 {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kLoadSteps = 100;  // whose expert loads are kept

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::vector<double> numbers_of(const Json& list) {
    std::vector<double> numbers;
    for (const Json& number : list) {
        numbers.push_back(number.is_number() ? number.get<double>()
                                             : std::numeric_limits<double>::quiet_NaN());
    }
    return numbers;
}

// One rank's part.
class Runner {
public:
    Runner(const TrainingRun& run, Communicator& communicator)
        : run_(run),
          communicator_(communicator),
          source_(initial_values()),
          trainer_(run.job, run.graph, run.dependencies, communicator, source_) {}

    TrainingResult work() {
        resume();
        if (communicator_.rank() == 0 && !run_.curves.empty()) {
            curves_.emplace(run_.curves, result_.resumed_from);
        }
        const std::int64_t steps = run_.training.steps;
        const Clock::time_point begin = Clock::now();
        for (std::int64_t step = result_.resumed_from + 1; step <= steps; ++step) {
            train(step);
            const std::int64_t every =
                run_.training.checkpoint ? run_.training.checkpoint->every_steps : 0;
            if (run_.training.checkpoint && (step == steps || (every > 0 && step % every == 0))) {
                save(step);
            }
            if (communicator_.rank() == 0 && run_.on_step) {
                report_progress(step, seconds_since(begin));
            }
        }
        result_.wall_s = seconds_since(begin);
        evaluate();
        gather();
        return std::move(result_);
    }

private:
    [[nodiscard]] Everyone everyone() const {
        return {communicator_, trainer_.executor().plan().spare_channel};
    }

    RankState::Source initial_values() {
        if (!run_.training.initial_checkpoint) {
            return random_parameters(run_.seed);
        }
        checkpoint_ =
            std::make_unique<Checkpoint>(Checkpoint::open(*run_.training.initial_checkpoint));
        return checkpoint_parameters(*checkpoint_);
    }

    // What there is to go on from; rank 0 looks, so that all ranks see the same.
    [[nodiscard]] fs::path latest_checkpoint() const {
        const std::vector<std::string> found = agree(everyone(), [&]() -> std::string {
            if (communicator_.rank() != 0 || !run_.training.checkpoint) {
                return {};
            }
            const fs::path& folder = run_.training.checkpoint->folder;
            const std::optional<fs::path> latest = find_latest(folder);
            if (latest && !run_.resume) {
                throw InputError(folder.string(),
                                 "holds checkpoints of an earlier run: --resume goes on from the "
                                 "newest; or name another folder");
            }
            return latest ? latest->string() : std::string();
        });
        return found.front();
    }

    void check_goes_on(const TrainerState& state, const fs::path& file) const {
        const auto refuse = [&](const std::string& why) { throw InputError(file.string(), why); };
        if (state.seed != run_.seed) {
            refuse(fmt::format("is of a run with seed {}, not {}", state.seed, run_.seed));
        }
        if (state.data_hash != run_.data.hash()) {
            refuse("is of a run on other data: the texts, or how they are cut, have changed");
        }
        if (state.step >= run_.training.steps) {
            refuse(fmt::format("is of step {}, and the scenario wants {} steps in all", state.step,
                               run_.training.steps));
        }
    }

    void resume() {
        const fs::path checkpoint = latest_checkpoint();
        if (checkpoint.empty()) {
            return;
        }
        const TrainerState state = restore_training_checkpoint(checkpoint, run_.graph.hash().hex(),
                                                               trainer_.state(), everyone());
        agree(everyone(), [&] {
            check_goes_on(state, checkpoint / kTrainerFileName);
            return "";
        });
        result_.resumed_from = state.step;
        result_.loss = numbers_of(state.progress["loss"]);
        result_.mtp_loss = numbers_of(state.progress["mtp_loss"]);
        for (const Json& step : state.progress["expert_load"]) {
            loads_.push_back(step.get<std::vector<std::vector<std::int32_t>>>());
        }
    }

    [[nodiscard]] TrainingStep numbers(std::int64_t step) const {
        const OptimizerSpec& optimizer = run_.training.optimizer;
        TrainingStep numbers;
        numbers.step = step;
        numbers.learning_rate =
            learning_rate(run_.training.learning_rate, step, run_.training.steps);
        numbers.beta1 = optimizer.beta1;
        numbers.beta2 = optimizer.beta2;
        numbers.epsilon = optimizer.epsilon;
        numbers.weight_decay = optimizer.weight_decay;
        numbers.gradient_norm_max = optimizer.gradient_norm_max;
        numbers.ema_decay = optimizer.ema_decay;
        return numbers;
    }

    void train(std::int64_t step) {
        const bool is_measured = step > run_.training.steps - kMeasuredSteps;
        communicator_.reset_traffic();
        const Clock::time_point begin = Clock::now();
        StepRecord record;
        const TrainingStep with = numbers(step);
        const StepOutcome outcome =
            trainer_.step([&](std::int64_t index) { return run_.data.sequence(step, index); }, with,
                          is_measured ? &record.intervals : nullptr);
        record.time_s = seconds_since(begin);
        result_.iteration_s.push_back(record.time_s);
        if (is_measured) {
            record.traffic = communicator_.traffic();
            record.exchanges = trainer_.executor().exchanges();
            records_.push_back(std::move(record));
        }
        result_.loss.push_back(outcome.loss);
        result_.mtp_loss.push_back(outcome.mtp_loss);
        result_.learning_rate = with.learning_rate;
        result_.gradient_norm = outcome.gradient_norm;
        loads_.push_back(outcome.expert_load);
        if (loads_.size() > kLoadSteps) {
            loads_.pop_front();
        }
        if (curves_) {
            curves_->add(step, with.learning_rate, outcome);
        }
    }

    void save(std::int64_t step) {
        const CheckpointSpec& spec = *run_.training.checkpoint;
        TrainerState state;
        state.step = step;
        state.seed = run_.seed;
        state.graph_hash = run_.graph.hash().hex();
        state.data_hash = run_.data.hash();
        state.progress = {
            {"loss", result_.loss}, {"mtp_loss", result_.mtp_loss}, {"expert_load", loads_}};
        save_training_checkpoint({spec.folder, run_.config, run_.job.policy.compute == DType::f32,
                                  static_cast<int>(spec.keep)},
                                 state, trainer_.state(), everyone());
    }

    void report_progress(std::int64_t step, double seconds) const {
        const auto done = static_cast<double>(step - result_.resumed_from);
        const auto left = static_cast<double>(run_.training.steps - step);
        const auto tokens =
            static_cast<double>(run_.job.sequences() * run_.job.setup.sizes.sequence_length);
        run_.on_step({step, run_.training.steps, result_.loss.back(), tokens * done / seconds,
                      seconds / done * left});
    }

    void evaluate() {
        const std::int64_t all = run_.data.held_out_sequences();
        const std::int64_t batch = run_.job.sequences();
        double sum = 0;
        for (std::int64_t first = 0; first < all; first += batch) {
            const std::int64_t count = std::min(batch, all - first);
            const StepOutcome outcome = trainer_.evaluate(
                [&](std::int64_t index) {
                    return run_.data.held_out(std::min(first + index, all - 1));
                },
                count);
            sum += outcome.loss * static_cast<double>(count);
        }
        if (all > 0) {
            result_.held_out_loss = sum / static_cast<double>(all);
        }
    }

    void gather() {
        result_.measured = median_step(run_.graph, records_, everyone());
        result_.peak_memory_bytes = largest(peak_memory_bytes());
        if (const auto& peak_bytes = run_.job.device.peak_bytes) {
            result_.device_peak_bytes = largest(static_cast<std::int64_t>(peak_bytes()));
        }
        result_.expert_load.assign(loads_.begin(), loads_.end());
    }

    // Of all ranks' numbers.
    [[nodiscard]] std::int64_t largest(std::int64_t mine) const {
        std::int64_t most = mine;
        for (const std::string& text : gather_texts(everyone(), std::to_string(mine))) {
            most = std::max<std::int64_t>(most, std::stoll(text));
        }
        return most;
    }

    const TrainingRun& run_;
    Communicator& communicator_;
    std::unique_ptr<Checkpoint> checkpoint_;  // initial values
    RankState::Source source_;
    RankTrainer trainer_;
    std::optional<TrainingCurves> curves_;
    std::vector<StepRecord> records_;
    std::deque<std::vector<std::vector<std::int32_t>>> loads_;
    TrainingResult result_;
};

}  // namespace

TrainingResult run_training(const TrainingRun& run, Communicator& communicator) {
    return Runner(run, communicator).work();
}

}  // namespace r1
