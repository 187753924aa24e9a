#include "model/workload/chunks.hpp"

#include "model/workload/block_pairs.hpp"

namespace r1 {

namespace {

Phase phase_of(Piece piece) {
    switch (piece) {
        case Piece::attention_forward:
        case Piece::dispatch_forward:
        case Piece::mlp_forward:
        case Piece::combine_forward:
        case Piece::finish_forward: return Phase::forward;
        case Piece::mlp_backward_weight:
        case Piece::attention_backward_weight: return Phase::backward_weight;
        default: return Phase::backward_input;
    }
}

void emit(ChunkBuilder& builder, const Block* block, Piece piece) {
    if (block != nullptr && (*block)[piece]) {
        builder.set_phase(phase_of(piece));
        (*block)[piece](builder);
    }
}

}  // namespace

ChunkTemplate forward_chunk(const std::string& name, const std::vector<Block>& stage) {
    ChunkBuilder builder(name);
    for (const Block& block : stage) {
        for (const Piece piece :
             {Piece::attention_forward, Piece::dispatch_forward, Piece::mlp_forward,
              Piece::combine_forward, Piece::finish_forward}) {
            emit(builder, &block, piece);
        }
    }
    return std::move(builder).take();
}

ChunkTemplate backward_chunk(const std::string& name, const std::vector<Block>& stage, bool input,
                             bool weight) {
    ChunkBuilder builder(name);
    for (auto block = stage.rbegin(); block != stage.rend(); ++block) {
        // Weight gradients of the FFN hide the dispatch of the backward pass.
        for (const Piece piece :
             {Piece::combine_backward, Piece::mlp_backward_input, Piece::dispatch_backward,
              Piece::mlp_backward_weight, Piece::attention_backward_input,
              Piece::attention_backward_weight}) {
            if (phase_of(piece) == Phase::backward_weight ? weight : input) {
                emit(builder, &*block, piece);
            }
        }
    }
    return std::move(builder).take();
}

ChunkTemplate overlapped_chunk(const std::string& name, const std::vector<Block>& forward,
                               const std::vector<Block>& backward) {
    ChunkBuilder builder(name, 2);
    const auto emit_forward = [&](const Block* block, Piece piece) {
        builder.set_context(0);
        emit(builder, block, piece);
    };
    const auto emit_backward = [&](const Block* block, Piece piece) {
        builder.set_context(1);
        emit(builder, block, piece);
    };
    const Block* previous = nullptr;
    for (const auto& [f, b] : block_pairs(forward, backward)) {
        emit_backward(b, Piece::combine_backward);
        if (f != nullptr) {
            emit_forward(previous, Piece::finish_forward);
            previous = f;
        }
        emit_forward(f, Piece::attention_forward);
        emit_forward(f, Piece::dispatch_forward);
        emit_backward(b, Piece::mlp_backward_input);
        emit_backward(b, Piece::dispatch_backward);
        emit_backward(b, Piece::mlp_backward_weight);
        emit_forward(f, Piece::mlp_forward);
        emit_forward(f, Piece::combine_forward);
        emit_backward(b, Piece::attention_backward_input);
        emit_backward(b, Piece::attention_backward_weight);
    }
    emit_forward(previous, Piece::finish_forward);
    return std::move(builder).take();
}

namespace {

ChunkTemplate message_chunk(const LayerSizes& sizes, bool forward, Collective collective) {
    const bool sends = collective == Collective::send;
    ChunkBuilder builder(std::string(name(collective)) + (forward ? " activations" : " gradients"));
    builder.set_phase(forward ? Phase::forward : Phase::backward_input);
    builder.set_stream(sends ? Stream::send : Stream::recv);
    const char* tensor_name =
        forward ? (sends ? kHiddenOut : kHiddenIn) : (sends ? kGradOut : kGradIn);
    const TensorId tensor =
        builder.tensor(tensor_name, DType::bf16, {sizes.tokens(), sizes.config.hidden_size});
    CommOp comm;
    comm.collective = collective;
    comm.group = GroupKind::pipeline;
    comm.payload_bytes = bytes(builder.at(tensor));
    if (sends) {
        builder.communicate(comm, {tensor}, {});
    } else {
        builder.communicate(comm, {}, {tensor});
    }
    return std::move(builder).take();
}

}  // namespace

ChunkTemplate send_chunk(const LayerSizes& sizes, bool forward) {
    return message_chunk(sizes, forward, Collective::send);
}

ChunkTemplate recv_chunk(const LayerSizes& sizes, bool forward) {
    return message_chunk(sizes, forward, Collective::recv);
}

}  // namespace r1
