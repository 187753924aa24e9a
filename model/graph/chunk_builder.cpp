#include "model/graph/chunk_builder.hpp"

#include "model/base/check.hpp"

namespace r1 {

ChunkBuilder::ChunkBuilder(std::string name, int contexts) {
    chunk_.name = std::move(name);
    chunk_.contexts = static_cast<std::uint8_t>(contexts);
}

TensorId ChunkBuilder::tensor(const std::string& name, DType dtype, std::vector<Extent> shape,
                              TensorRole role) {
    Tensor definition{name, dtype, role, context_, std::move(shape)};
    const auto [entry, is_new] =
        by_name_.try_emplace({context_, name}, TensorId(chunk_.tensors.size()));
    if (is_new) {
        chunk_.tensors.push_back(std::move(definition));
    } else {
        R1_CHECK(at(entry->second) == definition);
    }
    return entry->second;
}

namespace {

// Bytes of a tensor that a kernel moves: of an embedding table, the rows of the tokens only; of a
// cache, the rows that are new, or those that attention sees.
Extent moved_bytes(KernelId kernel, const std::vector<Extent>& dims, const Tensor& tensor) {
    const bool embeds = kernel == KernelId::embedding || kernel == KernelId::embedding_backward;
    if (embeds && (tensor.role == TensorRole::parameter || tensor.role == TensorRole::gradient)) {
        return dims[0] * (dims[1].constant * bits(tensor.dtype) / 8);
    }
    if (tensor.role == TensorRole::cache) {
        const double row = tensor.shape.back().constant * bits(tensor.dtype) / 8;
        return kernel == KernelId::cache_latent
                   ? dims.front() * row
                   : (dims.back() + dims[1]) * (dims.front().constant * row);
    }
    return bytes(tensor);
}

}  // namespace

OpIndex ChunkBuilder::compute(KernelId kernel, std::vector<Extent> dims,
                              std::vector<TensorId> inputs, std::vector<TensorId> outputs) {
    ComputeOp body;
    body.kernel = kernel;
    body.work.matrix_flops = matrix_flops(kernel, dims);
    for (const TensorId input : inputs) {
        body.work.read_bytes += moved_bytes(kernel, dims, at(input));
    }
    for (const TensorId output : outputs) {
        const Extent moved = moved_bytes(kernel, dims, at(output));
        body.work.written_bytes += moved;
        if (at(output).role == TensorRole::gradient) {
            body.work.read_bytes += moved;  // gradients are added to
        }
    }
    body.dims = std::move(dims);
    body.work.dtype = inputs.empty() ? DType::bf16 : at(inputs.front()).dtype;
    Op op;
    op.body = std::move(body);
    op.inputs = std::move(inputs);
    op.outputs = std::move(outputs);
    return add(std::move(op));
}

OpIndex ChunkBuilder::communicate(CommOp comm, std::vector<TensorId> inputs,
                                  std::vector<TensorId> outputs) {
    Op op;
    op.body = comm;
    op.inputs = std::move(inputs);
    op.outputs = std::move(outputs);
    return add(std::move(op));
}

OpIndex ChunkBuilder::add(Op op) {
    op.stream = stream_;
    op.phase = phase_;
    op.context = context_;
    op.layer = layer_;
    chunk_.ops.push_back(std::move(op));
    return OpIndex(chunk_.ops.size() - 1);
}

}  // namespace r1
