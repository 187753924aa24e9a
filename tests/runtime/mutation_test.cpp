// One graph, really: whatever op of a forward graph is left out or rewired, the result changes or
// the run fails. So nothing that eval and generate compute comes from anywhere but their graphs.
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "model/graph/graph_builder.hpp"
#include "model/workload/train.hpp"
#include "runtime/binding.hpp"
#include "runtime/cpu_device.hpp"
#include "runtime/executor.hpp"
#include "tests/model/checkpoint_fixture.hpp"
#include "tests/runtime/tiny_model.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace r1;

namespace {

using Outputs = std::vector<std::byte>;

const std::vector<std::int32_t> kTokens = {5, 9, 2, 17, 21, 8, 12, 3};

// A graph of one chunk, to be changed.
struct Forward {
    explicit Forward(const TrainingSetup& setup) : graph(build_forward_graph(setup)) {}

    ExecutionGraph graph;
    [[nodiscard]] const ChunkTemplate& chunk() const { return graph.templates().front(); }
    // Throws GraphError if it does not freeze.
    [[nodiscard]] ExecutionGraph with(ChunkTemplate chunk) const {
        GraphBuilder builder(graph.instances());
        RankProgram program = graph.programs().front();
        program.items.front().chunk = builder.add(std::move(chunk));
        builder.add(program);
        return builder.freeze();
    }
};

class Runs {
public:
    explicit Runs(Checkpoint checkpoint)
        : checkpoint_(std::move(checkpoint)), weights_(policy_), device_(checkpoint_.config()) {
        policy_.sampling.temperature = 1;
        const ModelConfig& config = checkpoint_.config();
        const auto count = static_cast<std::int64_t>(kTokens.size());
        graphs_.emplace_back(forward_setup(config, 1, count));
        graphs_.emplace_back(generation_setup(config, CacheUse::prefill, 1, count - 2, true));
        graphs_.emplace_back(generation_setup(config, CacheUse::decode, 1, 2, true));
        for (const Forward& forward : graphs_) {
            weights_.load(forward.chunk(), checkpoint_, 0);
        }
    }

    // 0: eval's graph; 1: the graph of a prompt; 2: that of a decode step with a draft.
    [[nodiscard]] const Forward& graph(std::size_t which) const { return graphs_[which]; }

    // What the run gives after `chunk` replaced that of graph `which`; empty if it does not freeze.
    Outputs results(std::size_t which, ChunkTemplate chunk) {
        try {
            const ExecutionGraph changed = graphs_[which].with(std::move(chunk));
            if (which == 0) {
                return evaluated(changed);
            }
            return generated(which == 1 ? changed : graphs_[1].graph,
                             which == 2 ? changed : graphs_[2].graph);
        } catch (const GraphError&) {
            return {};
        }
    }

private:
    Outputs run(const ExecutionGraph& graph, const InputValues& inputs, double past,
                const LatentCache* cache) {
        const ModelConfig& config = checkpoint_.config();
        const auto tokens = static_cast<std::int64_t>(inputs.at("tokens").size());
        SymbolValues symbols = local_binding(config, tokens);
        symbols[static_cast<std::size_t>(Symbol::past_tokens)] = past;
        symbols[static_cast<std::size_t>(Symbol::cache_capacity)] = kCapacity;
        const auto keep = [](const Tensor& tensor) {
            return tensor.name.ends_with("logits") || tensor.name.ends_with("nll") ||
                   tensor.name == "next_tokens" || tensor.name == "mtp.draft";
        };
        const Executor executor({graph, config, policy_, tokens, keep}, weights_, symbols, device_);
        Arena arena(executor.plan().bytes());
        Outputs bytes;
        for (const auto& [name, value] : executor.run({inputs, symbols, cache, 0}, arena)) {
            if (!name.ends_with("gate.logits")) {
                bytes.insert(bytes.end(), value.data.begin(), value.data.end());
            }
        }
        return bytes;
    }

    Outputs evaluated(const ExecutionGraph& graph) {
        return run(graph,
                   {{"tokens", kTokens},
                    {"labels", {9, 2, 17, 21, 8, 12, 3, -1}},
                    {"mtp.tokens", {9, 2, 17, 21, 8, 12, 3, 0}},
                    {"mtp.labels", {2, 17, 21, 8, 12, 3, -1, -1}}},
                   0, nullptr);
    }

