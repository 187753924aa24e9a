#include "model/layers/stage.hpp"

#include "model/layers/layers.hpp"

namespace r1 {

namespace {

// Builds the list of blocks; `from` and `to` name the residual stream before and after a block.
class StageBuilder {
public:
    StageBuilder(const LayerSizes& sizes, const StageLayout& stage)
        : sizes_(sizes), stage_(stage) {}

    std::vector<Block> build() && {
        const std::int64_t layers = stage_.layers;
        for (std::int64_t slot = 0; slot < layers; ++slot) {
            const std::string from = slot == 0 ? kHiddenIn : "hidden." + std::to_string(slot);
            const bool ends_stage = slot + 1 == layers && !stage_.last;
            const std::string to = ends_stage ? kHiddenOut : "hidden." + std::to_string(slot + 1);
            if (stage_.last && slot + 1 == layers && ends_with_cache()) {
                Block block;
                block.layer = static_cast<int>(slot);
                block[Piece::attention_forward] =
                    piece("layers." + std::to_string(slot) + ".", block.layer,
                          [from](Emitter& e) { mla_cache_forward(e, stream(e, from)); });
                blocks_.push_back(std::move(block));
                break;
            }
            add_decoder_layer(static_cast<int>(slot), "layers." + std::to_string(slot) + ".",
                              sizes_.config.is_moe(stage_.first_layer + slot), from, to);
        }
        if (stage_.first) {
            add_embedding();
        }
        if (stage_.last && sizes_.cache != CacheUse::none) {
            add_generation_end();
        } else if (stage_.last) {
            add_head(layers == 0 ? kHiddenIn : "hidden." + std::to_string(layers));
            if (sizes_.config.num_nextn_predict_layers > 0) {
                add_mtp(static_cast<int>(layers));
            }
        }
        return std::move(blocks_);
    }

private:
    using Emit = std::function<void(Emitter&)>;

    // A prefill whose last output nobody reads.
    [[nodiscard]] bool ends_with_cache() const {
        return sizes_.cache == CacheUse::prefill && sizes_.config.num_nextn_predict_layers == 0;
    }

    // Wraps `emit` so that it finds its tensors under `prefix`.
    [[nodiscard]] EmitPiece piece(const std::string& prefix, int layer, const Emit& emit) const {
        const LayerSizes& sizes = sizes_;
        return [&sizes, prefix, layer, emit](ChunkBuilder& builder) {
            Emitter emitter(builder, sizes, prefix);
            builder.set_layer(layer);
            emit(emitter);
        };
    }

    // The residual stream or its gradient, named from the chunk's root.
    static TensorId stream(Emitter& e, const std::string& name) {
        return e.builder().tensor(name, DType::bf16, {e.sizes().tokens(), e.config().hidden_size});
    }

    void add_decoder_layer(int slot, const std::string& prefix, bool moe, const std::string& from,
                           const std::string& to) {
        Block block;
        block.layer = slot;
        const auto set = [&](Piece which, const Emit& emit) {
            block[which] = piece(prefix, slot, emit);
        };
        const auto grad = [](const std::string& name) { return name + ".grad"; };
        const auto residual_grad = [](Emitter& e) {
            return e.activation("attn.residual.grad", e.sizes().tokens(), e.config().hidden_size);
        };
        set(Piece::attention_forward, [from, moe](Emitter& e) {
            mla_forward(e, stream(e, from));
            if (moe) {
                Moe::route(e);
            }
        });
        set(Piece::attention_backward_input, [from, to, moe, grad, residual_grad](Emitter& e) {
            if (moe) {
                Moe::route_backward(e, stream(e, grad(to)));
            }
            mla_backward_input(e, stream(e, from), residual_grad(e), stream(e, grad(from)));
        });
        set(Piece::attention_backward_weight, [moe](Emitter& e) {
            if (moe) {
                Moe::route_backward_weight(e);
            }
            mla_backward_weight(e);
        });
        if (moe) {
            set(Piece::dispatch_forward, [](Emitter& e) { Moe::dispatch_forward(e); });
            set(Piece::mlp_forward, [](Emitter& e) { Moe::experts_forward(e); });
            set(Piece::combine_forward, [](Emitter& e) { Moe::combine_forward(e); });
            set(Piece::finish_forward, [to](Emitter& e) { Moe::finish_forward(e, stream(e, to)); });
            set(Piece::combine_backward,
                [to, grad](Emitter& e) { Moe::combine_backward(e, stream(e, grad(to))); });
            set(Piece::mlp_backward_input,
                [to, grad](Emitter& e) { Moe::experts_backward_input(e, stream(e, grad(to))); });
            set(Piece::mlp_backward_weight,
                [to, grad](Emitter& e) { Moe::experts_backward_weight(e, stream(e, grad(to))); });
            set(Piece::dispatch_backward, [](Emitter& e) { Moe::dispatch_backward(e); });
        } else {
            set(Piece::mlp_forward, [](Emitter& e) { DenseFfn::forward(e); });
            set(Piece::finish_forward,
                [to](Emitter& e) { DenseFfn::finish_forward(e, stream(e, to)); });
            set(Piece::mlp_backward_input,
                [to, grad](Emitter& e) { DenseFfn::backward_input(e, stream(e, grad(to))); });
            set(Piece::mlp_backward_weight,
                [to, grad](Emitter& e) { DenseFfn::backward_weight(e, stream(e, grad(to))); });
        }
        blocks_.push_back(std::move(block));
    }

