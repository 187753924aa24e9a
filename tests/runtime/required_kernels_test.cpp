// The kernels that a graph is said to need are those that its execution calls: a counting device
// tells. What a device lacks is said before anything runs.
#include "runtime/required_kernels.hpp"

#include <mutex>
#include <set>
#include <string>

#include "model/base/diagnostics.hpp"
#include "runtime/cpu_device.hpp"
#include "runtime/evaluate.hpp"
#include "runtime/generate.hpp"
#include "runtime/gradients.hpp"
#include "runtime/thread_communicator.hpp"
#include "tests/runtime/small_training.hpp"
#include "tests/runtime/tiny_model.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"

namespace r1 {

namespace {

using Names = std::set<std::string>;

// What ran since the last clear. Ranks are threads.
std::mutex called_mutex;
Names called;

// Notes its name, and does what the CPU's kernel does.
template <auto member>
struct Counted {
    using Kernel = std::remove_reference_t<decltype(std::declval<KernelSet&>().*member)>;

    static void install(KernelSet& set, std::string name) {
        kernel_name() = std::move(name);
        set.*member = [](const auto& args, const cuda::Launch& launch) {
            {
                const std::lock_guard lock(called_mutex);
                called.insert(kernel_name());
            }
            (cpu_devices().kernels.*member)(args, launch);
        };
    }
    static std::string& kernel_name() {
        static std::string name;
        return name;
    }
};

KernelSet counting_kernels() {
    using S = KernelSet;
    KernelSet set = cpu_devices().kernels;
    Counted<&S::adamw>::install(set, "adamw");
    Counted<&S::add_rows>::install(set, "add_rows");
    Counted<&S::bias_update>::install(set, "bias_update");
    Counted<&S::concat>::install(set, "concat");
    Counted<&S::cross_entropy>::install(set, "cross_entropy");
    Counted<&S::cross_entropy_backward>::install(set, "cross_entropy_backward");
    Counted<&S::dequantize_e5m6>::install(set, "dequantize_e5m6");
    Counted<&S::dequantize_fp8>::install(set, "dequantize_fp8");
    Counted<&S::ema_update>::install(set, "ema_update");
    Counted<&S::embedding>::install(set, "embedding");
    Counted<&S::embedding_backward>::install(set, "embedding_backward");
    Counted<&S::expert_load>::install(set, "expert_load");
    Counted<&S::gemm_bf16>::install(set, "gemm_bf16");
    Counted<&S::gemm_bf16_wgrad>::install(set, "gemm_bf16_wgrad");
    Counted<&S::gemm_fp8>::install(set, "gemm_fp8");
    Counted<&S::gemm_fp8_wgrad>::install(set, "gemm_fp8_wgrad");
    Counted<&S::gradient_norm>::install(set, "gradient_norm");
    Counted<&S::grouped_gemm_bf16>::install(set, "grouped_gemm_bf16");
    Counted<&S::grouped_gemm_bf16_wgrad>::install(set, "grouped_gemm_bf16_wgrad");
    Counted<&S::grouped_gemm_fp8>::install(set, "grouped_gemm_fp8");
    Counted<&S::grouped_gemm_fp8_wgrad>::install(set, "grouped_gemm_fp8_wgrad");
    Counted<&S::local_route>::install(set, "local_route");
    Counted<&S::mla_attention>::install(set, "mla_attention");
    Counted<&S::mla_attention_backward>::install(set, "mla_attention_backward");
    Counted<&S::mla_decode>::install(set, "mla_decode");
    Counted<&S::mla_prefill>::install(set, "mla_prefill");
    Counted<&S::permute>::install(set, "permute");
    Counted<&S::permute_again>::install(set, "permute_again");
    Counted<&S::quantize_e5m6>::install(set, "quantize_e5m6");
    Counted<&S::quantize_fp8>::install(set, "quantize_fp8");
    Counted<&S::quantize_weight_fp8>::install(set, "quantize_weight_fp8");
    Counted<&S::requantize_transpose_fp8>::install(set, "requantize_transpose_fp8");
    Counted<&S::residual_add>::install(set, "residual_add");
    Counted<&S::rms_norm>::install(set, "rms_norm");
    Counted<&S::rms_norm_backward>::install(set, "rms_norm_backward");
    Counted<&S::rope>::install(set, "rope");
    Counted<&S::rope_backward>::install(set, "rope_backward");
    Counted<&S::rope_latent>::install(set, "rope_latent");
    Counted<&S::router_topk>::install(set, "router_topk");
    Counted<&S::router_topk_backward>::install(set, "router_topk_backward");
    Counted<&S::sample>::install(set, "sample");
    Counted<&S::split>::install(set, "split");
    Counted<&S::swiglu>::install(set, "swiglu");
    Counted<&S::swiglu_backward>::install(set, "swiglu_backward");
    Counted<&S::unpermute>::install(set, "unpermute");
    return set;
}

class WithKernels final : public Device {
public:
    WithKernels(const KernelSet& set, const ModelConfig& config)
        : Device("counting", host_memory(), set, config) {}
};

DeviceKind devices_with(const KernelSet& set) {
    DeviceKind kind = cpu_devices();
    kind.name = "counting";
    kind.kernels = set;
    kind.make = [set](const ModelConfig& config) {
        return std::make_unique<WithKernels>(set, config);
    };
    return kind;
}

// Of a step of training over the job's ranks.
void check_training(TrainingJob job) {
    Json model = test::small_model();
    job.device = devices_with(counting_kernels());
    const ExecutionGraph graph = build_training_graph(job.setup);
    const Dependencies dependencies(graph);
    called.clear();
    ThreadWorld(graph.instances().ranks(), job.ranks_per_node).run([&](Communicator& rank) {
        RankTrainer trainer(job, graph, dependencies, rank, random_parameters(3));
        TrainingStep numbers;
        numbers.learning_rate = 1e-3;
        trainer.step([](std::int64_t index) { return test::sequence(1, index); }, numbers);
    });
    const auto needed = required_kernels(graph, job.setup.sizes.config, job.policy);
    CHECK(Names(needed.begin(), needed.end()) == called);
}

TrainingJob small_job(const test::Spread& spread) {
    Json model = test::small_model();
    model["num_hidden_layers"] = 3;
    TrainingJob job = test::job_of(spread, model);
    job.setup.micro_batches = 1;
    return job;
}

}  // namespace

TEST_CASE("required kernels: those that training calls, in BF16 and FP32", "[runtime][device]") {
    set_cpu_threads(1);
    check_training(small_job({"", ScheduleKind::one_f_one_b}));
    TrainingJob job = small_job({"", ScheduleKind::one_f_one_b, 1, 2, 2});
    job.policy.compute = DType::bf16;
    job.setup.ema = true;
    check_training(job);
}

TEST_CASE("required kernels: those that training calls, in FP8 and its stand-in",
          "[runtime][device]") {
    set_cpu_threads(1);
    for (const Fp8Mode mode : {Fp8Mode::simulate, Fp8Mode::dequantize}) {
        TrainingJob job = small_job({"", ScheduleKind::one_f_one_b, 1, 2, 2});
        job.policy.compute = DType::bf16;
        job.policy.fp8 = mode;
        job.setup.sizes.precision = {DType::e4m3, DType::e4m3, DType::bf16};
        check_training(job);
    }
}

TEST_CASE("required kernels: those that a forward pass calls", "[runtime][device]") {
    const Checkpoint checkpoint = test::tiny_model();
    for (const Fp8Mode mode : {Fp8Mode::simulate, Fp8Mode::dequantize}) {
        EvaluateOptions options;
        options.device = devices_with(counting_kernels());
        options.policy.fp8 = mode;
        called.clear();
        const Evaluation done = evaluate(checkpoint, {5, 9, 2, 77}, 1, options);
        const auto needed = required_kernels(done.graph, checkpoint.config(), options.policy);
        CHECK(Names(needed.begin(), needed.end()) == called);
    }
}

TEST_CASE("required kernels: those that generation calls", "[runtime][device]") {
    const Checkpoint checkpoint = test::tiny_model();
    GenerateOptions options;
    options.device = devices_with(counting_kernels());
    options.max_new_tokens = 2;
    options.speculative = true;
    called.clear();
    const Generation done = generate(checkpoint, {{5, 9, 2, 77}}, options);
    Names needed;
    for (const GenerationGraph& each : done.graphs) {
        const auto of_graph = required_kernels(each.graph, checkpoint.config(), options.policy);
        needed.insert(of_graph.begin(), of_graph.end());
    }
    CHECK(needed == called);
}

TEST_CASE("required kernels: all that a device lacks is said before a device is made",
          "[runtime][device]") {
    KernelSet holes = cpu_devices().kernels;
    holes.rms_norm = nullptr;
    holes.mla_decode = nullptr;
    holes.mla_attention_backward = nullptr;
    DeviceKind kind = cpu_devices();
    kind.name = "holed";
    kind.kernels = holes;
    kind.make = [](const ModelConfig&) -> std::unique_ptr<Device> {
        FAIL("a device is made");
        return nullptr;
    };
    const Checkpoint checkpoint = test::tiny_model();
    EvaluateOptions evaluate_options;
    evaluate_options.device = kind;
    CHECK_THROWS_AS(evaluate(checkpoint, {5, 9, 2}, 1, evaluate_options), FeatureError);
    CHECK_THROWS_AS(
        evaluate_gradients(checkpoint, {5, 9, 2}, 1, GradientLoss::main, evaluate_options),
        FeatureError);
    GenerateOptions generate_options;
    generate_options.device = kind;
    try {
        generate(checkpoint, {{5, 9, 2}}, generate_options);
        FAIL("it has no kernels for this");
    } catch (const FeatureError& error) {
        CHECK(std::string(error.what()) ==
              "the device 'holed' has no kernel for mla_decode, rms_norm");
    }
    // What the graph does not use may be missing.
    holes.rms_norm = cpu_devices().kernels.rms_norm;
    generate_options.device.kernels = holes;
    generate_options.device.kernels.mla_decode = cpu_devices().kernels.mla_decode;
    generate_options.device.make = cpu_devices().make;
    generate_options.max_new_tokens = 1;
    CHECK(generate(checkpoint, {{5, 9, 2}}, generate_options).sequences.front().tokens.size() == 1);
}

}  // namespace r1
