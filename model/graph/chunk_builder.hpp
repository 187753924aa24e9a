// Emits the ops of one chunk template. Layers call it; it derives each op's work from its kernel's
// dimensions and tensors, so that work and tensors cannot disagree.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/graph/op.hpp"

namespace r1 {

class ChunkBuilder {
public:
    explicit ChunkBuilder(std::string name, int contexts = 1);

    // What the following ops belong to.
    void set_context(int context) { context_ = static_cast<std::uint8_t>(context); }
    void set_phase(Phase phase) { phase_ = phase; }
    void set_layer(int layer) { layer_ = static_cast<std::int16_t>(layer); }
    void set_stream(Stream stream) { stream_ = stream; }

    // The tensor of that name in the current context; the first call defines it, later calls must
    // agree with the first.
    TensorId tensor(const std::string& name, DType dtype, std::vector<Extent> shape,
                    TensorRole role = TensorRole::activation);
    [[nodiscard]] const Tensor& at(TensorId id) const { return chunk_.tensors[id.index()]; }

    OpIndex compute(KernelId kernel, std::vector<Extent> dims, std::vector<TensorId> inputs,
                    std::vector<TensorId> outputs);
    OpIndex communicate(CommOp comm, std::vector<TensorId> inputs, std::vector<TensorId> outputs);

    ChunkTemplate take() && { return std::move(chunk_); }

private:
    OpIndex add(Op op);

    ChunkTemplate chunk_;
    std::map<std::pair<std::uint8_t, std::string>, TensorId> by_name_;
    std::uint8_t context_ = 0;
    Phase phase_ = Phase::forward;
    std::int16_t layer_ = -1;
    Stream stream_ = Stream::compute;
};

}  // namespace r1
