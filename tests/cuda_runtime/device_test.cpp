// A GPU executes what the CPU does: the golden models and gradients, and training over logical
// ranks, whose losses are those of the CPU. Compiled twice: against the emulation of CUDA, and for
// machines with a GPU (tests/gpu).
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "model/base/diagnostics.hpp"
#include "model/base/exit_code.hpp"
#include "model/base/json.hpp"
#include "runtime/cuda_device.hpp"
#include "runtime/generate.hpp"
#include "runtime/gradients.hpp"
#include "runtime/required_kernels.hpp"
#include "runtime/run_memory.hpp"
#include "tests/cuda_runtime/guard.hpp"
#include "tests/cuda_runtime/trained.hpp"
#include "tests/runtime/golden_compare.hpp"
#include "tests/runtime/small_training.hpp"
#include "tests/runtime/tiny_model.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/safetensors.hpp"

namespace r1 {

using test::train;
using test::Trained;

namespace {

namespace fs = std::filesystem;

// Files of the golden index of that stem. Not those whose runs need more than a checkpoint: another
// config, or FP8 that rounds as one machine did.
std::vector<std::pair<fs::path, Json>> golden_files(const std::string& stem) {
    const Document index = Document::from_file(test::golden_dir() / "index.json");
    std::vector<std::pair<fs::path, Json>> files;
    for (const auto& [path, entry] : index.root().at("files").items()) {
        const std::string name = fs::path(path).filename().string();
        if (name.starts_with(stem) && !test::contains(name, "noyarn") &&
            !test::contains(name, "fp8sim")) {
            files.emplace_back(test::golden_dir() / path, entry);
        }
    }
    return files;
}

}  // namespace

TEST_CASE("cuda: logits and hidden states are the golden ones", "[cuda][golden]") {
    const test::DeviceGuard guard;
    const auto files = golden_files("expected_short");
    for (const auto& [file, entry] : files) {
        INFO(file);
        const test::SafeTensors golden(file);
        const Checkpoint checkpoint = Checkpoint::open(file.parent_path());
        EvaluateOptions options;
        options.policy.fp8 = Fp8Mode::dequantize;
        options.device = cuda_devices(0);
        options.hidden = options.router = options.mtp = true;
        const Evaluation got = evaluate(checkpoint, golden.as_i32("tokens"), 1, options);
        for (const std::string name : {"logits", "nll", "final_norm", "mtp.logits"}) {
            if (entry.at("tensors").contains(name)) {
                INFO(name);
                const Json& about = entry.at("tensors").at(name);
                test::compare_elements(got.tensors.at(name).f32, golden.as_f32(name),
                                       about.at("atol").get<double>(),
                                       about.at("rtol").get<double>());
            }
        }
    }
    if (files.empty()) {
        std::cout << "r1 test skipped: no short model outputs in this set\n";
    }
}

TEST_CASE("cuda: gradients are the golden ones", "[cuda][golden]") {
    const test::DeviceGuard guard;
    const auto files = golden_files("grads_main");
    for (const auto& [file, entry] : files) {
        INFO(file);
        const test::SafeTensors golden(file);
        const Checkpoint checkpoint = Checkpoint::open(file.parent_path());
        const test::Tensor& tokens = golden.at("tokens");
        const std::int64_t sequences = tokens.shape.size() > 1 ? tokens.shape.front() : 1;
        EvaluateOptions options;
        options.policy.fp8 = Fp8Mode::dequantize;
        options.device = cuda_devices(0);
        const Evaluation got = evaluate_gradients(checkpoint, golden.as_i32("tokens"), sequences,
                                                  GradientLoss::main, options);
        std::size_t compared = 0;
        for (const auto& [name, about] : entry.at("tensors").items()) {
            const auto found = got.tensors.find(name);
            if (found != got.tensors.end() && about.contains("atol")) {
                INFO(name);
                test::compare_elements(found->second.f32, golden.as_f32(name),
                                       about.at("atol").get<double>(),
                                       about.at("rtol").get<double>());
                ++compared;
            }
        }
        CHECK(compared > 10);
    }
    if (files.empty()) {
        std::cout << "r1 test skipped: no short gradients in this set\n";
    }
}

TEST_CASE("cuda: steps of generation are recorded once, and their tokens are the CPU's",
          "[cuda][generate]") {
    const std::vector<TokenIds> prompts = {{3, 17, 5}, {9, 2, 4, 11, 8, 30, 1}};
    const bool speculative = GENERATE(false, true);
    const auto generated = [&](const DeviceKind& device, bool record) {
        GenerateOptions options;
        options.device = device;
        options.max_new_tokens = 5;
        options.speculative = speculative;
        options.record = record;
        options.policy.sampling = {1, 0.9};
        return generate(test::tiny_model(), prompts, options);
    };
    const Generation cpu = generated(cpu_devices(), false);
    const Generation cuda = generated(cuda_devices(0), false);
    const Generation op_by_op = generated(cuda_devices(0), true);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        CHECK(cuda.sequences[i].tokens == cpu.sequences[i].tokens);
        CHECK(op_by_op.sequences[i].tokens == cpu.sequences[i].tokens);
    }
    CHECK(cuda.graphs[0].runs > 2);
    CHECK(cuda.recorded_runs == cuda.graphs[0].runs - 1);  // all but the first
    CHECK(cpu.recorded_runs == 0);
    CHECK(op_by_op.recorded_runs == 0);
}

