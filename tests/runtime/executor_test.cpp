// Memory of a run: nothing beyond the plan, nothing after its last reader.
#include "runtime/executor.hpp"

#include "model/base/check.hpp"
#include "model/config/parameters.hpp"
#include "model/workload/train.hpp"
#include "runtime/binding.hpp"
#include "runtime/cpu_device.hpp"
#include "tests/runtime/tiny_model.hpp"
#include "tests/support/catch.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

using namespace r1;

namespace {

// The forward graph over four tokens.
struct Run {
    Run() : weights(policy), device(checkpoint.config()) {
        weights.load(graph.templates().front(), checkpoint, 0);
    }

    [[nodiscard]] Executor executor() {
        return Executor({graph, checkpoint.config(), policy, 4,
                         [](const Tensor& tensor) { return tensor.name == "logits"; }},
                        weights, symbols, device);
    }

    Checkpoint checkpoint = test::tiny_model();
    ExecutionPolicy policy;
    ExecutionGraph graph = build_forward_graph(forward_setup(checkpoint.config(), 1, 4));
    SymbolValues symbols = local_binding(checkpoint.config(), 4);
    StageWeights weights;
    CpuDevice device;
    InputValues inputs = {{"tokens", {5, 9, 2, 77}},
                          {"labels", {9, 2, 77, -1}},
                          {"mtp.tokens", {9, 2, 77, 0}},
                          {"mtp.labels", {2, 77, -1, -1}}};
};

}  // namespace

TEST_CASE("executor: an arena one byte short fails", "[runtime]") {
    Run run;
    const Executor executor = run.executor();
    Arena enough(executor.plan().bytes());
    CHECK(executor.run({run.inputs, run.symbols}, enough).count("logits") == 1);
    Arena short_of_one(executor.plan().bytes() - 1);
    CHECK_THROWS_AS(executor.run({run.inputs, run.symbols}, short_of_one), InternalError);
}

TEST_CASE("executor: a plan one byte short fails", "[runtime]") {
    Run run;
    const Executor executor = run.executor();
    Arena arena(executor.plan().bytes());
    ArenaPlan plan = executor.plan();
    --plan.activation_bytes;
    ChunkBuffers buffers(plan, arena);
    int refused = 0;
    for (std::size_t t = 0; t < plan.offset.size(); ++t) {
        if (plan.offset[t] + plan.size[t] == executor.plan().activation_bytes) {
            CHECK_THROWS_AS(buffers.open(TensorId(t)), InternalError);
            ++refused;
        }
    }
    CHECK(refused > 0);
}

TEST_CASE("executor: symbols beyond the plan fail", "[runtime]") {
    Run run;
    const Executor executor = run.executor();
    Arena arena(executor.plan().bytes());
    CHECK_THROWS_AS(executor.run({run.inputs, local_binding(run.checkpoint.config(), 5)}, arena),
                    InternalError);
}

TEST_CASE("executor: buffers never overlap while both are alive", "[runtime]") {
    Run run;
    const ArenaPlan plan = run.executor().plan();
    const ChunkTemplate& chunk = run.graph.templates().front();
    std::vector<std::size_t> alive;
    for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
        for (const TensorId id : chunk.ops[i].outputs) {
            const std::size_t t = id.index();
            for (const std::size_t other : alive) {
                const bool apart = plan.offset[t] + plan.size[t] <= plan.offset[other] ||
                                   plan.offset[other] + plan.size[other] <= plan.offset[t];
                CHECK((apart || plan.size[t] == 0 || plan.size[other] == 0));
            }
            alive.push_back(t);
        }
        for (const TensorId id : plan.dies[i]) {
            alive.erase(std::remove(alive.begin(), alive.end(), id.index()), alive.end());
        }
    }
    CHECK(!alive.empty());  // the logits
}

TEST_CASE("executor: dead buffers are poisoned", "[runtime]") {
#if defined(__SANITIZE_ADDRESS__)
    Run run;
    const Executor executor = run.executor();
    const ArenaPlan& plan = executor.plan();
    Arena arena(plan.bytes());
    {
        ChunkBuffers buffers(plan, arena);
        const TensorId first = run.graph.templates().front().ops.front().outputs.front();
        std::byte* data = buffers.at(first);
        CHECK(__asan_address_is_poisoned(data) == 1);
        buffers.open(first);
        CHECK(__asan_region_is_poisoned(data, plan.size[first.index()]) == nullptr);
        buffers.close(first);
        CHECK(__asan_address_is_poisoned(data) == 1);
    }
    executor.run({run.inputs, run.symbols}, arena);
    CHECK(__asan_address_is_poisoned(arena.at(0, 1)) == 1);
#else
    WARN("r1 test skipped: needs AddressSanitizer (preset dev)");
#endif
}

TEST_CASE("latent cache: holds the bytes that the config predicts", "[runtime]") {
    const Checkpoint checkpoint = test::tiny_model();
    const ModelConfig& config = checkpoint.config();
    const ExecutionGraph graph =
        build_forward_graph(generation_setup(config, CacheUse::decode, 3, 1, false));
    ExecutionPolicy policy;
    policy.compute = DType::bf16;
    CHECK(
        static_cast<double>(LatentCache::planned_bytes(graph.templates().front(), 3, 64, policy)) ==
        kv_cache_bytes_per_token(config).value() * 3 * 64);
}