    void add_embedding() {
        Block block;
        // Without layers, the embedding is at both ends of the stage.
        const bool alone = stage_.layers == 0 && !stage_.last;
        const char* output = alone ? kHiddenOut : kHiddenIn;
        const char* output_grad = alone ? kGradIn : kGradOut;
        block[Piece::attention_forward] =
            piece("", -1, [output](Emitter& e) { embedding_forward(e, stream(e, output)); });
        block[Piece::attention_backward_weight] = piece(
            "", -1, [output_grad](Emitter& e) { embedding_backward(e, stream(e, output_grad)); });
        blocks_.insert(blocks_.begin(), std::move(block));
    }

    void add_head(const std::string& from) {
        Block block;
        block[Piece::mlp_forward] =
            piece("", -1, [from](Emitter& e) { head_forward(e, stream(e, from)); });
        block[Piece::mlp_backward_input] = piece("", -1, [from](Emitter& e) {
            head_backward_input(e, stream(e, from), stream(e, from + ".grad"));
        });
        block[Piece::mlp_backward_weight] =
            piece("", -1, [](Emitter& e) { head_backward_weight(e); });
        blocks_.push_back(std::move(block));
    }

    // Instead of head and loss. A prefill predicts nothing: it ends where the last cache is filled,
    // so that no op works for nobody.
    void add_generation_end() {
        const std::string from =
            stage_.layers == 0 ? kHiddenIn : "hidden." + std::to_string(stage_.layers);
        const int slot = static_cast<int>(stage_.layers);
        const bool mtp = sizes_.config.num_nextn_predict_layers > 0;
        const bool decode = sizes_.cache == CacheUse::decode;
        const auto add = [&](const std::string& prefix, int layer, const Emit& emit) {
            Block block;
            block[Piece::attention_forward] = piece(prefix, layer, emit);
            blocks_.push_back(std::move(block));
        };
        if (decode) {
            add("", -1, [from](Emitter& e) { sample_forward(e, stream(e, from)); });
        } else if (mtp) {
            add("", -1, [from](Emitter& e) { final_norm_forward(e, stream(e, from)); });
        }
        if (!mtp) {
            return;
        }
        add("mtp.", slot, [](Emitter& e) { mtp_entry_forward(e, stream(e, "mtp.in")); });
        if (decode) {
            add_decoder_layer(slot, "mtp.", sizes_.config.is_moe(sizes_.config.num_hidden_layers),
                              "mtp.in", "mtp.out");
            add("mtp.", slot, [](Emitter& e) { mtp_draft_forward(e, stream(e, "mtp.out")); });
        } else {
            add("mtp.", slot, [](Emitter& e) { mla_cache_forward(e, stream(e, "mtp.in")); });
        }
    }

    void add_mtp(int slot) {
        const std::string prefix = "mtp.";
        Block entry;
        entry[Piece::attention_forward] =
            piece(prefix, slot, [](Emitter& e) { mtp_entry_forward(e, stream(e, "mtp.in")); });
        entry[Piece::attention_backward_input] = piece(prefix, slot, [](Emitter& e) {
            mtp_entry_backward_input(e, stream(e, "mtp.in.grad"));
        });
        entry[Piece::attention_backward_weight] = piece(prefix, slot, [](Emitter& e) {
            mtp_entry_backward_weight(e, stream(e, "mtp.in.grad"));
        });
        blocks_.push_back(std::move(entry));
        add_decoder_layer(slot, prefix, sizes_.config.is_moe(sizes_.config.num_hidden_layers),
                          "mtp.in", "mtp.out");
        Block head;
        head[Piece::mlp_forward] =
            piece(prefix, slot, [](Emitter& e) { mtp_head_forward(e, stream(e, "mtp.out")); });
        head[Piece::mlp_backward_input] = piece(prefix, slot, [](Emitter& e) {
            mtp_head_backward_input(e, stream(e, "mtp.out"), stream(e, "mtp.out.grad"));
        });
        head[Piece::mlp_backward_weight] =
            piece(prefix, slot, [](Emitter& e) { mtp_head_backward_weight(e); });
        blocks_.push_back(std::move(head));
    }

    const LayerSizes& sizes_;
    const StageLayout& stage_;
    std::vector<Block> blocks_;
};

}  // namespace

std::vector<StageLayout> stage_layouts(const std::vector<std::int64_t>& stage_layers) {
    std::vector<StageLayout> layouts;
    std::int64_t layer = 0;
    for (std::size_t s = 0; s < stage_layers.size(); ++s) {
        layouts.push_back({layer, stage_layers[s], s == 0, s + 1 == stage_layers.size()});
        layer += stage_layers[s];
    }
    return layouts;
}

std::vector<Block> stage_blocks(const LayerSizes& sizes, const StageLayout& stage) {
    return StageBuilder(sizes, stage).build();
}

}  // namespace r1