TEST_CASE("cuda: logical ranks of one GPU train as the CPU does", "[cuda][training]") {
    const test::Spread spread{"", ScheduleKind::one_f_one_b, 1, 4, 4, 2, 2};
    const TrainingJob job = test::short_job(spread);
    const Trained cpu = train(job, cpu_devices(), 2);
    const Trained cuda = train(job, cuda_devices(0), 2);
    for (std::size_t step = 0; step < cpu.losses.size(); ++step) {
        CHECK(std::abs(cuda.losses[step] - cpu.losses[step]) < 1e-5 * cpu.losses[step]);
    }
    CHECK(cuda.losses[1] != cuda.losses[0]);
    // Each op once, and none ends before it begins.
    CHECK(cuda.intervals.size() == cuda.ops);
    CHECK(std::all_of(cuda.intervals.begin(), cuda.intervals.end(),
                      [](const Interval& interval) { return interval.end >= interval.start; }));
}

TEST_CASE("cuda: FP8 and BF16 train as the CPU does", "[cuda][training]") {
    TrainingJob job = test::short_job({"", ScheduleKind::one_f_one_b, 1, 2, 2});
    job.policy.compute = DType::bf16;
    job.f32_moments = false;
    job.setup.sizes.precision.gemm = DType::e4m3;
    const Trained cpu = train(job, cpu_devices(), 2);
    const Trained cuda = train(job, cuda_devices(0), 2);
    for (std::size_t step = 0; step < cpu.losses.size(); ++step) {
        CHECK(std::abs(cuda.losses[step] - cpu.losses[step]) < 2e-3 * cpu.losses[step]);
    }
}

TEST_CASE("cuda: a kernel that the device lacks is a feature that is missing", "[cuda]") {
    class Bare final : public Device {
    public:
        explicit Bare(const ModelConfig& config)
            : Device("bare", host_memory(), KernelSet(), config) {}
    };
    TrainingJob job = test::short_job({"", ScheduleKind::one_f_one_b});
    DeviceKind bare = cpu_devices();
    bare.make = [](const ModelConfig& config) { return std::make_unique<Bare>(config); };
    CHECK_THROWS_AS(train(job, bare, 1), FeatureError);
}

TEST_CASE("cuda: a GPU without FP8 lacks the kernels of FP8, and runs what needs none", "[cuda]") {
    DeviceKind plain = cuda_devices(0);
    plain.kernels = cuda::kernels(false);
    plain.lacks = ": no FP8 here";
    TrainingJob job = test::short_job({"", ScheduleKind::one_f_one_b});
    const ModelConfig& config = job.setup.sizes.config;
    const ExecutionGraph without = build_training_graph(job.setup);
    require_kernels({without}, config, job.policy, plain);
    job.policy.compute = DType::bf16;
    job.setup.sizes.precision.gemm = DType::e4m3;
    const ExecutionGraph graph = build_training_graph(job.setup);
    try {
        require_kernels({graph}, config, job.policy, plain);
        FAIL("FP8 products without FP8");
    } catch (const FeatureError& error) {
        const std::string text = error.what();
        CHECK(test::contains(text, "gemm_fp8, gemm_fp8_wgrad"));
        CHECK(test::contains(text, "quantize_weight_fp8: no FP8 here"));
    }
    job.policy.fp8 = Fp8Mode::dequantize;
    require_kernels({graph}, config, job.policy, plain);
}

TEST_CASE("cuda: memory is taken as planned, or there is not enough", "[cuda][memory]") {
    const DeviceKind cuda = cuda_devices(0);
    const TrainingJob job = test::short_job({"", ScheduleKind::one_f_one_b, 1, 2, 2});
    const ExecutionGraph graph = build_training_graph(job.setup);
    const std::unique_ptr<Device> probe = cuda.make(job.routed_config());
    const SymbolValues bound = test::balanced(job.setup.sizes);
    const std::vector<RunMemory> programs = plan_run_memory(job, graph, bound, *probe);
    const std::vector<RankId> ranks = {RankId(0), RankId(1)};
    const double planned = reserve_run_memory(programs, graph, ranks, cuda).value();
    train(job, cuda, 1);
    const auto used = static_cast<double>(cuda.peak_bytes());
    // On top: messages, host values on the device, and classes of sizes of the pool.
    CHECK(used >= 0.8 * planned);
    CHECK(used <= 3 * planned);
    try {
        cuda.reserve(std::size_t{1} << 50U, "the rocks of this test");
        FAIL("there is no such GPU");
    } catch (const InfeasibleError& error) {
        CHECK(
            test::contains(error.what(), "the rocks of this test need 1125899.907 GB, and GPU 0"));
        CHECK(exit_code_of(error) == kInfeasible);
    }
}

}  // namespace r1
