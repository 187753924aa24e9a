// Tensor-parallel groups against the same layers on one rank: what they share out, what each holds,
// and what they tell each other, by closed forms.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/config/parameters.hpp"
#include "model/layers/stage.hpp"
#include "model/workload/chunks.hpp"
#include "model/workload/train.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/training_setup.hpp"

using namespace r1;
using test::contains;
using test::tiny_setup;
using test::variant;

namespace {

// One stage, with 4 / `ranks` replicas.
TrainingSetup shared_by(std::int64_t ranks, const Json& model, DType gemm = DType::e4m3) {
    TrainingSetup setup = tiny_setup(ScheduleKind::one_f_one_b, 1, 2, model);
    setup.sizes.precision.gemm = gemm;
    setup.sizes.tensor_parallel = ranks;
    setup.plan.tensor_parallel = static_cast<int>(ranks);
    setup.plan.data_parallel = static_cast<int>(4 / ranks);
    return setup;
}

std::vector<ChunkTemplate> chunks_of(const TrainingSetup& setup) {
    const std::vector<Block> stage =
        stage_blocks(setup.sizes, stage_layouts(setup.stage_layers).front());
    return {forward_chunk("F", stage), backward_chunk("B", stage, true, false),
            backward_chunk("W", stage, false, true)};
}

// With as many rows of routed experts as the rank's tokens bring.
double flops(const ChunkTemplate& chunk, const LayerSizes& sizes) {
    double sum = 0;
    for (const Op& op : chunk.ops) {
        if (op.compute() != nullptr) {
            sum += op.compute()->work.matrix_flops.value(test::balanced(sizes));
        }
    }
    return sum;
}

double values_held(const std::vector<ChunkTemplate>& chunks, TensorRole role) {
    std::map<std::string, double> held;
    for (const ChunkTemplate& chunk : chunks) {
        for (const Tensor& tensor : chunk.tensors) {
            if (tensor.role == role && !contains(tensor.name, "scale_inv")) {
                held[tensor.name] = elements(tensor).constant;
            }
        }
    }
    double sum = 0;
    for (const auto& [name, count] : held) {
        sum += count;
    }
    return sum;
}

// By the names of the released checkpoints.
bool is_shared_out(const Parameter& parameter, const ModelConfig& config) {
    const std::string& name = parameter.name;
    const bool is_dense_ffn =
        contains(name, ".mlp.") && contains(name, "_proj.") && !contains(name, "experts") &&
        (parameter.layer < config.first_k_dense_replace || !config.is_moe(parameter.layer));
    return is_dense_ffn || contains(name, "embed_tokens") || contains(name, "lm_head") ||
           contains(name, "q_b_proj") || contains(name, "kv_b_proj") || contains(name, "o_proj");
}

}  // namespace

TEST_CASE("tensor parallel: a group does the work of one rank, in equal parts", "[model][layers]") {
    for (const std::string name : {"R1", "dense", "no MTP", "tied"}) {
        for (const DType gemm : {DType::e4m3, DType::bf16}) {
            const TrainingSetup alone = shared_by(1, variant(name), gemm);
            const TrainingSetup two = shared_by(2, variant(name), gemm);
            const std::vector<ChunkTemplate> whole = chunks_of(alone);
            const std::vector<ChunkTemplate> part = chunks_of(two);
            for (std::size_t i = 0; i < whole.size(); ++i) {
                INFO(name << ", " << whole[i].name);
                CHECK(2 * flops(part[i], two.sizes) ==
                      Approx(flops(whole[i], alone.sizes)).epsilon(1e-12));
            }
        }
    }
}

TEST_CASE("tensor parallel: heads, dense FFN and words are shared out, and nothing else",
          "[model][layers]") {
    for (const std::string name : {"R1", "dense", "two shared experts"}) {
        const ModelConfig config = shared_by(1, variant(name)).sizes.config;
        double shared_out = 0;
        for (const Parameter& parameter : parameter_inventory(config)) {
            const bool counts = !parameter.copy && is_shared_out(parameter, config);
            shared_out += counts ? static_cast<double>(parameter.count()) : 0;
        }
        for (const TensorRole role : {TensorRole::parameter, TensorRole::gradient}) {
            const double whole = values_held(chunks_of(shared_by(1, variant(name))), role);
            const double part = values_held(chunks_of(shared_by(4, variant(name))), role);
            CHECK(whole - part == 0.75 * shared_out);
        }
    }
}

TEST_CASE("tensor parallel: ranks gather latents and sum outputs, as sequence parallelism does",
          "[model][layers]") {
    Json model = variant("R1");
    model["num_nextn_predict_layers"] = 0;
    const TrainingSetup setup = shared_by(2, model);
    const ModelConfig& c = setup.sizes.config;
    const double tokens = 128;
    const double bf16 = 2 * tokens;
    const double hidden = bf16 * static_cast<double>(c.hidden_size);
    const double latents =
        bf16 * static_cast<double>(c.q_lora_rank + c.kv_lora_rank + c.qk_rope_head_dim);
    const auto layers = static_cast<double>(c.num_hidden_layers);
    const auto dense = static_cast<double>(c.first_k_dense_replace);
    std::map<Collective, double> bytes;
    const ChunkTemplate forward = chunks_of(setup)[0];
    for (const Op& op : forward.ops) {
        if (op.comm() != nullptr && op.comm()->group == GroupKind::tensor_parallel) {
            bytes[op.comm()->collective] += op.comm()->payload_bytes.constant;
        }
    }
    // Of each layer's attention, of the dense FFNs, of the head; and what attention, FFNs and the
    // embedding add up.
    CHECK(bytes[Collective::all_gather] == layers * latents + dense * hidden + hidden);
    CHECK(bytes[Collective::reduce_scatter] == layers * hidden + dense * hidden + hidden);
    CHECK(bytes[Collective::all_reduce] == tokens * 2 * 4);  // losses and sums, in float32
}

TEST_CASE("tensor parallel: a group is neighbours, its shards are reduced over the other replicas",
          "[model][graph]") {
    TrainingSetup setup = shared_by(2, variant("R1"));
    setup.plan.expert_parallel = 4;  // of both ranks of both replicas
    setup.sizes.local_experts = setup.sizes.config.n_routed_experts / 4;
    const ExecutionGraph graph = build_training_graph(setup);
    const RankId rank(std::size_t{2});
    const auto members = [&](GroupKind kind) {
        std::vector<std::size_t> numbers;
        for (const RankId each : graph.group(kind, rank, 0)) {
            numbers.push_back(each.index());
        }
        CHECK(static_cast<std::int64_t>(numbers.size()) == graph.group_size(kind, 0));
        return numbers;
    };
    using Numbers = std::vector<std::size_t>;
    CHECK(members(GroupKind::tensor_parallel) == Numbers{2, 3});
    CHECK(members(GroupKind::tensor_data_parallel) == Numbers{0, 2});
    CHECK(members(GroupKind::expert_parallel) == Numbers{0, 1, 2, 3});
    CHECK(members(GroupKind::data_parallel) == Numbers{0, 1, 2, 3});
    std::set<GroupKind> reduced;
    for (const ChunkTemplate& chunk : graph.templates()) {
        for (const Op& op : chunk.ops) {
            if (op.comm() != nullptr && op.comm()->collective == Collective::reduce_scatter &&
                op.phase == Phase::optimizer) {
                reduced.insert(op.comm()->group);
            }
        }
    }
    CHECK(reduced == std::set<GroupKind>{GroupKind::data_parallel, GroupKind::expert_data_parallel,
                                         GroupKind::tensor_data_parallel});
}
