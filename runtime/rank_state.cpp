#include "runtime/rank_state.hpp"

#include <algorithm>

#include "kernels/matrix.hpp"
#include "model/base/check.hpp"
#include "runtime/collectives.hpp"
#include "runtime/device_math.hpp"

namespace r1 {

namespace {

constexpr std::string_view kGradientSuffix = ".grad";
constexpr std::string_view kExpertLoad = "gate.expert_load";

std::size_t element_count(const Tensor& tensor) {
    return static_cast<std::size_t>(elements(tensor).constant);
}

// Rows and columns of each of a parameter's matrices.
struct MatrixShape {
    std::int64_t experts = 1;
    std::int64_t rows = 1;
    std::int64_t columns = 1;

    explicit MatrixShape(const Tensor& tensor) {
        const std::vector<Extent>& shape = tensor.shape;
        columns = static_cast<std::int64_t>(shape.back().constant);
        rows = shape.size() > 1 ? static_cast<std::int64_t>(shape[shape.size() - 2].constant) : 1;
        experts = shape.size() > 2 ? static_cast<std::int64_t>(shape[0].constant) : 1;
    }
};

// Of names in the order of fused parts, then experts: the other way round, as gradients lie.
std::vector<std::string> expert_major(std::vector<std::string> names, const Tensor& tensor) {
    const auto experts = static_cast<std::size_t>(MatrixShape(tensor).experts);
    const std::size_t parts = names.size() / experts;
    std::vector<std::string> ordered(names.size());
    for (std::size_t part = 0; part < parts; ++part) {
        for (std::size_t expert = 0; expert < experts; ++expert) {
            ordered[expert * parts + part] = std::move(names[part * experts + expert]);
        }
    }
    return ordered;
}

// Of parameters; not the all-reduce of the embedding's two copies, which goes before.
bool reduces_gradients(const ChunkTemplate& chunk, const Op& op) {
    const GroupKind group = op.comm()->group;
    const Tensor& first = chunk.tensors[op.inputs.front().index()];
    return (group == GroupKind::data_parallel || group == GroupKind::expert_data_parallel) &&
           first.role == TensorRole::gradient && !first.name.ends_with(kExpertLoad);
}

Weight empty_weight(Memory& memory, const Tensor& tensor, const ExecutionPolicy& policy) {
    const MatrixShape shape(tensor);
    Weight weight;
    weight.dtype = stored_as(tensor, policy);
    weight.data = DeviceArray<std::byte>(memory, stored_bytes(tensor, {}, policy));
    if (weight.dtype == DType::e4m3) {
        const std::int64_t blocks = shape.experts * tiles(shape.rows) * tiles(shape.columns);
        weight.scales = DeviceArray<float>(memory, static_cast<std::size_t>(blocks));
    }
    return weight;
}

// Values as a parameter stores them: BF16 and FP32 rounded, FP8 in blocks of 128x128 with scales.
// `values`: each a row.
void store_parameter(const Device& device, const Tensor& tensor, const ConstMatrix& values,
                     Weight& weight) {
    const MatrixShape shape(tensor);
    const std::int64_t count = shape.experts * shape.rows * shape.columns;
    if (weight.dtype != DType::e4m3) {
        const ConstMatrix from{values.data, values.dtype, count};
        convert(device, 1, count, from, {weight.data.data(), weight.dtype, count});
        return;
    }
    const std::int64_t blocks = tiles(shape.rows) * tiles(shape.columns);
    for (std::int64_t expert = 0; expert < shape.experts; ++expert) {
        const std::int64_t first = expert * shape.rows * shape.columns;
        QuantizeWeightFp8Args args;
        args.rows = shape.rows;
        args.columns = shape.columns;
        args.x = rows_from(values, first);
        args.x.stride = shape.columns;
        args.codes = reinterpret_cast<std::uint8_t*>(weight.data.data()) + first;
        args.scales = weight.scales.data() + expert * blocks;
        quantize_weight(device, args);
    }
}

}  // namespace

RankState::Key RankState::key_of(std::int32_t stage, const Tensor& tensor) {
    return {is_global(tensor) ? -1 : stage, tensor.name};
}

RankState::RankState(const ExecutionGraph& graph, RankId rank, const ModelConfig& config,
                     const ExecutionPolicy& policy, const RankStateOptions& options,
                     const Source& source, const Device& device)
    : policy_(policy), device_(device) {
    add_parameters(graph, rank, config, options);
    add_shards(graph, rank);
    fill(source, options);
}

void RankState::add_parameters(const ExecutionGraph& graph, RankId rank, const ModelConfig& config,
                               const RankStateOptions& options) {
    const Instances& instances = graph.instances();
    const RankProgram& program =
        graph.programs()[static_cast<std::size_t>(instances.program_of(rank))];
    const std::int64_t expert_rank = instances.replica_of(rank) % instances.expert_parallel;
    for (const Item& item : program.items) {
        if (!is_chunk(item.kind)) {
            continue;
        }
        for (const Tensor& tensor : graph.chunk(item.chunk).tensors) {
            const std::int32_t stage = item.contexts[tensor.context].stage;
            if (tensor.name.ends_with(kExpertLoad)) {
                expert_loads_.try_emplace(key_of(stage, tensor), device_.memory(),
                                          element_count(tensor));
            }
            if (tensor.role != TensorRole::parameter || is_scale(tensor) ||
                parameters_.count(key_of(stage, tensor)) > 0) {
                continue;
            }
            StateParameter parameter;
            parameter.tensor = tensor;
            parameter.stage = stage;
            parameter.weight = empty_weight(device_.memory(), tensor, policy_);
            const auto local = static_cast<std::int64_t>(tensor.shape.front().constant);
            const std::int64_t first_layer = options.first_layer[static_cast<std::size_t>(stage)];
            parameter.pieces.names = expert_major(
                checkpoint_names(tensor, config, first_layer, expert_rank * local), tensor);
            parameter.pieces.piece_elements = element_count(tensor) / parameter.pieces.names.size();
            parameters_.emplace(key_of(stage, tensor), std::move(parameter));
        }
    }
}

// The graph's optimizer says which gradients are reduced together, in which order.
void RankState::add_shards(const ExecutionGraph& graph, RankId rank) {
    const Instances& instances = graph.instances();
    const RankProgram& program =
        graph.programs()[static_cast<std::size_t>(instances.program_of(rank))];
    for (const Item& item : program.items) {
        if (item.kind != ItemKind::optimizer) {
            continue;
        }
        const ChunkTemplate& chunk = graph.chunk(item.chunk);
        for (const Op& op : chunk.ops) {
            const CommOp* comm = op.comm();
            if (comm == nullptr || !reduces_gradients(chunk, op)) {
                continue;
            }
            auto shard = std::make_unique<StateShard>();
            shard->stage = item.contexts[op.context].stage;
            shard->experts = comm->group == GroupKind::expert_data_parallel;
            shard->sharded = comm->collective == Collective::reduce_scatter;
            shard->holders = graph.group(comm->group, rank, shard->stage);
            std::size_t total = 0;
            for (const TensorId id : op.inputs) {
                StateParameter* parameter =
                    find_gradient(shard->stage, chunk.tensors[id.index()].name);
                R1_CHECK(parameter != nullptr && parameter->shard == nullptr);
                parameter->shard = shard.get();
                parameter->offset = total;
                total += parameter->elements();
            }
            shard->gradient = DeviceArray<float>(device_.memory(), total);
            shard->end = total;
            if (shard->sharded) {
                const auto self = std::find(shard->holders.begin(), shard->holders.end(), rank);
                const Part own = parts(
                    total,
                    shard->holders.size())[static_cast<std::size_t>(self - shard->holders.begin())];
                shard->begin = own.begin;
                shard->end = own.begin + own.count;
            }
            shards_.push_back(std::move(shard));
        }
    }
}

void RankState::fill(const Source& source, const RankStateOptions& options) {
    const std::size_t moment_bytes = options.f32_moments ? 4 : 2;
    Memory& memory = device_.memory();
    for (const std::unique_ptr<StateShard>& shard : shards_) {
        const std::size_t count = shard->end - shard->begin;
        shard->master = DeviceArray<float>(memory, count);
        for (DeviceArray<std::byte>* moment : {&shard->exp_avg, &shard->exp_avg_sq}) {
            *moment = DeviceArray<std::byte>(memory, count * moment_bytes);
            moment->zero();
        }
    }
    for (auto& [key, parameter] : parameters_) {
        std::vector<float> values;
        values.reserve(parameter.elements());
        const std::size_t size = parameter.pieces.piece_elements;
        for (const std::string& name : parameter.pieces.names) {
            const std::vector<float> piece = source(name, size);
            R1_CHECK(piece.size() == size);
            values.insert(values.end(), piece.begin(), piece.end());
        }
        const DeviceView there(memory, std::span<const float>(values));
        store_parameter(device_, parameter.tensor, {there.data(), DType::f32, 1}, parameter.weight);
        if (StateShard* shard = parameter.shard) {
            const std::size_t begin = std::clamp(parameter.offset, shard->begin, shard->end);
            const std::size_t end =
                std::clamp(parameter.offset + values.size(), shard->begin, shard->end);
            if (begin < end) {
                memory.copy(shard->master.data() + (begin - shard->begin),
                            there.data() + (begin - parameter.offset),
                            (end - begin) * sizeof(float));
            }
        }
    }
    for (const std::unique_ptr<StateShard>& shard : shards_) {
        if (options.ema) {
            shard->ema = DeviceArray<float>(memory, shard->master.size());
            memory.copy(shard->ema.data(), shard->master.data(), shard->master.span().size_bytes());
        }
    }
    zero_gradients();
}

const StateParameter* RankState::find(std::int32_t stage, const std::string& name) const {
    const auto own = parameters_.find({stage, name});
    const auto found = own != parameters_.end() ? own : parameters_.find({-1, name});
    return found == parameters_.end() ? nullptr : &found->second;
}

StateParameter* RankState::find(std::int32_t stage, const std::string& name) {
    return const_cast<StateParameter*>(std::as_const(*this).find(stage, name));
}

StateParameter* RankState::find_gradient(std::int32_t stage, const std::string& name) {
    R1_CHECK(name.ends_with(kGradientSuffix));
    return find(stage, name.substr(0, name.size() - kGradientSuffix.size()));
}

StateShard* RankState::shard(std::int32_t stage, bool experts) {
    for (const std::unique_ptr<StateShard>& shard : shards_) {
        if (shard->stage == stage && shard->experts == experts) {
            return shard.get();
        }
    }
    return nullptr;
}

DeviceArray<std::int32_t>* RankState::expert_load(std::int32_t stage, const std::string& name) {
    const auto found = expert_loads_.find({stage, name});
    return found == expert_loads_.end() ? nullptr : &found->second;
}

void RankState::zero_gradients() {
    for (auto& [key, load] : expert_loads_) {
        load.zero();
    }
    for (const std::unique_ptr<StateShard>& shard : shards_) {
        shard->gradient.zero();
    }
}

void RankState::store(const StateShard& shard, std::span<const float> flat) {
    const DeviceView there(device_.memory(), flat);
    store(shard, ConstMatrix{there.data(), DType::f32, 1});
}

void RankState::store(const StateShard& shard, const ConstMatrix& flat) {
    for (auto& [key, parameter] : parameters_) {
        if (parameter.shard == &shard) {
            store_parameter(device_, parameter.tensor,
                            rows_from(flat, static_cast<std::int64_t>(parameter.offset)),
                            parameter.weight);
        }
    }
}

}  // namespace r1
