#include "tools/cpu_calibration.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/json.hpp"
#include "model/base/rng.hpp"
#include "model/timeline/timeline_reader.hpp"
#include "sim/cost/step_points.hpp"
#include "sim/lowering.hpp"
#include "sim/simulate.hpp"
#include "tools/scenario_run.hpp"

namespace r1 {

namespace {

constexpr const char* kSource = "cpu.measured";
constexpr int kMicroBatches = 4;
constexpr int kSteps = 3;  // the first is slower, the median counts

// A model whose steps are measured. Widths of FP8 matrices are multiples of their blocks, 128.
struct MeasuredModel {
    std::int64_t tokens = 0;  // of a micro-batch
    std::int64_t width = 0;
    std::int64_t experts = 16;
    std::int64_t chosen = 4;  // by a token
    int ranks = 1;
};

// From the sizes of the tiny models that scenarios run on a CPU to some sixteen times theirs: what
// a step of a few seconds is made of. `quick`: the tiny ones.
std::vector<MeasuredModel> measured_models(bool quick) {
    std::vector<MeasuredModel> models;
    if (quick) {
        return {{64, 128}, {256, 128}, {256, 128, 16, 4, 2}};
    }
    for (const std::int64_t width : {128, 256, 512}) {
        for (const std::int64_t tokens : {64, 256, 1024}) {
            if (tokens * width <= 1024 * 256) {
                models.push_back({tokens, width});
            }
        }
    }
    models.push_back({256, 128, 8, 2});
    models.push_back({256, 128, 32, 8});
    models.push_back({1024, 256, 8, 2});
    for (const std::int64_t width : {128, 256, 512}) {
        models.push_back({256, width, 16, 4, 2});
    }
    return models;
}

std::string describe(const MeasuredModel& model) {
    return fmt::format("{} tokens, width {}, {} of {} experts, {} rank{}", model.tokens,
                       model.width, model.chosen, model.experts, model.ranks,
                       model.ranks == 1 ? "" : "s");
}

// The tiny model, scaled: one dense layer, one with experts, and the MTP module.
std::vector<Override> model_overrides(const MeasuredModel& model) {
    std::vector<Override> overrides;
    const auto set = [&](const char* key, std::int64_t value) {
        overrides.push_back({std::string("/model/") + key, Json(value), "calibrate"});
    };
    set("num_hidden_layers", 2);
    set("vocab_size", 4 * model.width);
    set("hidden_size", model.width);
    set("intermediate_size", 2 * model.width);
    set("moe_intermediate_size", model.width / 2);
    set("num_attention_heads", model.width / 32);
    set("q_lora_rank", model.width / 2);
    set("kv_lora_rank", model.width / 4);
    set("n_routed_experts", model.experts);
    set("num_experts_per_tok", model.chosen);
    return overrides;
}

Json scenario_json(const MeasuredModel& model, const std::string& text) {
    return {{"schema", "r1sim.scenario/1"},
            {"name", "calibrate"},
            {"model", "tiny-r1"},
            {"cluster", "cpu_local"},
            {"calibration", "assumed_cpu"},
            {"workload",
             {{"kind", "train"},
              {"sequence_length", model.tokens},
              {"global_batch_sequences", kMicroBatches * model.ranks},
              {"micro_batch_sequences", 1},
              {"steps", kSteps},
              {"held_out_fraction", 0.0},
              {"data", {text}}}},
            {"plan",
             {{"pipeline_parallel", 1},
              {"data_parallel", model.ranks},
              {"expert_parallel", model.ranks},
              {"schedule", "1f1b"},
              {"zero_stage", 1},
              {"comm_sms", 0}}},
            {"routing", {{"source", "balanced"}}},
            {"replay", {{"engine", "fluid"}, {"fold", "none"}}},
            {"seed", 0}};
}

// Something to train on; what it says changes no time.
void write_text(const std::string& file) {
    constexpr int kBytes = 1 << 20;
    const Rng random(0);
    std::string text;
    for (int i = 0; i < kBytes; ++i) {
        text += static_cast<char>('a' + random.bits(static_cast<std::uint64_t>(i)) % 26);
    }
    write_file_atomically(file, text);
}

// Points of one size, from all models that have it.
class Measurements {
public:
    void add(std::vector<StepPoint> points) {
        for (StepPoint& point : points) {
            const auto [found, is_new] = points_.try_emplace({point.curve, point.at}, point);
            if (!is_new) {
                std::vector<double>& times = found->second.times_us;
                times.insert(times.end(), point.times_us.begin(), point.times_us.end());
            }
        }
    }
    void add_gaps(const std::vector<double>& gaps) {
        gaps_.insert(gaps_.end(), gaps.begin(), gaps.end());
    }
    void write(MeasuredCalibration& calibration) const;

private:
    std::map<std::pair<std::string, std::vector<double>>, StepPoint> points_;
    std::vector<double> gaps_;
};

void add_measured(const StepPoint& point, const std::string& curve,
                  MeasuredCalibration& calibration) {
    MeasuredPoint measured;
    measured.columns = point.at;
    measured.timing = summarize(point.times_us);
    measured.value = point.value(measured.timing.median_us);
    measured.ran = point.curve + " in training steps";
    measured.derivation = point.quantity == "us"
                              ? "the median"
                              : fmt::format("{} {} divided by the median", point.amount,
                                            point.quantity == "tflops" ? "FLOPs" : "bytes");
    add_point(calibration, curve, point.quantity, point.columns, std::move(measured), kSource);
}

// For kernels that no training step has: those that only move their operands.
constexpr const char* kOtherKernels = "memory_bound";
bool only_moves(const std::string& curve) {
    return curve == "residual_add" || curve == "concat" || curve == "split";
}

void Measurements::write(MeasuredCalibration& calibration) const {
    for (const auto& [key, point] : points_) {
        add_measured(point, point.curve, calibration);
    }
    for (const auto& [key, point] : points_) {
        if (only_moves(point.curve)) {
            add_measured(point, kOtherKernels, calibration);
        }
    }
    const Timing gap = summarize(gaps_);
    calibration.constants.push_back(
        {"launch_gap_us", gap.median_us,
         fmt::format("median of {} times between two ops of a chunk", gap.repetitions), kSource});
}

void measure(const MeasuredModel& model, int threads, const RunFolder& folder,
             Measurements& measurements) {
    const std::string scenario = folder.file("scenario.json");
    write_file_atomically(scenario, scenario_json(model, folder.file("text.txt")).dump());
    std::vector<Override> overrides = model_overrides(model);
    std::vector<std::string> arguments{scenario, "--quiet", "--jobs",
                                       std::to_string(std::max(1, threads / model.ranks))};
    for (const Override& override : overrides) {
        arguments.insert(arguments.end(),
                         {"--set", override.pointer + "=" + override.value.dump()});
    }
    const std::optional<RunFiles> files = run_scenario(std::move(arguments), folder);
    R1_CHECK(files);  // there is one process
    for (Override& override : routed_as(files->binding)) {
        overrides.push_back(std::move(override));
    }
    std::vector<std::string> notes;
    const Setting setting = read_setting(load_scenario(scenario, overrides), notes);
    const Simulation planned = prepare(setting);
    const TimelineFile file = read_timeline(std::filesystem::path(files->timeline));
    const MeasuredRanks ranks{planned.graph,
                              file.graphs.front().timeline,
                              planned.symbols,
                              planned.traffic,
                              expert_group_shape(planned.graph, setting.topology),
                              setting.topology.device.sms};
    if (model.ranks == 1) {
        measurements.add(kernel_points(ranks));
        measurements.add_gaps(launch_gaps_us(ranks));
    } else {
        std::vector<StepPoint> points = exchange_points(ranks);
        // All-reduces of a training step have a few bytes, which say nothing of a rate.
        std::erase_if(points, [](const StepPoint& point) { return point.curve == "all_reduce"; });
        measurements.add(std::move(points));
    }
}

// "model name" of the first processor.
std::string processor_name() {
    std::ifstream file("/proc/cpuinfo");
    std::string line;
    while (std::getline(file, line)) {
        const std::size_t colon = line.find(": ");
        if (line.rfind("model name", 0) == 0 && colon != std::string::npos) {
            return line.substr(colon + 2);
        }
    }
    return "unknown processor";
}

}  // namespace

MeasuredCalibration calibrate_cpu(const CpuCalibrationOptions& options) {
    const auto begin = std::chrono::steady_clock::now();
    const RunFolder folder;
    write_text(folder.file("text.txt"));
    const std::vector<MeasuredModel> models = measured_models(options.quick);
    Measurements measurements;
    for (std::size_t i = 0; i < models.size(); ++i) {
        options.progress(
            fmt::format("model {} of {}: {} …", i + 1, models.size(), describe(models[i])));
        measure(models[i], options.threads, folder, measurements);
    }
    options.progress("");
    MeasuredCalibration calibration;
    measurements.write(calibration);
    calibration.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return calibration;
}

CalibrationHeader cpu_calibration_header(const MeasuredCalibration& calibration, int threads,
                                         const std::string& program, const std::string& date) {
    CalibrationHeader header;
    header.name = "cpu_measured";
    header.comment = fmt::format(
        "Measured in {:.0f} s. Peaks and links are not measured here. Ops of training steps on one "
        "rank, exchanges between two ranks of one process from when the last of them comes; no "
        "kernel of prefill or decoding.",
        calibration.seconds);
    header.device = "cpu";
    header.origin = fmt::format("{} on {}; {}, {} cores, kernels on {} thread{}", program, date,
                                processor_name(), std::thread::hardware_concurrency(), threads,
                                threads == 1 ? "" : "s");
    header.sources = {{kSource, "ops of executed training steps, by the host's clock"}};
    return header;
}

}  // namespace r1
