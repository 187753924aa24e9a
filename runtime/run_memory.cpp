#include "runtime/run_memory.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "kernels/workspace.hpp"
#include "runtime/op_call.hpp"

namespace r1 {

namespace {

double stored_bits(const TrainingJob& job, const Tensor& tensor) {
    if (is_scale(tensor) && job.policy.fp8 == Fp8Mode::dequantize) {
        return 0;  // there are none
    }
    const bool is_state = tensor.role == TensorRole::optimizer_state;
    return bits(is_state && job.f32_moments ? DType::f32 : stored_as(tensor, job.policy));
}

// The optimizer's kernels take next to none.
Bytes workspaces(const TrainingJob& job, const ExecutionGraph& graph, const RankProgram& program,
                 const SymbolValues& bound, const Device& device) {
    const ModelConfig config = job.routed_config();
    const CallSettings settings{config, job.policy, job.setup.sizes.sequence_length};
    std::array<std::size_t, kStreamCount> largest{};
    std::set<TemplateId> seen;
    for (const Item& item : program.items) {
        if (!is_chunk(item.kind) || !seen.insert(item.chunk).second) {
            continue;
        }
        const ChunkTemplate& chunk = graph.chunk(item.chunk);
        for (const Op& op : chunk.ops) {
            if (op.compute() != nullptr && op.phase != Phase::optimizer) {
                std::size_t& of_stream = largest[static_cast<std::size_t>(op.stream)];
                const OpCall call = shaped_call(chunk, op, settings, bound);
                of_stream = std::max(of_stream, aligned_bytes(device.workspace_bytes(call)));
            }
        }
    }
    double sum = 0;
    for (const std::size_t bytes : largest) {
        sum += static_cast<double>(bytes);
    }
    return Bytes(sum);
}

}  // namespace

std::vector<RunMemory> plan_run_memory(const TrainingJob& job, const ExecutionGraph& graph,
                                       const SymbolValues& bound, const Device& device) {
    const MemoryPlan plan =
        plan_memory(graph, bound, [&](const Tensor& tensor) { return stored_bits(job, tensor); });
    std::vector<RunMemory> programs;
    for (std::size_t i = 0; i < plan.programs.size(); ++i) {
        programs.push_back(
            {plan.programs[i], workspaces(job, graph, graph.programs()[i], bound, device)});
    }
    return programs;
}

Bytes reserve_run_memory(const std::vector<RunMemory>& programs, const ExecutionGraph& graph,
                         std::span<const RankId> ranks, const DeviceKind& devices) {
    RunMemory all;
    for (const RankId rank : ranks) {
        const auto program = static_cast<std::size_t>(graph.instances().program_of(rank));
        const RunMemory& each = programs[program];
        all.rank.weights += each.rank.weights;
        all.rank.gradients += each.rank.gradients;
        all.rank.optimizer += each.rank.optimizer;
        all.rank.cache += each.rank.cache;
        all.rank.activations_peak += each.rank.activations_peak;
        all.workspaces += each.workspaces;
    }
    reserve_memory(devices,
                   fmt::format(" of {} rank{}", ranks.size(), ranks.size() == 1 ? "" : "s"),
                   {{"weights", all.rank.weights.value()},
                    {"gradients", all.rank.gradients.value()},
                    {"optimizer", all.rank.optimizer.value()},
                    {"cache", all.rank.cache.value()},
                    {"activations", all.rank.activations_peak.value()},
                    {"workspaces", all.workspaces.value()}});
    return all.total();
}

}  // namespace r1
