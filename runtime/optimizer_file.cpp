#include "runtime/optimizer_file.hpp"

#include <deque>
#include <set>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"
#include "runtime/master_weights.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

struct StateTensor {
    std::string name;
    StoredType dtype;
    Memory& memory;
    std::span<std::byte> data;  // in it

    [[nodiscard]] std::vector<std::int64_t> shape() const {
        return {static_cast<std::int64_t>(data.size() / byte_size(dtype))};
    }
};

StoredType moment_type(const StateShard& shard) {
    return shard.exp_avg.size() == shard.master.size() * sizeof(float) ? StoredType::f32
                                                                       : StoredType::bf16;
}

// A further vector of a shard is one line here.
void add_shard(StateShard& shard, std::vector<StateTensor>& tensors) {
    const auto add = [&](const char* name, StoredType dtype, auto& array) {
        tensors.push_back(
            {fmt::format("stage-{}.{}.{}", shard.stage, shard.experts ? "experts" : "dense", name),
             dtype, array.memory(), std::as_writable_bytes(array.span())});
    };
    add("master", StoredType::f32, shard.master);
    add("exp_avg", moment_type(shard), shard.exp_avg);
    add("exp_avg_sq", moment_type(shard), shard.exp_avg_sq);
    if (!shard.ema.empty()) {
        add("ema", StoredType::f32, shard.ema);
    }
}

std::vector<StateTensor> tensors_of(RankState& state) {
    std::vector<StateTensor> tensors;
    for (StateShard* shard : ordered_shards(state)) {
        add_shard(*shard, tensors);
    }
    for (auto& [key, parameter] : state.parameters()) {
        if (parameter.shard == nullptr) {
            R1_CHECK(parameter.weight.dtype == DType::f32);
            tensors.push_back({fmt::format("stage-{}.{}", parameter.stage, parameter.tensor.name),
                               StoredType::f32, parameter.weight.data.memory(),
                               parameter.weight.data.span()});
        }
    }
    return tensors;
}

}  // namespace

void write_optimizer_file(const fs::path& file, RankState& state) {
    std::vector<TensorView> views;
    std::deque<HostView<std::byte>> data;
    for (const StateTensor& tensor : tensors_of(state)) {
        data.emplace_back(tensor.memory, tensor.data.data(), tensor.data.size());
        views.push_back({tensor.name, tensor.dtype, tensor.shape(), data.back().values()});
    }
    write_safetensors(file, views);
}

OptimizerFile::OptimizerFile(const fs::path& file, RankState& state) : file_(file), state_(state) {
    Diagnostics diagnostics;
    const auto problem = [&](const std::string& name, const std::string& message) {
        diagnostics.error({file.string(), 0, 0}, "", "tensor " + quote(name) + ": " + message);
    };
    std::set<std::string> expected;
    for (const StateTensor& tensor : tensors_of(state)) {
        expected.insert(tensor.name);
        const TensorView* found = file_.find(tensor.name);
        if (found == nullptr) {
            problem(tensor.name, "is missing");
        } else if (found->dtype != tensor.dtype || found->shape != tensor.shape()) {
            problem(tensor.name, fmt::format("is {} of {}, this job keeps {} of {}",
                                             name(found->dtype), shape_text(found->shape),
                                             name(tensor.dtype), shape_text(tensor.shape())));
        }
    }
    for (const TensorView& tensor : file_.tensors()) {
        if (!expected.contains(tensor.name)) {
            problem(tensor.name, "this job keeps no such tensor");
        }
    }
    diagnostics.throw_if_errors();
}

void OptimizerFile::restore() const {
    for (const StateTensor& tensor : tensors_of(state_)) {
        const std::span<const std::byte> stored = file_.at(tensor.name).data;
        tensor.memory.copy(tensor.data.data(), stored.data(), stored.size());
    }
}

}  // namespace r1
