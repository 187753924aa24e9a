#include "model/graph/op.hpp"

#include <algorithm>
#include <array>

#include "model/base/check.hpp"

namespace r1 {

std::string_view name(Stream stream) {
    static constexpr std::array<std::string_view, kStreamCount> names = {
        "compute", "wgrad", "comm", "pipeline_send", "pipeline_recv", "data_parallel"};
    return names[static_cast<std::size_t>(stream)];
}

std::string_view name(Phase phase) {
    static constexpr std::array<std::string_view, 4> names = {"forward", "backward_input",
                                                              "backward_weight", "optimizer"};
    return names[static_cast<std::size_t>(phase)];
}

std::string_view name(TensorRole role) {
    static constexpr std::array<std::string_view, 6> names = {
        "activation", "input", "parameter", "gradient", "optimizer_state", "cache"};
    return names[static_cast<std::size_t>(role)];
}

std::string_view name(Collective collective) {
    static constexpr std::array<std::string_view, kCollectiveCount> names = {"send",
                                                                             "recv",
                                                                             "dispatch",
                                                                             "combine",
                                                                             "notify",
                                                                             "reduce_scatter",
                                                                             "all_gather",
                                                                             "all_reduce",
                                                                             "low_latency_dispatch",
                                                                             "low_latency_combine"};
    return names[static_cast<std::size_t>(collective)];
}

std::string_view name(GroupKind kind) {
    static constexpr std::array<std::string_view, kGroupKindCount> names = {
        "pipeline",  "expert_parallel", "data_parallel",   "expert_data_parallel",
        "embedding", "world",           "tensor_parallel", "tensor_data_parallel"};
    return names[static_cast<std::size_t>(kind)];
}

std::string_view kind_name(const Op& op) {
    if (const ComputeOp* compute = op.compute()) {
        return name(compute->kernel);
    }
    return name(op.comm()->collective);
}

bool is_global(const Tensor& tensor) {
    return tensor.name.starts_with("model.") || tensor.name.starts_with("lm_head.");
}

Extent elements(const Tensor& tensor) {
    Extent product = 1;
    for (const Extent& extent : tensor.shape) {
        if (extent.is_constant()) {
            product *= extent.constant;
        } else {
            R1_CHECK(product.is_constant());  // no tensor has two symbolic dimensions
            const double factor = product.constant;
            product = extent * factor;
        }
    }
    return product;
}

Extent bytes(const Tensor& tensor) { return elements(tensor) * (bits(tensor.dtype) / 8); }

std::vector<std::vector<OpIndex>> predecessors(const ChunkTemplate& chunk) {
    std::vector<std::vector<OpIndex>> result(chunk.ops.size());
    std::vector<OpIndex> producer(chunk.tensors.size());
    std::array<OpIndex, kStreamCount> last{};
    for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
        const Op& op = chunk.ops[i];
        std::vector<OpIndex>& before = result[i];
        for (const TensorId input : op.inputs) {
            if (producer[input.index()].valid()) {
                before.push_back(producer[input.index()]);
            }
        }
        OpIndex& previous = last[static_cast<std::size_t>(op.stream)];
        if (previous.valid()) {
            before.push_back(previous);
        }
        previous = OpIndex(i);
        for (const TensorId output : op.outputs) {
            producer[output.index()] = OpIndex(i);
        }
        std::sort(before.begin(), before.end());
        before.erase(std::unique(before.begin(), before.end()), before.end());
    }
    return result;
}

std::vector<OpIndex> producers(const ChunkTemplate& chunk) {
    std::vector<OpIndex> result(chunk.tensors.size());
    for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
        for (const TensorId output : chunk.ops[i].outputs) {
            result[output.index()] = OpIndex(i);
        }
    }
    return result;
}

std::vector<TensorId> external_activations(const ChunkTemplate& chunk) {
    const std::vector<OpIndex> producer = producers(chunk);
    std::vector<bool> seen(chunk.tensors.size());
    std::vector<TensorId> result;
    for (const Op& op : chunk.ops) {
        for (const TensorId input : op.inputs) {
            const Tensor& tensor = chunk.tensors[input.index()];
            if (tensor.role == TensorRole::activation && !producer[input.index()].valid() &&
                !seen[input.index()]) {
                seen[input.index()] = true;
                result.push_back(input);
            }
        }
    }
    return result;
}

}  // namespace r1