    Outputs generated(const ExecutionGraph& prefill, const ExecutionGraph& decode) {
        const LatentCache cache(graphs_[2].chunk(), 1, kCapacity, policy_);
        run(prefill,
            {{"tokens", {5, 9, 2, 17, 21, 8}},
             {"mtp.tokens", {9, 2, 17, 21, 8, 12}},
             {"positions", {0, 1, 2, 3, 4, 5}}},
            0, &cache);
        const std::int32_t half = 1 << 30;
        return run(decode, {{"tokens", {12, 3}}, {"positions", {6, 7}}, {"randoms", {half, half}}},
                   6, &cache);
    }

    static constexpr std::int64_t kCapacity = 8;
    Checkpoint checkpoint_;
    ExecutionPolicy policy_;
    StageWeights weights_;
    CpuDevice device_;
    std::vector<Forward> graphs_;
};

// Small projections in FP8, of whole and of partial blocks. Scales keep activations near one: of
// scores far apart, attention sees one key only, whatever becomes of the others.
Checkpoint fp8_model() {
    const Json json = test::small_config_json();
    const ModelConfig config = test::small_config(json);
    test::TensorSet tensors = test::small_tensors(config);
    for (const Parameter& parameter : parameter_inventory(config)) {
        if (test::is_fp8_name(parameter.name)) {
            const std::string scale = parameter.name + "_scale_inv";
            const std::vector<std::int64_t> shape = tensors.at(scale).shape;
            const float value = 0.01F / std::sqrt(static_cast<float>(parameter.shape.back()));
            tensors.erase(scale);
            tensors.add(scale, StoredType::f32, shape,
                        std::vector<float>(static_cast<std::size_t>(shape[0] * shape[1]), value));
        }
    }
    const test::TemporaryFolder folder("mutation");
    write_checkpoint(folder.path(), tensors.views(), kShardBytes, &json);
    return Checkpoint::open(folder.path());
}

}  // namespace

TEST_CASE("runtime: leaving out any op of the graphs changes the result", "[runtime]") {
    std::set<std::string> kinds;
    const auto leave_out = [&](Checkpoint checkpoint) {
        Runs runs(std::move(checkpoint));
        for (std::size_t which = 0; which < 3; ++which) {
            const ChunkTemplate& chunk = runs.graph(which).chunk();
            const Outputs whole = runs.results(which, chunk);
            REQUIRE(!whole.empty());
            for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
                ChunkTemplate changed = chunk;
                kinds.emplace(kind_name(changed.ops[i]));
                INFO("graph " << which << ", op " << i << ", " << kind_name(changed.ops[i]));
                changed.ops.erase(changed.ops.begin() + static_cast<std::ptrdiff_t>(i));
                CHECK(runs.results(which, changed) != whole);
            }
        }
    };
    leave_out(test::tiny_model());
    leave_out(fp8_model());
    // Every kind that forward graphs know; dequantize_fp8 stands only where the dispatch is FP8 and
    // the products are not.
    CHECK(kinds ==
          std::set<std::string>{
              "argmax",           "cache_latent",  "combine",    "concat",      "cross_entropy",
              "dispatch",         "embedding",     "gemm_bf16",  "gemm_fp8",    "grouped_gemm_bf16",
              "grouped_gemm_fp8", "mla_attention", "mla_decode", "mla_prefill", "permute",
              "quantize_fp8",     "residual_add",  "rms_norm",   "rope",        "rope_query",
              "router_topk",      "sample",        "swiglu",     "unpermute"});
}

TEST_CASE("runtime: rewiring an op to another tensor of its shape changes the result",
          "[runtime][slow]") {
    Runs runs(test::tiny_model());
    for (std::size_t which = 0; which < 3; ++which) {
        const ChunkTemplate& chunk = runs.graph(which).chunk();
        const Outputs whole = runs.results(which, chunk);
        int rewired = 0;
        for (std::size_t i = 1; i < chunk.ops.size(); ++i) {
            ChunkTemplate changed = chunk;
            Op& op = changed.ops[i];
            // Its first input becomes what an earlier op made, of the same shape and type.
            const Tensor& now = changed.tensors[op.inputs.front().index()];
            for (std::size_t j = 0; j < i; ++j) {
                const TensorId other = changed.ops[j].outputs.front();
                const Tensor& candidate = changed.tensors[other.index()];
                if (other != op.inputs.front() && candidate.role == now.role &&
                    candidate.shape == now.shape && candidate.dtype == now.dtype) {
                    op.inputs.front() = other;
                    INFO("graph " << which << ", op " << i << ", " << kind_name(op) << " reads "
                                  << candidate.name);
                    CHECK(runs.results(which, changed) != whole);
                    ++rewired;
                    break;
                }
            }
        }
        CHECK(rewired > 10);
    }
}
