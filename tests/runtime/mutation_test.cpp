// One graph, really: whatever op of the forward graph is left out or rewired, the logits change or
// the run fails. So nothing that eval computes comes from anywhere but the graph.
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "model/graph/graph_builder.hpp"
#include "model/routing/traffic.hpp"
#include "runtime/cpu_device.hpp"
#include "runtime/evaluate.hpp"
#include "tests/support/catch.hpp"

using namespace r1;

namespace {

// The forward graph of the smallest golden model over eight tokens, to be changed and run.
class Forward {
public:
    Forward()
        : checkpoint_(
              Checkpoint::open(std::filesystem::path(R1_SOURCE_DIR) / "tests/golden/tiny_a")),
          setup_(forward_setup(checkpoint_.config(), 1, kTokens)),
          graph_(build_forward_graph(setup_)) {}

    [[nodiscard]] const ChunkTemplate& chunk() const { return graph_.templates().front(); }

    // The logits of both heads after `chunk` replaced the graph's; empty if it does not freeze.
    [[nodiscard]] std::vector<std::byte> logits(ChunkTemplate chunk) const {
        GraphBuilder builder(graph_.instances());
        RankProgram program = graph_.programs().front();
        program.items.front().chunk = builder.add(std::move(chunk));
        builder.add(program);
        try {
            return run(builder.freeze());
        } catch (const GraphError&) {
            return {};
        }
    }

private:
    static constexpr std::int64_t kTokens = 8;

    [[nodiscard]] std::vector<std::byte> run(const ExecutionGraph& graph) const {
        const ModelConfig& config = checkpoint_.config();
        const ExecutionPolicy policy;
        const StageWeights weights(graph.templates().front(), checkpoint_, 0, policy);
        const InputValues inputs = {{"tokens", {5, 9, 2, 77, 31, 8, 120, 3}},
                                    {"labels", {9, 2, 77, 31, 8, 120, 3, -1}},
                                    {"mtp.tokens", {9, 2, 77, 31, 8, 120, 3, 0}},
                                    {"mtp.labels", {2, 77, 31, 8, 120, 3, -1, -1}}};
        CpuDevice device(config);
        const ExecutionResult result = execute(
            {graph, config, weights, policy, inputs,
             balanced_binding(config, balanced_traffic(config, {1, 1}, 0, 0), kTokens), kTokens,
             [](const Tensor& tensor) {
                 return tensor.name.ends_with("logits") || tensor.name.ends_with("nll");
             }},
            device);
        std::vector<std::byte> bytes;
        for (const char* name : {"logits", "nll", "mtp.logits", "mtp.nll"}) {
            const auto found = result.tensors.find(name);
            if (found != result.tensors.end()) {
                bytes.insert(bytes.end(), found->second.data.begin(), found->second.data.end());
            }
        }
        return bytes;
    }

    Checkpoint checkpoint_;
    TrainingSetup setup_;
    ExecutionGraph graph_;
};

}  // namespace

TEST_CASE("runtime: leaving out any op of the graph changes the result", "[runtime]") {
    const Forward forward;
    const std::vector<std::byte> whole = forward.logits(forward.chunk());
    REQUIRE(!whole.empty());
    std::set<std::string> kinds;
    for (std::size_t i = 0; i < forward.chunk().ops.size(); ++i) {
        ChunkTemplate changed = forward.chunk();
        kinds.emplace(kind_name(changed.ops[i]));
        INFO("op " << i << ", " << kind_name(changed.ops[i]));
        changed.ops.erase(changed.ops.begin() + static_cast<std::ptrdiff_t>(i));
        CHECK(forward.logits(changed) != whole);
    }
    CHECK(kinds.size() >= 14);
}

TEST_CASE("runtime: rewiring an op to another tensor of its shape changes the result",
          "[runtime]") {
    const Forward forward;
    const std::vector<std::byte> whole = forward.logits(forward.chunk());
    int rewired = 0;
    for (std::size_t i = 1; i < forward.chunk().ops.size(); ++i) {
        ChunkTemplate changed = forward.chunk();
        Op& op = changed.ops[i];
        // Its first input becomes what an earlier op made, of the same shape and type.
        const Tensor& now = changed.tensors[op.inputs.front().index()];
        for (std::size_t j = 0; j < i; ++j) {
            const TensorId other = changed.ops[j].outputs.front();
            const Tensor& candidate = changed.tensors[other.index()];
            if (other != op.inputs.front() && candidate.role == now.role &&
                candidate.shape == now.shape && candidate.dtype == now.dtype) {
                op.inputs.front() = other;
                INFO("op " << i << ", " << kind_name(op) << " reads " << candidate.name);
                CHECK(forward.logits(changed) != whole);
                ++rewired;
                break;
            }
        }
    }
    CHECK(rewired > 20);
}
